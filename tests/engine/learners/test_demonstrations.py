"""Learning from what others played: the margin loss's slope, exact resume, and that it helps."""

import json

import numpy as np
import pytest

from agentd.engine.layers import Dense, Dueling, Relu, Tanh
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import NOMINAL_DT_S, DqnConfig, TargetConfig
from agentd.engine.learners.heads import (
    CategoricalConfig,
    CategoricalHead,
    QuantileConfig,
    QuantileHead,
    ValueHead,
)
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.demonstrations import (
    DemonstrationConfig,
    DemonstrationIndex,
    MixedSampler,
)
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.rows import FIRST, MID
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.transitions import TransitionReader
from agentd.engine.rules import td

SGD = OptimizerSpec(name="sgd", lr=1e-3)
C51 = CategoricalHead(CategoricalConfig(atoms=5, low=-3.0, high=3.0))
QR = QuantileHead(QuantileConfig(atoms=4, kappa=1.0))
KINDS = {
    "values": (ValueHead(), {}),
    "c51": (C51, {"distribution": "categorical", "categorical": C51.config}),
    "quantiles": (QR, {"distribution": "quantile", "quantile": QR.config}),
}
SHOWN = DemonstrationConfig(min_rows=10, full_rows=100, n_step=4, margin=0.5, weight_updates=40)


def learner_of(backend, network, ring, config, seed=0, optimizer=None, shown=SHOWN):
    rule = make_optimizer(optimizer or OptimizerSpec(lr=1e-2), backend, network.n_trainable)
    return DqnLearner(network, backend, rule, ring.rows.format, config, seed, demonstrations=shown)


def show(ring, every=3, by=1):
    """Say of some rows, in runs, that a person played them."""
    rows = np.arange(ring.head)
    ring.rows.explored[rows % ring.rows.capacity] = 2 * by * (rows // 8 % every == 0)
    return ring


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("branches", [(3,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_an_update_descends_the_slope_of_both_losses(
    exact, slope, make_ring, kind, branches, masked, dueling
):
    """Central differences through network and rules, in float64."""
    head, options = KINDS[kind]
    ring = show(make_ring(128, 3, branches).fill(masked=masked, scale=2))
    size, total, z = 16, sum(branches), head.atoms
    if masked:
        ring.rows.action[:] = 0  # the first of a branch is always legal
    last = Dueling(branches, atoms=z) if dueling else Dense(z * total)
    network = Network(Dense(4), Tanh(), last, input_shape=(3,))
    config = DqnConfig(
        gamma=0.9, n_step=2, batch=size, clip_norm=None, target=TargetConfig(every=99), **options
    )
    learner = learner_of(exact, network, ring, config, 4, SGD)
    before = exact.to_host(learner.params)

    learner.update(ring.rows, 0, ring.head)

    moved = (before - exact.to_host(learner.params)) / SGD.lr
    rng, index = sampler_rng(4), DemonstrationIndex()
    index.follow(ring.rows, 0, ring.head)
    start = MixedSampler(UniformSampler(size, rng), index, SHOWN, rng, size).draw(
        ring.rows, 0, ring.head
    )
    reader = TransitionReader(ring.rows.format, size, 2, 0.9, demonstrated=4)
    reader.sees_by = reader.tells_by = True
    batch = reader.read(ring.rows, ring.head, start)
    masks = (None, None) if batch.mask is None else (batch.mask[:size], batch.mask[size:])
    run = Pass(network, exact, size)

    def outputs(p, x, mask):
        tiled = None if mask is None else np.tile(mask, (1, z))
        return exact.to_host(run.forward(exact.asarray(p), x, tiled)).reshape(size, z, total)

    def values(y):
        if head is C51:
            return td.categorical_value(y, C51.config.low, C51.config.high)
        return y.mean(axis=1)

    y_t = outputs(before, batch.x[size:], masks[1])
    given = (batch.reward_t, batch.discount_t)
    if head is C51:
        ends = C51.config.low, C51.config.high
        goal = td.categorical_target(*given, y_t, values(y_t), masks[1], branches, *ends)
        means = goal @ np.linspace(*ends, z)
    elif head is QR:
        goal = td.quantile_target(*given, y_t, values(y_t), masks[1], branches)
        means = goal.mean(axis=1)
    else:
        goal = means = td.q_target(*given, values(y_t), masks[1], branches)
    margin, shown = SHOWN.margin * means.std(), batch.by > 0

    def loss(p):
        y = outputs(p, batch.x[:size], masks[0])
        if head is C51:
            own = td.categorical_loss(y, batch.action_tm1, goal, None, branches)[0]
        elif head is QR:
            own = td.quantile_loss(y, batch.action_tm1, goal, None, branches, 1.0)[0]
        else:
            error = td.td_error(y[:, 0], batch.action_tm1, goal, branches)
            own = td.td_loss(error, None, 1.0)[0]
        far = td.margin_loss(values(y), batch.action_tm1, masks[0], branches, margin)
        return own + SHOWN.weight * far[shown].mean()

    assert 4 < shown.sum() < size
    np.testing.assert_allclose(moved, slope(loss, before.copy()), rtol=1e-4, atol=1e-6)
    assert learner.stats["loss"] == pytest.approx(loss(before), rel=1e-5)
    assert learner.stats["demonstrations"] == len(index)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prioritized": True, "priority": PriorityConfig(beta_steps=50)},
        KINDS["c51"][1],
        {"prioritized": True, "frame_stack": 2},
    ],
    ids=["uniform", "prioritised", "c51", "stacked"],
)
def test_an_update_after_a_restart_is_the_same_bit_for_bit(backend, make_ring, options):
    config = DqnConfig(batch=16, n_step=3, **options)
    stack = config.frame_stack
    ring = show(make_ring(256, 4, (3,), stack).fill(length=240, scale=2))
    atoms = config.head().atoms
    network = Network(Dense(8), Relu(), Dense(3 * atoms), input_shape=(4 * stack,))

    def learn(learner, updates):
        for _ in range(updates):
            done = learner.updates
            learner.update(ring.rows, max(0, done - 60), 100 + done // 2 * 2, 2 - done % 2)
        return learner.get_state()

    whole, rest = (learner_of(backend, network, ring, config, seed) for seed in (1, 99))
    arrays, scalars = learn(whole, 45)  # an odd number: in the middle of a group
    rest.set_state({key: a.copy() for key, a in arrays.items()}, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, 25)
    resumed, resumed_numbers = learn(rest, 25)

    assert resumed_numbers == numbers
    assert numbers["demonstrations"]["updates"] == 70
    for name in expected:
        assert resumed[name].tobytes() == expected[name].tobytes(), name


def test_demonstrations_begin_and_go_back_with_a_checkpoint(backend, make_ring):
    ring = make_ring(256, 4).fill(length=240)
    network = Network(Dense(8), Relu(), Dense(2), input_shape=(4,))
    learner = learner_of(backend, network, ring, DqnConfig(batch=16))
    learner.update(ring.rows, 0, 200)
    arrays, scalars = learner.get_state()
    assert "demonstrations" not in {*scalars, *learner.stats}

    ring.rows.explored[200:] = 2
    learner.update(ring.rows, 0, 240)
    assert learner.get_state()[1]["demonstrations"]["updates"] == 1

    learner.set_state(arrays, scalars)  # of before there were any
    assert "demonstrations" not in learner.get_state()[1]


def test_the_margin_loss_fades(exact, make_ring):
    ring = show(make_ring(128, 3).fill(scale=2))
    network = Network(Dense(2), input_shape=(3,))
    shown = DemonstrationConfig(min_rows=10, weight=2.0, weight_end=0.0, weight_updates=3)
    learner = learner_of(exact, network, ring, DqnConfig(batch=32), 0, SGD, shown)
    losses = []
    for _ in range(4):
        learner.update(ring.rows, 0, ring.head)
        losses.append(learner.stats["margin_loss"])

    assert [shown.weight_after(n) for n in (0, 1, 2, 3, 9)] == pytest.approx(
        [2, 4 / 3, 2 / 3, 0, 0]
    )
    assert losses[0] > losses[1] > losses[2] > losses[3] == 0


def test_few_demonstrations_are_rows_like_any_other(backend, make_ring):
    ring = show(make_ring(256, 3).fill(length=240, scale=2))
    network = Network(Dense(8), Relu(), Dense(2), input_shape=(3,))
    config = DqnConfig(batch=16)
    found = []
    for shown in (DemonstrationConfig(min_rows=200), DemonstrationConfig(share=0, weight=0)):
        learner = learner_of(backend, network, ring, config, 3, shown=shown)
        for _ in range(5):
            learner.update(ring.rows, 0, ring.head)
        assert "margin_loss" not in learner.stats
        found.append(backend.to_host(learner.params))
    assert found[0].tobytes() == found[1].tobytes()


def test_an_agent_that_only_watched_plays_what_it_saw(backend, make_ring):
    """A person's rows alone: each observation's shown action becomes the best one."""
    ring, rng = make_ring(512, 2, (4,)), np.random.default_rng(0)
    for _ in range(60):
        for kind in (FIRST, MID, MID, MID):
            x = rng.standard_normal(2)
            shown = int(x[0] > 0) + 2 * int(x[1] > 0)
            ring.add(0, kind, obs=x, action=shown, reward=rng.normal(), explored=2)
    network = Network(Dense(32), Relu(), Dense(4), input_shape=(2,))
    shown = DemonstrationConfig(min_rows=10, margin=1.0)
    learner = learner_of(backend, network, ring, DqnConfig(batch=64), shown=shown)
    for _ in range(300):
        learner.update(ring.rows, 0, ring.head)

    x = rng.standard_normal((200, 2)).astype(np.float32)
    q = backend.to_host(Pass(network, backend, 200).forward(learner.params, x))
    right = (x[:, 0] > 0) + 2 * (x[:, 1] > 0)
    assert (q.argmax(axis=1) == right).mean() > 0.8


class Dive:
    """Deep sea of ``size`` rows: only going right in each of them finds the treasure."""

    def __init__(self, ring, size):
        self.ring, self.size = ring, size
        self.right = np.random.default_rng(42).integers(2, size=(size, size))

    def cell(self, row, column):
        cells = np.zeros((self.size, self.size), np.float32)
        if row < self.size:
            cells[row, column] = 1
        return cells

    def play(self, choose, by=0):
        """Play one dive by ``choose(observation, row, column)``; return what it earned."""
        column, reward, total, kind = 0, 0.0, 0.0, FIRST
        for row in range(self.size):
            x = self.cell(row, column)
            action = choose(x, row, column)
            if self.ring is not None:
                self.ring.add(0, kind, obs=x, action=action, reward=reward, explored=2 * by)
            right = action == self.right[row, column]
            found = right and row == column == self.size - 1
            reward = float(found) - right * 0.01 / self.size
            column = min(max(column + (1 if right else -1), 0), self.size - 1)
            total, kind = total + reward, MID
        if self.ring is not None:
            self.ring.add(0, 2, obs=self.cell(self.size, 0), reward=reward)
        return total


@pytest.mark.parametrize("demonstrations", [0, 5])
def test_five_demonstrations_find_a_treasure_that_chance_does_not(
    backend, make_ring, demonstrations
):
    size, dives = 14, 80
    ring, rng = make_ring(4_096, size * size), np.random.default_rng(5)
    sea = Dive(ring, size)
    for _ in range(demonstrations):
        sea.play(lambda _x, row, column: int(sea.right[row, column]), by=2)
    network = Network(Dense(32), Relu(), Dense(2), input_shape=(size * size,))
    config = DqnConfig(batch=32, n_step=3, target=TargetConfig(tau=0.02))
    shown = DemonstrationConfig(min_rows=20, full_rows=100)
    learner = learner_of(backend, network, ring, config, 1, OptimizerSpec(lr=1e-3), shown)
    run = Pass(network, backend, 1)

    def greedy(x, _row, _column):
        q = backend.to_host(run.forward(learner.params, x.reshape(1, -1)))
        return int(q.argmax())

    def explore(x, row, column):
        return int(rng.integers(2)) if rng.random() < 0.1 else greedy(x, row, column)

    for _ in range(dives):
        sea.play(explore)
        for _ in range(size):
            learner.update(ring.rows, 0, ring.head)

    earned = Dive(None, size).play(greedy)
    assert earned == pytest.approx(0.99) if demonstrations else earned < 0.1


def test_a_horizon_in_seconds_sets_the_discount():
    live = DqnConfig(horizon_s=3.0)

    assert live.per_row() == live.per_row(NOMINAL_DT_S) == pytest.approx(np.exp(-1 / 180))
    assert live.per_row(1 / 15) == pytest.approx(live.per_row(1 / 60) ** 4)
    assert DqnConfig(horizon_s=3.0, alternating=True).per_row() == -live.per_row()
    assert DqnConfig(gamma=0.9).per_row(1.0) == 0.9
    with pytest.raises(ValueError, match=r"horizon_s \(3\) and gamma \(0.9\)"):
        DqnConfig(horizon_s=3.0, gamma=0.9)
