"""IQN as a switch: an update is the paper's loss, written out, and its slope; it values a coin."""

from itertools import pairwise

import numpy as np
import pytest

from agentd.engine.layers import Dense, Dueling, Tanh
from agentd.engine.layers.implicit import ImplicitQuantiles
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, MunchausenConfig, TargetConfig
from agentd.engine.learners.implicit_head import ImplicitConfig
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig
from agentd.engine.replay.rows import FIRST, TERMINATED
from agentd.engine.replay.sampling import sampler_rng
from agentd.engine.replay.transitions import TransitionReader
from agentd.engine.rules import munchausen as rules

IQN = ImplicitConfig(samples=3, targets=4, choices=5, cosines=6, kappa=0.7)
SOFT = MunchausenConfig(alpha=0.8, tau=0.2, clip=-0.5)
PRIORITY = PriorityConfig(beta_steps=50)
SGD = OptimizerSpec(name="sgd", lr=1e-3)


def loss_of(y, tau, goal, batch, weight, branches, kappa):
    """Equation 3 of arXiv:1806.06923, pair by pair: Σ_i mean_j |τ_i - [δ < 0]| H(δ) / κ."""
    total, start = 0.0, np.cumsum((0, *branches[:-1]))
    for b, row in enumerate(batch.action_tm1):
        for at, action in zip(start, row, strict=True):
            for i, fraction in enumerate(tau[b]):
                for aim in goal[b]:
                    error = aim - y[b, i, at + action]
                    size = abs(error)
                    bent = 0.5 * error**2 if size <= kappa else kappa * (size - 0.5 * kappa)
                    side = abs(fraction - float(error < 0))
                    total += weight[b] * side * bent / kappa / goal.shape[1]
    return total / len(goal) / len(branches)


def goal_of(batch, value, select, before, masks, branches, soft):
    """Targets (B, N N'): the samples of the action with the best mean, or M-IQN's mean over π."""
    reward, discount = batch.reward_t, batch.discount_t
    if soft is not None:
        given = reward, discount, before.mean(axis=1), masks[0], batch.action_tm1
        numbers = soft.alpha, soft.tau, soft.clip
        reward, policy = rules.munchausen_reward(
            *given, select.mean(axis=1), masks[1], branches, *numbers
        )
        return rules.expected_quantiles(reward, discount, value, policy, branches)
    rows, start = [], np.cumsum((0, *branches))
    for b in range(len(value)):
        row = []
        for first, end in pairwise(start):
            mean = select[b, :, first:end].mean(axis=0)
            if masks[1] is not None:
                mean = np.where(masks[1][b, first:end], mean, -np.inf)
            row += list(reward[b] + discount[b] * value[b, :, first + mean.argmax()])
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(("branches", "masked"), [((3,), False), ((2, 3), True)])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("soft", [None, SOFT], ids=["greedy", "munchausen"])
def test_a_prioritised_update_descends_the_slope_of_the_papers_loss(
    exact, slope, make_ring, branches, masked, double, soft
):
    ring, total = make_ring(128, 3, branches).fill(masked=masked, scale=2), sum(branches)
    extra = {} if soft is None else {"munchausen": True, "soft_policy": soft}
    config = DqnConfig(
        gamma=0.9, n_step=2, batch=8, double=double, clip_norm=None, prioritized=True,
        target=TargetConfig(every=1_000), priority=PRIORITY, distribution="implicit",
        implicit=IQN, **extra,
    )  # fmt: skip
    last = ImplicitQuantiles(IQN.samples, (Dueling(branches),), cosines=IQN.cosines)
    network = Network(Dense(3), Tanh(), last, input_shape=(3,))
    rule = make_optimizer(SGD, exact, network.n_trainable)
    learner = DqnLearner(network, exact, rule, ring.rows.format, config, 4)
    for _ in range(6):
        learner.update(ring.rows, 0, ring.head)
    twin = PrioritizedSampler(8, PRIORITY, sampler_rng(4))
    arrays, scalars = learner.get_state()
    twin.set_state(arrays, scalars["sampler"])
    before, target = exact.to_host(learner.params), exact.asarray(arrays["target"])

    learner.update(ring.rows, 0, ring.head)

    moved = (before - exact.to_host(learner.params)) / SGD.lr
    start = twin.draw(ring.rows, 0, ring.head)
    batch = TransitionReader(ring.rows.format, 8, 2, 0.9).read(ring.rows, ring.head, start)
    masks = (None, None) if batch.mask is None else (batch.mask[:8], batch.mask[8:])
    head, states = config.head(), scalars["passes"]
    fixed, drawn = head.choosing(network), head.valuing(network)

    def outputs(of, p, x, mask, state=None):
        run = Pass(of, exact, 8, noisy=True)
        if state is not None:
            run.set_state(state)
        n = of.output_shape[0] // total
        tiled = None if mask is None else np.tile(mask, (1, n))
        y = exact.to_host(run.forward(exact.asarray(p), x, tiled)).copy()
        return y.reshape(8, n, total), run.fractions

    value, _ = outputs(drawn, target, batch.x[8:], masks[1], states[2])
    select, _ = outputs(fixed, before if double else target, batch.x[8:], masks[1])
    early, _ = outputs(fixed, target, batch.x[:8], masks[0])
    goal = goal_of(batch, value, select, early, masks, branches, soft)
    assert value.shape[1] == IQN.targets
    assert select.shape[1] == IQN.choices

    def loss(p):
        y, tau = outputs(network, p, batch.x[:8], masks[0], states[0])
        return loss_of(y, tau, goal, batch, twin.weight, branches, IQN.kappa)

    assert learner.stats["loss"] == pytest.approx(loss(before), rel=1e-5)
    some = np.random.default_rng(0).permutation(network.n_trainable)[:12]
    for i in some:
        ahead, behind = before.copy(), before.copy()
        ahead[i], behind[i] = ahead[i] + 1e-5, behind[i] - 1e-5
        expected = (loss(ahead) - loss(behind)) / 2e-5
        assert moved[i] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_quantiles_of_a_coin_are_found(backend, make_ring):
    """An action that brings 0 or 10: low fractions are worth 0, high ones 10, the mean 5."""
    ring = make_ring(512, 1)
    for i in range(240):
        ring.add(0, FIRST, obs=[1.0], action=i % 2)
        ring.add(0, TERMINATED, obs=[0.0], reward=10.0 * (i // 2 % 2) if i % 2 else 4.0)
    config = DqnConfig(
        n_step=1, batch=64, distribution="implicit", target=TargetConfig(every=100),
        implicit=ImplicitConfig(samples=8, targets=2, choices=16, cosines=16),
    )  # fmt: skip
    head = config.head()
    last = ImplicitQuantiles(8, (Dense(16), Tanh(), Dense(2)), cosines=16)
    network = Network(Dense(8), Tanh(), last, input_shape=(1,))
    rule = make_optimizer(OptimizerSpec(name="adam", lr=1e-2), backend, network.n_trainable)
    learner = DqnLearner(network, backend, rule, ring.rows.format, config, 0)
    for _ in range(600):
        learner.update(ring.rows, 0, ring.head)

    run = Pass(head.choosing(network), backend, 1)
    y = run.forward(learner.params, np.ones((1, 1), np.float32)).reshape(16, 2)

    assert y[:, 0] == pytest.approx(4.0, abs=0.7)
    assert y[:6, 1].mean() < 2 < 8 < y[10:, 1].mean()
    assert y[:, 1].mean() == pytest.approx(5.0, abs=0.7)
