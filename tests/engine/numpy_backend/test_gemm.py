"""Products in bands: the same numbers, whatever the shape; bands only where they were measured."""

from functools import partial
from time import sleep

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from agentd.engine.numpy_backend import gemm
from agentd.engine.numpy_backend.gemm import band_rows, bind_product, choose_threads

SHAPES = [(64, 256, 256), (128, 128, 128), (100, 256, 256), (32, 784, 300), (7, 3, 5), (1, 256, 9)]


@pytest.fixture(params=[True, False], ids=["banded", "whole"])
def banded(request, monkeypatch):
    monkeypatch.setattr(gemm, "small_is_fast", lambda: request.param)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_bands_give_the_product(banded, m, k, n, transposed):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, k), np.float32)
    b = rng.standard_normal((n, k), np.float32).T if transposed else rng.standard_normal((k, n))
    b = b.astype(np.float32, order="K")
    out = np.full((m, n), np.nan, np.float32)
    step = bind_product(a, b, out)

    for _ in range(2):
        a[0] += 1  # bound once: each call takes what the arrays hold then
        step()
        exact = a.astype(np.float64) @ b.astype(np.float64)
        np.testing.assert_allclose(out, exact, rtol=1e-4, atol=1e-3)


def test_doubles_and_single_rows_are_one_product(banded):
    a, b, out = np.ones((64, 256)), np.ones((256, 256)), np.empty((64, 256))
    bind_product(a, b, out)()
    assert (out == 256).all()
    row = np.empty(256)
    bind_product(a[0], b, row)()
    assert (row == 256).all()


@pytest.mark.parametrize(
    ("m", "k", "n", "transposed", "rows"),
    [
        (64, 256, 256, False, 12),
        (64, 256, 256, True, 4),
        (128, 128, 128, False, 48),
        (128, 128, 128, True, 0),  # bands of the transposed pay for large weights alone
        (32, 1024, 128, True, 4),
        (32, 128, 1024, True, 0),  # OpenBLAS would pack so wide weights once a band
        (32, 128, 128, False, 0),  # small as it is
        (512, 128, 128, False, 0),  # packing pays for so many rows
        (64, 512, 512, False, 0),  # four rows are too much already
    ],
)
def test_bands_are_cut_where_they_gain(m, k, n, transposed, rows):
    assert band_rows(m, k, n, transposed=transposed) == rows


def blas_threads():
    return next(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")


@pytest.mark.parametrize(("seconds", "best"), [((3e-3, 1e-3), 2), ((1e-3, 3e-3), 1)])
def test_the_faster_number_of_threads_is_chosen_and_set(seconds, best):
    """Each step takes as long as is said for the threads it was made with."""
    with threadpool_limits(1, user_api="blas"):
        found = choose_threads(lambda: partial(sleep, seconds[blas_threads() - 1]), 2)

        assert (found, blas_threads()) == (best, best)
