"""Value distributions: the rules by hand, the ops equal to the rules, gradients by differences."""

import numpy as np
import pytest

from agentd.engine.backend import TdStep
from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import Dense, Expectation
from agentd.engine.learners.heads import (
    CategoricalConfig,
    CategoricalHead,
    QuantileConfig,
    QuantileHead,
)
from agentd.engine.network import Network, Pass
from agentd.engine.rules import td

BRANCHES = [(3,), (2, 3)]
LOW, HIGH, Z = -2.0, 3.0, 6


def case(branches, batch=9, seed=0):
    rng = np.random.default_rng(seed)
    width = sum(branches)
    mask = (rng.random((batch, width)) < 0.5).astype(np.uint8)
    mask[:, np.cumsum((0, *branches[:-1]))] = 1
    return {
        "y": rng.standard_normal((batch, Z, width)),
        "select": rng.standard_normal((batch, width)),
        "mask": mask,
        "reward": rng.standard_normal(batch),
        "discount": rng.choice([0.0, 0.9], batch),
        "action": np.stack([rng.integers(0, n, batch) for n in branches], 1).astype(np.int32),
        "weight": rng.random(batch) + 0.1,
    }


def test_a_distribution_moves_to_the_atoms_around_it():
    y = np.log(np.array([[[0.25], [0.5], [0.25]]]))  # atoms -1, 0, 1

    target = td.categorical_target(
        np.array([0.25]), np.array([0.5]), y, np.zeros((1, 1)), None, (1,), -1.0, 1.0
    )

    # -0.25 (¼), 0.25 (½), 0.75 (¼)
    np.testing.assert_allclose(target, [[0.0625, 0.1875 + 0.375 + 0.0625, 0.125 + 0.1875]])
    assert td.categorical_value(y, -1.0, 1.0)[0, 0] == pytest.approx(0.0)


def test_a_terminated_row_puts_everything_at_its_reward():
    y = np.random.default_rng(0).standard_normal((1, 5, 2))

    target = td.categorical_target(
        np.array([9.0]), np.zeros(1), y, np.zeros((1, 2)), None, (2,), -2.0, 2.0
    )

    np.testing.assert_allclose(target, [[0, 0, 0, 0, 1]])


def test_quantile_loss_by_hand():
    y = np.array([[[0.0], [1.0]]])
    target = np.array([[0.5, 2.0]])

    loss, each = td.quantile_loss(y, np.zeros((1, 1), int), target, None, (1,), 1.0)

    # τ = ¼, ¾; u = ½, 2 for y = 0 and -½, 1 for y = 1; H = ⅛, 3/2, ⅛, ½
    expected = (0.25 * 0.125 + 0.25 * 1.5) / 2 + (0.25 * 0.125 + 0.75 * 0.5) / 2
    assert loss == each[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("branches", BRANCHES)
def test_the_targets_mean_is_that_of_double_q_learning(branches):
    c = case(branches)
    wide = (-50.0, 50.0)  # nothing is clipped
    q = td.categorical_value(c["y"], *wide)

    target = td.categorical_target(
        c["reward"], c["discount"], c["y"], c["select"], c["mask"], branches, *wide
    )

    mean = target @ np.linspace(*wide, Z)
    expected = td.double_q_target(c["reward"], c["discount"], q, c["select"], c["mask"], branches)
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    np.testing.assert_allclose(target.sum(axis=1), 1.0)
    quantiles = td.quantile_target(
        c["reward"], c["discount"], c["y"], c["select"], c["mask"], branches
    )
    expected = td.double_q_target(
        c["reward"], c["discount"], c["y"].mean(axis=1), c["select"], c["mask"], branches
    )
    np.testing.assert_allclose(quantiles.mean(axis=1), expected, rtol=1e-9)


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("masked", [False, True])
def test_targets_and_values_are_the_rules(exact, branches, masked):
    c = case(branches)
    mask = c["mask"] if masked else None
    y, select, reward, discount = (
        exact.asarray(c[name]) for name in ("y", "select", "reward", "discount")
    )
    legal = exact.asarray(mask) if masked else None
    batch = len(c["reward"])
    categorical, q = exact.empty((batch, Z)), exact.empty(c["select"].shape)
    quantile = exact.empty((batch, Z * len(branches)))

    exact.categorical_target(y, select, legal, branches, LOW, HIGH, reward, discount, categorical)()
    exact.quantile_target(y, select, legal, branches, reward, discount, quantile)()

    given = (c["reward"], c["discount"], c["y"], c["select"], mask, branches)
    expected = td.categorical_target(*given, LOW, HIGH)
    np.testing.assert_allclose(exact.to_host(categorical), expected, atol=1e-12)
    np.testing.assert_allclose(exact.to_host(quantile), td.quantile_target(*given), rtol=1e-12)
    exact.categorical_values(y, LOW, HIGH, q)()
    np.testing.assert_allclose(exact.to_host(q), td.categorical_value(c["y"], LOW, HIGH))
    exact.quantile_values(y, q)()
    np.testing.assert_allclose(exact.to_host(q), c["y"].mean(axis=1))


@pytest.mark.parametrize("branches", BRANCHES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["categorical", "quantile"])
def test_losses_are_the_rules_and_their_gradients_the_slopes(
    exact, slope, branches, weighted, kind
):
    c = case(branches, batch=5)
    rng = np.random.default_rng(3)
    weight = c["weight"] if weighted else None
    head = QuantileHead(QuantileConfig(atoms=Z, kappa=0.7))
    if kind == "categorical":
        head = CategoricalHead(CategoricalConfig(atoms=Z, low=LOW, high=HIGH))
    if kind == "categorical":
        goal = rng.dirichlet(np.ones(Z), 5)
    else:
        goal = rng.standard_normal((5, Z * len(branches)))

    def rule(y):
        if kind == "categorical":
            return td.categorical_loss(y, c["action"], goal, weight, branches)
        return td.quantile_loss(y, c["action"], goal, weight, branches, 0.7)

    y = exact.asarray(c["y"].reshape(5, -1))
    dy, loss = exact.empty(y.shape), exact.empty((1,))
    action = exact.asarray(c["action"])
    placed = None if weight is None else exact.asarray(weight)
    each = exact.empty(head.error_shape(5, branches))
    blank = exact.zeros((5,))
    step = TdStep(
        branches=branches,
        value=y,
        select=y,
        mask=None,
        reward=blank,
        discount=blank,
        y=y,
        action=action,
        weight=placed,
        huber=None,
        target=exact.asarray(goal),
        dy=dy,
        error=each,
        loss=loss,
    )
    head.bind_loss(exact, step)()

    assert exact.to_host(loss)[0] == pytest.approx(rule(c["y"])[0])
    np.testing.assert_allclose(
        exact.to_host(each).reshape(len(branches), 5).T, rule(c["y"])[1], rtol=1e-9
    )
    expected = slope(lambda at: rule(at)[0], c["y"].copy())
    np.testing.assert_allclose(exact.to_host(dy), expected.reshape(5, -1), atol=1e-8)


@pytest.mark.parametrize(("low", "high"), [(LOW, HIGH), (None, None)])
def test_the_acting_network_ends_in_the_means(exact, rng, low, high):
    learning = Network(Dense(Z * 3), input_shape=(4,))
    acting = Network(Dense(Z * 3), Expectation(Z, low, high), input_shape=(4,))
    params = exact.asarray(learning.init(rng).astype(np.float64))
    x = rng.standard_normal((5, 4))

    y = exact.to_host(Pass(learning, exact, 5).forward(params, x)).reshape(5, Z, 3)
    q = exact.to_host(Pass(acting, exact, 5).forward(params, x))

    expected = y.mean(axis=1) if low is None else td.categorical_value(y, low, high)
    np.testing.assert_allclose(q, expected)
    assert acting.n_params == learning.n_params


def test_what_does_not_fit_is_refused(exact):
    with pytest.raises(ModelError, match="are not 4 for each action"):
        Network(Dense(6), Expectation(4), input_shape=(2,))
    with pytest.raises(ShapeError, match="quantile_values"):
        exact.quantile_values(exact.zeros((2, 3, 4)), exact.zeros((2, 3)))
    with pytest.raises(ShapeError, match="action"):
        exact.take_action(
            exact.zeros((2, 3, 4)), exact.zeros((2, 2), "int32"), (4,), exact.zeros((2, 3))
        )
