"""Munchausen as a switch: the ops are the rules, an update descends the slope, and it learns."""

import numpy as np
import pytest

from agentd.engine.layers import Dense, Dueling, Tanh
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, MunchausenConfig, TargetConfig
from agentd.engine.learners.heads import CategoricalConfig, QuantileConfig
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig
from agentd.engine.replay.rows import FIRST, TERMINATED
from agentd.engine.replay.sampling import sampler_rng
from agentd.engine.replay.transitions import TransitionReader
from agentd.engine.rules import munchausen as rules
from agentd.engine.rules import td

SOFT = MunchausenConfig(alpha=0.8, tau=0.2, clip=-0.5)
LOW, HIGH, Z = -3.0, 3.0, 5
HEADS = {
    "none": {},
    "categorical": {"categorical": CategoricalConfig(atoms=Z, low=LOW, high=HIGH)},
    "quantile": {"quantile": QuantileConfig(atoms=Z)},
}


def legal(rng, batch, branches):
    mask = (rng.random((batch, sum(branches))) < 0.5).astype(np.uint8)
    mask[:, np.cumsum((0, *branches[:-1]))] = 1
    return mask


@pytest.mark.parametrize("branches", [(3,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_every_op_is_its_rule(exact, branches, masked):
    rng, batch, width = np.random.default_rng(1), 9, sum(branches)
    q, select, y = (rng.standard_normal(s) for s in ((batch, width),) * 2 + ((batch, Z, width),))
    masks = [legal(rng, batch, branches) if masked else None for _ in range(2)]
    action = np.stack([rng.integers(0, n, batch) for n in branches], 1).astype(np.int32)
    reward, discount = rng.standard_normal(batch), rng.choice([0.0, 0.9], batch)
    numbers = SOFT.alpha, SOFT.tau, SOFT.clip
    place = [
        None if a is None else exact.asarray(a) for a in (q, masks[0], action, select, masks[1])
    ]
    r, d = exact.asarray(reward), exact.asarray(discount)
    policy, augmented = exact.empty((batch, width)), exact.empty((batch,))

    exact.munchausen(*place, branches, *numbers, r, d, policy, augmented)()

    given = (reward, discount, q, masks[0], action, select, masks[1], branches)
    expected, likely = rules.munchausen_reward(*given, *numbers)
    np.testing.assert_allclose(exact.to_host(augmented), expected)
    np.testing.assert_allclose(exact.to_host(policy), likely, atol=1e-12)

    target, wide = exact.empty((batch,)), exact.empty((batch, Z * len(branches)))
    shares, values = exact.empty((batch, Z)), exact.asarray(y)
    exact.expected_target(exact.asarray(q), policy, branches, r, d, target)()
    exact.expected_quantiles(values, policy, branches, r, d, wide)()
    exact.expected_categorical(values, policy, branches, LOW, HIGH, r, d, shares)()
    given = reward, discount, y, likely, branches
    expected = rules.expected_target(reward, discount, q, likely, branches)
    np.testing.assert_allclose(exact.to_host(target), expected)
    np.testing.assert_allclose(exact.to_host(wide), rules.expected_quantiles(*given))
    expected = rules.expected_categorical(*given, LOW, HIGH)
    np.testing.assert_allclose(exact.to_host(shares), expected, atol=1e-12)


def target_of(config, masks, batch, outputs, branches):
    """The rule's target, from what the networks say: (value, select, before), each (B, Z, A)."""
    means = [mean_of(config, y) for y in outputs]
    given = batch.reward_t, batch.discount_t, means[2], masks[0], batch.action_tm1
    soft = config.soft_policy
    numbers = soft.alpha, soft.tau, soft.clip
    reward, policy = rules.munchausen_reward(*given, means[1], masks[1], branches, *numbers)
    given = reward, batch.discount_t
    match config.distribution:
        case "quantile":
            return rules.expected_quantiles(*given, outputs[0], policy, branches)
        case "categorical":
            return rules.expected_categorical(*given, outputs[0], policy, branches, LOW, HIGH)
    return rules.expected_target(*given, means[0], policy, branches)


def mean_of(config, y):
    if config.distribution == "categorical":
        return td.categorical_value(y, LOW, HIGH)
    return y.mean(axis=1)


@pytest.mark.parametrize("distribution", HEADS)
@pytest.mark.parametrize(("branches", "masked"), [((3,), False), ((2, 3), True)])
@pytest.mark.parametrize("double", [False, True])
def test_a_prioritised_update_descends_the_slope_of_the_weighted_loss(
    exact, slope, make_ring, distribution, branches, masked, double
):
    """Central differences through network and rule: after some updates, so that weights differ."""
    ring = make_ring(128, 3, branches).fill(masked=masked, scale=2)
    priority = PriorityConfig(beta_steps=50)
    config = DqnConfig(
        gamma=0.9, n_step=2, batch=8, double=double, clip_norm=None, prioritized=True,
        target=TargetConfig(every=1_000), priority=priority, munchausen=True, soft_policy=SOFT,
        distribution=distribution, **HEADS[distribution],
    )  # fmt: skip
    atoms, total = config.head().atoms, sum(branches)
    network = Network(Dense(3), Tanh(), Dueling(branches, atoms=atoms), input_shape=(3,))
    sgd = OptimizerSpec(name="sgd", lr=1e-3)
    rule = make_optimizer(sgd, exact, network.n_trainable)
    learner = DqnLearner(network, exact, rule, ring.rows.format, config, 4)
    for _ in range(6):
        learner.update(ring.rows, 0, ring.head)
    twin = PrioritizedSampler(8, priority, sampler_rng(4))
    arrays, scalars = learner.get_state()
    twin.set_state(arrays, scalars["sampler"])
    before, target = exact.to_host(learner.params), exact.asarray(arrays["target"])

    learner.update(ring.rows, 0, ring.head)

    moved = (before - exact.to_host(learner.params)) / sgd.lr
    start = twin.draw(ring.rows, 0, ring.head)
    batch = TransitionReader(ring.rows.format, 8, 2, 0.9).read(ring.rows, ring.head, start)
    masks = (None, None) if batch.mask is None else (batch.mask[:8], batch.mask[8:])
    run = Pass(network, exact, 8)

    def outputs(p, x, mask):
        tiled = None if mask is None else np.tile(mask, (1, atoms))
        y = exact.to_host(run.forward(exact.asarray(p), x, tiled)).copy()
        return y.reshape(8, atoms, total)

    value = outputs(target, batch.x[8:], masks[1])
    select = outputs(before, batch.x[8:], masks[1]) if double else value
    said = value, select, outputs(target, batch.x[:8], masks[0])
    goal = target_of(config, masks, batch, said, branches)

    def loss(p):
        y = outputs(p, batch.x[:8], masks[0])
        given = y, batch.action_tm1, goal, twin.weight, branches
        if distribution == "categorical":
            return td.categorical_loss(*given)[0]
        if distribution == "quantile":
            return td.quantile_loss(*given, 1.0)[0]
        error = td.td_error(y[:, 0], batch.action_tm1, goal, branches)
        return td.td_loss(error, twin.weight, 1.0)[0]

    np.testing.assert_allclose(moved, slope(loss, before.copy()), rtol=1e-4, atol=1e-6)
    assert learner.stats["loss"] == pytest.approx(loss(before), rel=1e-5)


def test_a_bandit_is_valued_as_its_equation_says(exact, make_ring):
    """Two actions worth 1 and 0, then the end: q = r + α τ ln π has a fixed point."""
    ring = make_ring(256, 1)
    for i in range(120):
        ring.add(0, FIRST, obs=[1.0], action=i % 2)
        ring.add(0, TERMINATED, obs=[0.0], reward=1.0 - i % 2)
    soft = MunchausenConfig(tau=0.5, alpha=0.7, clip=-10.0)
    config = DqnConfig(
        n_step=1, batch=64, munchausen=True, soft_policy=soft, clip_norm=None,
        target=TargetConfig(tau=0.05),
    )  # fmt: skip
    network = Network(Dense(2), input_shape=(1,))
    rule = make_optimizer(OptimizerSpec(name="adam", lr=2e-2), exact, network.n_trainable)
    learner = DqnLearner(network, exact, rule, ring.rows.format, config, 0)
    for _ in range(1_500):
        learner.update(ring.rows, 0, ring.head)

    q = exact.to_host(Pass(network, exact, 1).forward(learner.params, np.ones((1, 1))))[0]

    # the gap d = q0 - q1 obeys d = 1 + α d: an action is 1 / (1 - α) apart, as the paper shows
    assert q[0] - q[1] == pytest.approx(1 / (1 - soft.alpha), rel=0.02)
    log = q[0] - 0.5 * np.log(np.exp(q / 0.5).sum())
    assert q[0] == pytest.approx(1 + soft.alpha * log, abs=0.02)
