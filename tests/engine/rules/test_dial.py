"""The dial: greedy at 100, weaker below, near the best always, and the same draws again."""

import numpy as np
import pytest

from agentd.engine.rules.dial import NEAR, Dial, pick_near_best, spread
from agentd.engine.rules.exploration import greedy

RNG = np.random.default_rng(1)


def test_level_100_is_greedy_bit_for_bit_whatever_was_drawn():
    q = RNG.normal(size=(500, 7)).astype(np.float32).round(1)  # with equal values
    mask = (RNG.random((500, 7)) < 0.6).astype(np.uint8)
    mask[:, 3] = 1
    for legal in (None, mask):
        chosen = Dial(100, 5).choose(q, legal, (7,), np.arange(500), 1)[:, 0]
        assert (chosen == greedy(q, legal)).all()


def test_the_spread_is_the_best_less_the_mean_of_legal_actions():
    q, mask = np.array([[1.0, 4.0, 9.0]]), np.array([[1, 1, 0]], np.uint8)
    assert spread(q, None) == pytest.approx(9 - 14 / 3)
    assert spread(q, mask) == pytest.approx(1.5)


def test_a_row_is_drawn_by_softmax_among_those_near_the_best():
    n, level = 40_000, 40.0
    q = np.tile(np.array([1.0, 0.5, 0.0, -5.0, 9.0]), (n, 1))
    mask = np.tile(np.array([1, 1, 1, 1, 0], np.uint8), (n, 1))
    unit = np.full(n, 0.5)
    chosen = pick_near_best(q, mask, level, unit, (np.arange(n) + 0.5) / n)
    expected = np.exp(np.array([1.0, 0.5, 0.0]) / (0.5 * 60 / 40))
    assert NEAR * 0.5 < 6  # the fourth is too far off, the fifth illegal
    shares = np.bincount(chosen, minlength=5) / n
    assert shares == pytest.approx([*(expected / expected.sum()), 0, 0], abs=1e-3)


@pytest.mark.parametrize("level", [0.0, 20.0, 60.0, 99.9])
def test_what_is_far_below_the_best_or_illegal_is_taken_at_no_level(level):
    q = RNG.normal(size=(2_000, 6))
    mask = (RNG.random(q.shape) < 0.7).astype(np.uint8)
    mask[:, 0] = 1
    unit = np.full(len(q), 0.2)
    chosen = pick_near_best(q, mask, level, unit, RNG.random(len(q)))
    rows = np.arange(len(q))
    best = np.where(mask > 0, q, -np.inf).max(axis=1)
    assert mask[rows, chosen].all()
    assert (best - q[rows, chosen] <= NEAR * 0.2).all()


def test_the_loss_of_value_falls_as_the_level_rises():
    q = RNG.normal(size=(5_000, 6))
    u = RNG.random(len(q))
    lost = [
        float((q.max(axis=1) - q[np.arange(len(q)), chosen]).mean())
        for level in (0, 25, 50, 75, 95, 100)
        for chosen in [pick_near_best(q, None, level, np.ones(len(q)), u)]
    ]
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0.9
    assert lost[-1] == 0


def test_level_0_draws_each_near_action_equally_often_and_no_spread_draws_among_the_best():
    n = 6_000
    u = (np.arange(n) + 0.5) / n
    near = pick_near_best(np.tile([1.0, 0.9, -9.0], (n, 1)), None, 0, np.full(n, 0.1), u)
    assert np.bincount(near, minlength=3).tolist() == [n / 2, n / 2, 0]
    equal = pick_near_best(np.zeros((n, 3)), None, 50, np.zeros(n), u)
    assert np.bincount(equal, minlength=3).tolist() == [n / 3] * 3


def test_an_answer_follows_from_its_own_stream_and_from_no_other_row():
    steps, streams = 20, np.array([4, 0, 9])
    values = RNG.normal(size=(steps, 3, 5))
    both, alone, again = Dial(30, 7), Dial(30, 7), Dial(30, 8)
    together = [both.choose(q, None, (2, 3), streams, t) for t, q in enumerate(values)]
    one = [alone.choose(q[1:2], None, (2, 3), streams[1:2], t) for t, q in enumerate(values)]
    other = [again.choose(q, None, (2, 3), streams, t) for t, q in enumerate(values)]
    assert (np.array(together)[:, 1:2] == np.array(one)).all()
    assert (np.array(together) != np.array(other)).any()
    assert np.array(together)[..., 0].max() == 1
    assert np.array(together)[..., 1].max() == 2


@pytest.mark.parametrize("level", [-0.1, 100.1, float("nan")])
def test_a_level_that_is_none_is_refused_by_name(level):
    with pytest.raises(ValueError, match=r"want a level in 0\.\.100, got"):
        Dial(level, 0)


def test_a_frame_s_number_may_be_as_large_as_any():
    q = RNG.normal(size=(1, 4))
    for moment in (2**32 - 1, 2**32, 2**63):
        assert 0 <= Dial(10, 1).choose(q, None, (4,), np.array([2**32 - 1]), moment)[0, 0] < 4
