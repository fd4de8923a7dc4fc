"""Blocks of stream slots are given once, joined when they come back, and used again."""

import numpy as np
import pytest

from agentd.server.batching.slots import StreamSlots


def test_what_comes_back_is_joined_and_used_for_other_sizes():
    slots = StreamSlots()
    a, b, c = slots.take(4), slots.take(4), slots.take(1)
    assert (a, b, c, slots.end) == (0, 4, 8, 9)
    slots.give_back(a, 4)
    slots.give_back(b, 4)
    assert slots.take(6) == 0
    assert slots.take(2) == 6
    assert slots.end == 9


def test_the_end_falls_when_the_last_block_comes_back():
    slots = StreamSlots()
    a, b = slots.take(3), slots.take(5)
    slots.give_back(a, 3)
    slots.give_back(b, 5)
    assert slots.end == 0


def test_blocks_of_before_a_restart_lie_where_they_lay():
    slots = StreamSlots()
    slots.take_at(10, 2)
    slots.take_at(4, 2)
    with pytest.raises(ValueError, match=r"slots 5\.\.6 are in use"):
        slots.take_at(5, 2)
    assert (slots.take(4), slots.take(4), slots.take(1)) == (0, 6, 12)


def test_no_slot_is_ever_given_twice():
    slots, rng = StreamSlots(), np.random.default_rng(0)
    used: dict[int, int] = {}
    for _ in range(2_000):
        if used and rng.random() < 0.5:
            base = list(used)[int(rng.integers(len(used)))]
            slots.give_back(base, used.pop(base))
        else:
            size = int(rng.integers(1, 20))
            used[slots.take(size)] = size
        taken = sorted(slot for base, size in used.items() for slot in range(base, base + size))
        assert len(taken) == len(set(taken))
        assert slots.end == (taken[-1] + 1 if taken else 0)
