"""What may be combined with deep Q-learning: each is its rule, resumes bit for bit, and learns."""

import json

import numpy as np
import pytest
from msgspec.structs import replace

from agentd.engine.layers import Dense, Dueling, NoisyDense, Normalize, Relu, Tanh
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.heads import (
    CategoricalConfig,
    CategoricalHead,
    QuantileConfig,
    QuantileHead,
)
from agentd.engine.learners.implicit_head import ImplicitConfig
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, TRUNCATED
from agentd.engine.replay.sampling import sampler_rng
from agentd.engine.replay.transitions import TransitionReader
from agentd.engine.rules import td

SGD = OptimizerSpec(name="sgd", lr=1e-3)
C51 = CategoricalHead(CategoricalConfig(atoms=5, low=-3.0, high=3.0))
QR = QuantileHead(QuantileConfig(atoms=4, kappa=1.0))
AS_C51 = {"distribution": "categorical", "categorical": C51.config}
AS_QR = {"distribution": "quantile", "quantile": QR.config}
AS_IQN = {"distribution": "implicit", "implicit": ImplicitConfig(samples=3, targets=2, choices=4)}
PRIORITY = PriorityConfig(beta_steps=50)


def learner_of(backend, network, ring, config, seed=0, optimizer=None, reward=UNSHAPED):
    rule = make_optimizer(optimizer or OptimizerSpec(lr=1e-2), backend, network.n_trainable)
    return DqnLearner(network, backend, rule, ring.rows.format, config, seed, reward=reward)


@pytest.mark.parametrize("branches", [(3,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("head", [C51, QR], ids=["c51", "qr"])
def test_a_prioritised_update_descends_the_slope_of_the_weighted_loss(
    exact, slope, make_ring, branches, masked, dueling, double, head
):
    """Central differences through network and rule: after some updates, so that weights differ."""
    ring = make_ring(128, 3, branches).fill(masked=masked, scale=2)
    total = sum(branches)
    last = Dueling(branches, atoms=head.atoms) if dueling else Dense(head.atoms * total)
    network = Network(Dense(3), Tanh(), last, input_shape=(3,))
    config = DqnConfig(
        gamma=0.9, n_step=2, batch=8, double=double, clip_norm=None, prioritized=True,
        target=TargetConfig(every=1_000), priority=PRIORITY, **(AS_QR if head is QR else AS_C51),
    )  # fmt: skip
    learner = learner_of(exact, network, ring, config, 4, SGD)
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
    run = Pass(network, exact, 8)

    def outputs(p, x, mask):
        tiled = None if mask is None else np.tile(mask, (1, head.atoms))
        y = exact.to_host(run.forward(exact.asarray(p), x, tiled))
        return y.reshape(8, head.atoms, total)

    def values(y):
        return (
            y.mean(axis=1)
            if head is QR
            else td.categorical_value(y, C51.config.low, C51.config.high)
        )

    value = outputs(target, batch.x[8:], masks[1])
    select = values(outputs(before, batch.x[8:], masks[1]) if double else value)
    given = (batch.reward_t, batch.discount_t, value, select, masks[1], branches)
    goal = (
        td.quantile_target(*given)
        if head is QR
        else td.categorical_target(*given, C51.config.low, C51.config.high)
    )

    def loss(p):
        y = outputs(p, batch.x[:8], masks[0])
        given = (y, batch.action_tm1, goal, twin.weight, branches)
        return (td.quantile_loss(*given, 1.0) if head is QR else td.categorical_loss(*given))[0]

    assert twin.weight.min() < 1.0
    np.testing.assert_allclose(moved, slope(loss, before.copy()), rtol=1e-4, atol=1e-6)
    assert learner.stats["loss"] == pytest.approx(loss(before), rel=1e-5)


VARIANTS = {
    "plain": ({}, {}),
    "priority": ({"prioritized": True, "priority": PRIORITY}, {}),
    "c51": ({**AS_C51}, {}),
    "quantile": ({**AS_QR, "target": TargetConfig(tau=0.05)}, {}),
    "munchausen": ({"munchausen": True, **AS_QR}, {"noisy": True, "masked": True}),
    "implicit": (
        {**AS_IQN, "munchausen": True, "prioritized": True, "priority": PRIORITY},
        {"noisy": True, "dueling": True, "branches": (2, 3), "masked": True},
    ),
    "noisy": ({}, {"noisy": True}),
    "rewards": ({}, {"reward": RewardConfig(scale=0.5, clip=1.0, normalize=True)}),
    "inputs": ({}, {"normalize": True}),
    "stack": ({"prioritized": True, "priority": PRIORITY}, {"stack": 3}),
    "actions": ({"n_step": 3}, {"last": 2}),
    "all": (
        {
            "prioritized": True, "priority": PRIORITY, **AS_C51, "n_step": 3,
        },
        {"noisy": True, "normalize": True, "stack": 2, "last": 3, "dueling": True,
         "branches": (2, 3), "masked": True, "reward": RewardConfig(normalize=True)},
    ),
}  # fmt: skip


def build(backend, make_ring, name, seed):
    options, extra = VARIANTS[name]
    config = DqnConfig(batch=16, **options)
    branches, stack = extra.get("branches", (3,)), extra.get("stack", 1)
    ring = make_ring(256, 4, branches, stack, extra.get("last", 0))
    hidden = NoisyDense(8) if extra.get("noisy") else Dense(8)
    sigma = 0.5 if extra.get("noisy") else None
    meaning = config.head()
    head = Dense(meaning.columns * sum(branches))
    if extra.get("dueling"):
        head = Dueling(branches, atoms=meaning.columns, sigma=sigma)
    if (wrapped := meaning.wrapped(acting=False)) is not None:
        head = replace(wrapped, layers=(head,))
    first = (Normalize(),) if extra.get("normalize") else ()
    network = Network(*first, hidden, Relu(), head, input_shape=ring.rows.format.input_shape)
    ring.fill(length=200, masked=bool(extra.get("masked")), scale=2)
    return ring, learner_of(
        backend, network, ring, config, seed, reward=extra.get("reward", UNSHAPED)
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_two_n_updates_equal_n_saved_resumed_and_n(backend, make_ring, name):
    ring, whole = build(backend, make_ring, name, 1)
    _, rest = build(backend, make_ring, name, 99)

    def learn(learner, updates):
        for _ in range(updates):
            done = learner.updates
            learner.update(ring.rows, max(0, done - 60), 100 + done // 2 * 2, 2 - done % 2)
        return learner.get_state()

    arrays, scalars = learn(whole, 45)  # an odd number: in the middle of a group
    copies = {key: array.copy() for key, array in arrays.items()}
    rest.set_state(copies, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, 45)
    resumed, resumed_numbers = learn(rest, 45)

    assert resumed_numbers == numbers
    assert resumed.keys() == expected.keys()
    for key in expected:
        assert resumed[key].tobytes() == expected[key].tobytes(), key
    assert not (expected["params"] == arrays["params"]).all()


def test_what_is_not_finite_gives_no_priority(backend, make_ring):
    ring, learner = build(backend, make_ring, "priority", 0)
    learner.update(ring.rows, 0, 200)
    before = learner.get_state()[0]["replay.priority"].copy()
    ring.rows.reward[:] = np.nan

    learner.update(ring.rows, 0, 200)

    assert learner.skipped_in_row == 1
    assert learner.get_state()[0]["replay.priority"].tobytes() == before.tobytes()


def test_input_statistics_are_those_of_all_rows_seen(exact, make_ring):
    ring, learner = build(exact, make_ring, "inputs", 0)

    learner.update(ring.rows, 0, 50)
    learner.update(ring.rows, 0, 200)

    x = ring.rows.obs[:200].view(np.float32)
    arrays, _ = learner.get_state()
    for vector in (arrays["params"], arrays["target"]):
        mean, variance = vector[-8:].reshape(2, 4)
        np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-4)


def test_stacks_never_cross_the_beginning_of_an_episode(make_ring):
    ring = make_ring(32, 1, stack=3)
    for stream, kind in [(0, FIRST), (1, FIRST), (0, MID), (1, MID), (0, TERMINATED), (1, MID)]:
        ring.add(stream, kind, obs=[ring.head])
    for kind in (FIRST, MID, MID, MID, TRUNCATED):
        ring.add(0, kind, obs=[ring.head])
    reader = TransitionReader(ring.rows.format, 4, 1, 0.9)

    x = reader.read(ring.rows, ring.head, np.array([0, 3, 6, 8])).x

    assert x.tolist() == [
        [0, 0, 0], [1, 1, 3], [6, 6, 6], [6, 7, 8],
        [0, 0, 2], [1, 3, 5], [6, 6, 7], [7, 8, 9],
    ]  # fmt: skip


def test_the_last_actions_are_those_that_the_ring_holds_now(make_ring):
    ring = make_ring(32, 1, last=2)
    for kind, action in [(FIRST, 1), (MID, 0), (MID, 1), (TERMINATED, -1), (FIRST, 0), (MID, 0)]:
        ring.add(0, kind, obs=[ring.head], action=action)
    reader = TransitionReader(ring.rows.format, 3, 1, 0.9)
    ring.rows.action[1] = 1  # something else was played than was answered

    x = reader.read(ring.rows, ring.head, np.array([0, 2, 4])).x

    none, left, right = [0, 0], [1, 0], [0, 1]
    assert x.tolist() == [
        [0, *none, *none], [2, *right, *right], [4, *none, *none],
        [1, *none, *right], [3, *right, *right], [5, *none, *left],
    ]  # fmt: skip


def test_a_stack_whose_oldest_row_has_left_starts_nothing(make_ring):
    ring = make_ring(32, 1, stack=3)
    for i in range(20):
        ring.add(0, FIRST if i == 0 else MID, obs=[i])
    from agentd.engine.replay.sampling import UniformSampler

    for sampler in (
        UniformSampler(64, sampler_rng(0), 3),
        PrioritizedSampler(64, PRIORITY, sampler_rng(0), 3),
    ):
        assert set(sampler.draw(ring.rows, 10, 20).tolist()) == set(range(12, 19))


class Catch:
    """A ball falls 4 rows, a paddle of 5 columns moves left, stays, moves right: ±1 at the end."""

    def __init__(self, rng):
        self._rng = rng
        self.reset()

    def reset(self):
        self.ball, self.paddle, self.row = int(self._rng.integers(5)), 2, 0
        return self.observe()

    def observe(self):
        board = np.zeros((5, 5), np.float32)
        board[self.row, self.ball] = board[4, self.paddle] = 1
        return board.reshape(-1)

    def step(self, action):
        self.paddle = min(4, max(0, self.paddle + action - 1))
        self.row += 1
        ended = self.row == 4
        return self.observe(), (1.0 if self.ball == self.paddle else -1.0) if ended else 0.0, ended


LEARNS = {
    "priority": {"prioritized": True, "priority": PriorityConfig(beta_steps=1_500)},
    "c51": {"distribution": "categorical",
        "categorical": CategoricalConfig(atoms=21, low=-1.5, high=1.5)},
    "quantile": {"distribution": "quantile", "quantile": QuantileConfig(atoms=11)},
    "noisy": {},
    "normalised": {},
    "rainbow": {
        "prioritized": True, "priority": PriorityConfig(beta_steps=1_500), "n_step": 3,
        "distribution": "categorical",
        "categorical": CategoricalConfig(atoms=21, low=-1.5, high=1.5),
    },
}  # fmt: skip


def network_for(name, head):
    noisy = name in ("noisy", "rainbow")
    layers = [NoisyDense(32) if noisy else Dense(32), Relu()]
    if name == "normalised":
        layers.insert(0, Normalize())
    if name == "rainbow":
        layers.append(Dueling(3, atoms=head.atoms, sigma=0.5))
    else:
        layers.append(NoisyDense(3) if noisy else Dense(3 * head.atoms))
    return [Network(*layers, *tail, input_shape=(25,)) for tail in ((), head.expectation())]


LONG = ("priority", "c51", "noisy")
"""What "rainbow" has too, alone."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n in LONG)) for n in LEARNS]
)
def test_learns_catch(backend, make_ring, name):
    rng = np.random.default_rng(1)
    game, ring = Catch(rng), make_ring(4_096, features=25, branches=(3,))
    config = DqnConfig(
        **{"gamma": 0.9, "batch": 32, "target": TargetConfig(every=50), **LEARNS[name]}
    )
    network, acting = network_for(name, config.head())
    rate = OptimizerSpec(lr=3e-3)
    reward = RewardConfig(normalize=name == "normalised")
    learner = learner_of(backend, network, ring, config, optimizer=rate, reward=reward)
    noisy = name in ("noisy", "rainbow")
    explore, judge = Pass(acting, backend, 1, seed=7, noisy=True), Pass(acting, backend, 1)

    def best(run, x):
        return int(backend.to_host(run.forward(learner.params, x[None])).argmax())

    x, kind, reward = game.reset(), FIRST, 0.0
    for step in range(3_000):
        epsilon = 0.0 if noisy else max(0.1, 1 - step / 1_500)
        action = best(explore, x) if rng.random() >= epsilon else int(rng.integers(3))
        ring.add(0, kind, obs=x, reward=reward, action=action)
        x, reward, ended = game.step(action)
        kind = MID
        if ended:
            ring.add(0, TERMINATED, obs=x, reward=reward)
            x, kind, reward = game.reset(), FIRST, 0.0
        if step >= 100 and step % 2 == 0:
            learner.update(ring.rows, 0, ring.head)

    returns = []
    for _ in range(50):
        x, ended = game.reset(), False
        while not ended:
            x, reward, ended = game.step(best(judge, x))
        returns.append(reward)
    assert np.mean(returns) >= 0.9
