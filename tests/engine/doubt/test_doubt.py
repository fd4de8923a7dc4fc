"""Novelty, temperature, conformal sets and their measures: by hand and on drawn labels."""

import numpy as np
import pytest

from agentd.engine.doubt import (
    TooFewRows,
    accuracy_kept,
    answer,
    auroc,
    calibration_error,
    find_temperature,
    novelty,
    prediction_sets,
    set_threshold,
    soften,
)
from agentd.engine.optim.spec import LossSpec


@pytest.fixture(scope="module")
def drawn():
    """Logits three times too sure of labels (5000,) that were drawn from the true probabilities."""
    rng = np.random.default_rng(0)
    z = 2 * rng.standard_normal((5000, 4))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return 3 * z, (rng.random((5000, 1)) > p.cumsum(1)).sum(1)


def test_evidence_makes_probabilities_and_novelty():
    z = np.array([[np.log(20.0), -99, -99], [-99, -99, -99]], np.float32)

    found = answer(LossSpec(name="edl_log"), z)

    least = np.exp(-10)
    total = np.array([23 + 2 * least, 3 + 3 * least])
    np.testing.assert_allclose(found.novelty, 3 / total)
    np.testing.assert_allclose(found.p[0, 0], 21 / total[0], rtol=1e-6)
    np.testing.assert_allclose(found.p.sum(1), 1)
    assert found.classes.tolist() == [0, 0]
    np.testing.assert_allclose(found.logits[1], np.log([1 / 3] * 3))
    assert found.logits[0, 1] < -99 < found.log_p[0, 1]
    np.testing.assert_allclose(novelty(z, "exp"), found.novelty, rtol=1e-6)
    np.testing.assert_allclose(novelty(z[:, :2], "relu"), [2 / (2 + np.log(20)), 1], rtol=1e-6)
    np.testing.assert_allclose(novelty(np.zeros((1, 2)), "softplus"), 2 / (2 + 2 * np.log(2)))


def test_other_losses_have_no_novelty():
    z = np.array([[0.0, np.log(3.0)]])

    softmax = answer(None, z)

    np.testing.assert_allclose(softmax.p, [[0.25, 0.75]])
    assert softmax.novelty is None
    np.testing.assert_allclose(softmax.doubt, [0.25])
    assert answer(LossSpec(name="huber"), z) is None


def test_temperature_is_found_and_lowers_the_error(drawn):
    log_p, labels = answer(None, drawn[0]).log_p, drawn[1]

    found = find_temperature(log_p, labels)

    assert 2.8 < found < 3.2  # they were made three times too sure
    before, after = (calibration_error(p, labels) for p in (log_p, soften(log_p, found)))
    assert before > 0.15
    assert after < 0.02
    np.testing.assert_allclose(soften(log_p, 1.0), log_p)


def test_calibration_error_by_hand():
    log_p = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]))

    found = calibration_error(log_p, np.array([0, 1, 1]))

    assert found == pytest.approx((2 * abs(0.5 - 0.9) + abs(1 - 0.6)) / 3)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_sets_hold_the_class_in_the_share_asked_for(drawn, coverage):
    log_p, labels = answer(None, drawn[0]).log_p, drawn[1]

    threshold = set_threshold(log_p[:2500], labels[:2500], coverage)
    sets = prediction_sets(log_p[2500:], threshold)

    assert abs(sets[np.arange(2500), labels[2500:]].mean() - coverage) < 0.02


def test_the_threshold_is_the_finite_sample_quantile():
    p = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    log_p, labels = np.log(np.stack([p, 1 - p], 1)), np.zeros(9, np.int64)

    assert set_threshold(log_p, labels, 0.9) == pytest.approx(-np.log(0.1))  # the 9th of 9
    assert set_threshold(log_p, labels, 0.5) == pytest.approx(-np.log(0.5))  # the 5th
    with pytest.raises(TooFewRows, match=r"coverage 0\.9: expected at least 9 rows, got 8"):
        set_threshold(log_p[:8], labels[:8], 0.9)


def test_ranking_by_hand():
    assert auroc(np.array([1, 2, 3]), np.array([2, 4])) == 4.5 / 6
    assert auroc(np.array([0.0, 0.1]), np.array([0.2])) == 1
    assert auroc(np.array([]), np.array([0.2])) is None
    right, doubt = np.array([True, False, True, True]), np.array([0.1, 0.9, 0.2, 0.3])
    assert accuracy_kept(right, doubt, (1, 0.75, 0.5, 0.01)) == [0.75, 1, 1, 1]
