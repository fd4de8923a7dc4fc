"""Figures of returns: against numbers worked out by hand and against SciPy's definition."""

import math

import numpy as np
import pytest

from agentd.rl.scores import Scores, bootstrap, iqm


def test_scores_are_mean_deviation_median_and_middle_half() -> None:
    scores = Scores((1.0, 2.0, 3.0, 4.0, 100.0))

    assert (scores.mean, scores.median, scores.iqm) == (22.0, 3.0, 3.0)
    assert scores.std == pytest.approx(39.0128184, abs=1e-6)
    assert str(Scores((1.0, 3.0))) == "2.0 ± 1.0 over 2 episodes"


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([1.0, 3.0, 8.0], 4.0), ([9.0, 1.0, 2.0, 3.0], 2.5), (range(1, 9), 4.5)],
)
def test_iqm_leaves_out_a_quarter_at_each_end(values: list[float], expected: float) -> None:
    assert iqm(np.array([list(values)], float))[0] == expected


def test_an_interval_holds_the_iqm_and_narrows_with_more_values() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(10, 2, 8), rng.normal(10, 2, 800)

    low, high = bootstrap(few)
    assert low < float(iqm(few[None])[0]) < high
    narrow = bootstrap(many)
    assert narrow[1] - narrow[0] < (high - low) / 4
    assert bootstrap(few) == (low, high)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    bounds = [bootstrap(rng.normal(0, 1, 20), resamples=300) for _ in range(200)]

    covered = np.mean([low <= 0 <= high for low, high in bounds])
    assert 0.85 <= covered <= 1.0


def test_equal_values_have_no_width_and_no_values_are_nan() -> None:
    assert Scores((7.0,) * 5).interval == (7.0, 7.0)
    empty = Scores(())
    assert all(math.isnan(value) for value in (empty.mean, empty.std, empty.median, empty.iqm))
    assert all(math.isnan(bound) for bound in empty.interval)


def test_the_record_has_every_figure() -> None:
    record = Scores((1.0, 2.0, 6.0)).record

    assert record["greedy_mean"] == 3.0
    assert record["greedy_median"] == 2.0
    assert record["greedy_iqm_low"] <= record["greedy_iqm"] <= record["greedy_iqm_high"]
