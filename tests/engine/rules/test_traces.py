"""The streaming rules against numbers worked out by hand, and against the forward view."""

import numpy as np
import pytest

from agentd.engine.rules.traces import (
    eligibility,
    lambda_return,
    obgd,
    obgd_rate,
    policy_lag,
    trace_goes_on,
)

CHAIN = np.array([1, 2, -1])


def test_lambda_return_of_three_steps_by_hand():
    r, discount, v = np.array([1.0, 2.0, 4.0]), np.full(3, 0.5), np.array([10.0, 20.0, 30.0])

    g = lambda_return(r, discount, v, CHAIN, 0.5)

    g2 = 4 + 0.5 * 30
    g1 = 2 + 0.5 * (0.5 * 20 + 0.5 * g2)
    np.testing.assert_allclose(g, [1 + 0.5 * (0.5 * 10 + 0.5 * g1), g1, g2])


def test_lambda_0_is_one_step_and_lambda_1_the_whole_fragment():
    r, discount, v = np.array([1.0, 2.0, 4.0]), np.array([0.9, 0.9, 0.0]), np.array([5.0, 6, 7])

    np.testing.assert_allclose(lambda_return(r, discount, v, CHAIN, 0.0), r + discount * v)
    np.testing.assert_allclose(
        lambda_return(r, discount, v, CHAIN, 1.0), [1 + 0.9 * (2 + 0.9 * 4), 2 + 0.9 * 4, 4]
    )


def test_fragments_that_are_mixed_do_not_see_each_other():
    """Two streams, row by row: what belongs together is what ``after`` joins."""
    rng = np.random.default_rng(0)
    r, v = rng.standard_normal((2, 5)), rng.standard_normal((2, 5))
    discount = np.where(rng.random((2, 5)) < 0.2, 0.0, 0.9)
    apart = [lambda_return(*x, np.array([1, 2, 3, 4, -1]), 0.7) for x in zip(r, discount, v)]  # noqa: B905

    after = np.array([2, 3, 4, 5, 6, 7, 8, 9, -1, -1])
    mixed = lambda_return(r.T.ravel(), discount.T.ravel(), v.T.ravel(), after, 0.7)

    np.testing.assert_allclose(mixed.reshape(5, 2).T, apart)


@pytest.mark.parametrize("lambda_", [0.0, 0.4, 0.9, 1.0])
def test_lambda_return_is_the_mean_of_n_step_returns(lambda_):
    """Sutton & Barto 2018, equation 12.2: weights (1 - λ) λ^(n-1), the rest on the last."""
    rng, steps, gamma = np.random.default_rng(1), 6, 0.9
    r, v = rng.standard_normal(steps), rng.standard_normal(steps)
    after = np.array([*range(1, steps), -1])

    got = lambda_return(r, np.full(steps, gamma), v, after, lambda_)[0]

    n_step = [
        sum(gamma**k * r[k] for k in range(n)) + gamma**n * v[n - 1] for n in range(1, steps + 1)
    ]
    weight = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, steps)]
    assert got == pytest.approx(np.dot([*weight, lambda_ ** (steps - 1)], n_step))


def test_a_trace_decays_and_adds_the_gradient():
    z = eligibility(np.array([1.0, -2.0]), np.array([0.5, 0.25]), 0.5)

    np.testing.assert_allclose(z, [1.0, -0.75])
    np.testing.assert_allclose(eligibility(z, np.zeros(2), 0.0), [0, 0])


def test_obgd_bounds_the_step_by_hand():
    assert obgd_rate(td=0.5, trace_sum=0.25, lr=1.0, kappa=2.0) == 1.0  # 1 * 2 * 1 * 0.25 < 1
    assert obgd_rate(td=0.5, trace_sum=5.0, lr=1.0, kappa=2.0) == pytest.approx(0.1)
    assert obgd_rate(td=-4.0, trace_sum=5.0, lr=1.0, kappa=2.0) == pytest.approx(1 / 40)
    np.testing.assert_allclose(
        obgd(np.array([1.0, 1.0]), np.array([2.0, -3.0]), -4.0, 1.0, 2.0),
        [1 - 4 * 2 / 40, 1 + 4 * 3 / 40],
    )


@pytest.mark.parametrize("td", [-30.0, -1.0, 0.1, 3.0])
def test_obgd_never_overshoots_a_linear_value(td):
    """After the step the error has the same sign and is no larger, for κ = 1 or more."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, 50)
    p = rng.standard_normal(50)

    after = td - (obgd(p, x, td, 1.0, 1.0) - p) @ x

    assert 0 <= after / td <= 1


@pytest.mark.parametrize(
    ("ended", "explored", "greedy", "goes_on"),
    [
        (False, False, True, True),
        (False, False, False, True),  # greedy for the weights that chose it
        (False, True, True, True),
        (False, True, False, False),
        (True, False, True, False),
        (True, True, False, False),
    ],
)
def test_what_cuts_a_trace(ended, explored, greedy, goes_on):
    assert trace_goes_on(ended, explored, greedy) is goes_on


def test_lag_is_never_negative():
    np.testing.assert_array_equal(
        policy_lag(10, np.array([10, 7, 0, 12], np.uint64)), [0, 3, 10, 0]
    )
