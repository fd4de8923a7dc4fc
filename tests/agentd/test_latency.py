"""Histograms: quantiles within a bucket's width."""

import numpy as np
import pytest

from agentd.latency import Histogram, Sizes


def test_quantiles_are_within_five_percent():
    seconds = np.random.default_rng(0).lognormal(-7, 1, 20_000)
    histogram = Histogram()
    for value in seconds:
        histogram.add(float(value))

    for q in (0.5, 0.9, 0.99, 0.999):
        assert histogram.quantile(q) == pytest.approx(np.quantile(seconds, q), rel=0.06)


def test_the_ends_are_held():
    histogram = Histogram()
    histogram.add(0.0)
    histogram.add(1e9)
    assert histogram.n == 2
    assert histogram.quantile(1.0) > 60


def test_cumulative_counts_reach_all_and_reset_forgets():
    histogram = Histogram()
    for value in (1e-5, 1e-3, 1e-1):
        histogram.add(value, weight=2)
    assert histogram.cumulative([2e-5, 2e-3, 2e-1, 60.0]) == [2, 4, 6, 6]
    histogram.reset()
    assert (histogram.n, histogram.quantile(0.5)) == (0, 0.0)


def test_merged_histograms_count_as_one():
    one, two = Histogram(), Histogram()
    one.add(1e-3)
    two.add(1e-1, weight=3)
    one.merge(two)
    assert (one.n, one.total) == (4, pytest.approx(0.301))
    assert one.quantile(0.9) == pytest.approx(0.1, rel=0.05)


def test_sizes_fall_into_buckets_that_double():
    sizes = Sizes()
    assert sizes.quantile(0.5) == 0
    for size in (1, 2, 3, 4, 5, 8, 1024, 1025):
        sizes.add(size)
    assert sizes.cumulative(4) == [(1, 1), (2, 2), (4, 4), (8, 6)]
    assert (sizes.quantile(0.5), sizes.quantile(0.8), sizes.quantile(1.0)) == (4, 1024, 2048)
    assert (sizes.n, sizes.total) == (8, 2072)
