"""Arrays whose length changes live in memory that is kept."""

import numpy as np

from agentd.engine.replay.scratch import Scratch


def test_a_shorter_array_lies_where_the_longer_one_lay():
    scratch = Scratch()
    long = scratch.empty("x", (6, 4), np.float32)
    short = scratch.empty("x", (2, 4), np.float32)
    assert (long.shape, short.shape, short.dtype) == ((6, 4), (2, 4), np.float32)
    assert short.ctypes.data == long.ctypes.data


def test_arrays_of_different_names_do_not_touch():
    scratch = Scratch()
    one, other = scratch.empty("one", (8,), np.int64), scratch.empty("other", (8,), np.uint8)
    assert not np.shares_memory(one, other)


def test_what_grows_again_and_again_moves_seldom():
    scratch = Scratch()
    places = {scratch.empty("x", (n,), np.float64).ctypes.data for n in range(1, 1_000)}
    assert len(places) <= 11
