"""The DQN learner: its step is the rule's gradient, it resumes exactly, and it learns."""

import json
import tracemalloc

import msgspec
import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.layers import Dense, Dueling, Relu, Tanh
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec, ScheduleSpec
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, TRUNCATED, NoValidStart
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.transitions import NStepTooLong, TransitionReader
from agentd.engine.rules import td

SGD = OptimizerSpec(name="sgd", lr=1e-3)
ADAM = OptimizerSpec(name="adam", lr=1e-2)


def make_learner(backend, network, rows, config, seed=0, optimizer=ADAM, loss="huber"):
    rule = make_optimizer(optimizer, backend, network.n_trainable)
    return DqnLearner(network, backend, rule, rows.format, config, seed, loss=loss)


@pytest.mark.parametrize("branches", [(3,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("double", "loss"), [(True, "huber"), (False, "mse")])
@pytest.mark.parametrize(("dueling", "shared"), [(False, False), (True, False), (False, True)])
def test_an_update_descends_the_slope_of_the_td_loss(
    exact, slope, make_ring, branches, masked, double, loss, dueling, shared
):
    """Central differences through network and rule, in float64: p moves by -lr * d loss / d p."""
    ring = make_ring(128, 3, branches).fill(masked=masked, scale=2)
    head = Dueling(branches) if dueling else Dense(sum(branches))
    network = Network(Dense(4), Tanh(), head, input_shape=(3,))
    config = DqnConfig(
        gamma=0.9,
        n_step=3,
        batch=16,
        double=double,
        clip_norm=None,
        mean_error=shared,
        target=TargetConfig(every=1_000),
    )
    learner = make_learner(exact, network, ring.rows, config, seed=4, optimizer=SGD, loss=loss)
    target = exact.asarray(np.random.default_rng(9).standard_normal(network.n_params))
    arrays, scalars = learner.get_state()
    learner.set_state({**arrays, "target": exact.to_host(target)}, scalars)
    before = exact.to_host(learner.params)

    learner.update(ring.rows, 0, ring.head)

    moved = (before - exact.to_host(learner.params)) / SGD.lr
    start = UniformSampler(16, sampler_rng(4)).draw(ring.rows, 0, ring.head)
    batch = TransitionReader(ring.rows.format, 16, 3, 0.9).read(ring.rows, ring.head, start)
    masks = (None, None) if batch.mask is None else (batch.mask[:16], batch.mask[16:])
    run = Pass(network, exact, 16)

    def values(p, x, mask):
        return exact.to_host(run.forward(exact.asarray(p), x, mask))

    value = values(target, batch.x[16:], masks[1])
    select = values(before, batch.x[16:], masks[1]) if double else value
    goal = td.double_q_target(batch.reward_t, batch.discount_t, value, select, masks[1], branches)

    def td_loss(p):
        q = values(p, batch.x[:16], masks[0])
        error = td.td_error(q, batch.action_tm1, goal, branches, mean_error=shared)
        return td.td_loss(error, None, 1.0 if loss == "huber" else None)[0]

    np.testing.assert_allclose(moved, slope(td_loss, before.copy()), rtol=1e-5, atol=1e-7)
    assert learner.stats["loss"] == pytest.approx(td_loss(before), rel=1e-6)


def test_clipping_bounds_the_step(exact, make_ring):
    ring = make_ring(128, 3).fill(scale=2)
    network = Network(Dense(8), Relu(), Dense(2), input_shape=(3,))
    config = DqnConfig(batch=16, clip_norm=1e-3)
    learner = make_learner(exact, network, ring.rows, config, optimizer=SGD, loss="mse")
    before = exact.to_host(learner.params)

    learner.update(ring.rows, 0, ring.head)

    moved = np.linalg.norm(before - exact.to_host(learner.params))
    assert moved == pytest.approx(SGD.lr * 1e-3)
    assert learner.stats["grad_norm"] > 1e-3


def test_hard_target_follows_every_n_updates(backend, make_ring):
    ring = make_ring(128, 3).fill(scale=2)
    network = Network(Dense(2), input_shape=(3,))
    learner = make_learner(
        backend, network, ring.rows, DqnConfig(batch=8, target=TargetConfig(every=3))
    )
    equal = []

    for _ in range(7):
        learner.update(ring.rows, 0, ring.head)
        arrays, _ = learner.get_state()
        equal.append(bool((arrays["target"] == arrays["params"]).all()))

    assert equal == [False, False, True, False, False, True, False]


def test_soft_target_moves_by_tau(exact, make_ring):
    ring = make_ring(128, 3).fill(scale=2)
    network = Network(Dense(2), input_shape=(3,))
    config = DqnConfig(batch=8, target=TargetConfig(tau=0.25))
    learner = make_learner(exact, network, ring.rows, config)
    target = learner.get_state()[0]["target"]

    for _ in range(3):
        learner.update(ring.rows, 0, ring.head)
        arrays, _ = learner.get_state()
        target = target + 0.25 * (arrays["params"] - target)
        np.testing.assert_allclose(arrays["target"], target, rtol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("target", [{}, {"target": TargetConfig(tau=0.01), "average": 100}])
def test_two_thousand_updates_equal_one_thousand_resumed(backend, make_ring, masked, target):
    ring = make_ring(256, 3).fill(length=240, masked=masked, scale=2)
    network = Network(Dense(16), Relu(), Dense(2), input_shape=(3,))
    config = DqnConfig(batch=16, n_step=3, **target)
    rate = OptimizerSpec(lr=1e-3, schedule=ScheduleSpec(name="linear", steps=1_500, final=0.1))

    def learn(learner, until):
        while learner.updates < until:
            burst, part = divmod(learner.updates, 8)
            learner.update(ring.rows, 0, 120 + burst * 7 % 100, ahead=8 - part)
        return learner.get_state()

    whole = make_learner(backend, network, ring.rows, config, 1, rate)
    learn(whole, 1_003)  # in the middle of a burst whose batches are read together
    arrays, scalars = learn(make_learner(backend, network, ring.rows, config, 1, rate), 1_003)
    rest = make_learner(backend, network, ring.rows, config, seed=99, optimizer=rate)
    rest.set_state(arrays, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, 2_000)
    resumed, resumed_numbers = learn(rest, 2_000)

    assert resumed_numbers == numbers
    assert resumed.keys() == expected.keys() >= {"params", "target", "optimizer.g_sum"}
    for name in expected:
        assert resumed[name].tobytes() == expected[name].tobytes(), name


@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_what_is_not_finite_is_skipped_and_counted(backend, make_ring, loss, wrong):
    ring = make_ring(128, 3).fill(scale=2)
    good = ring.rows.reward.copy()
    network = Network(Dense(8), Relu(), Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring.rows, DqnConfig(batch=32), loss=loss)
    learner.update(ring.rows, 0, ring.head)
    arrays, _ = learner.get_state()
    ring.rows.reward[:] = wrong

    for _ in range(3):
        learner.update(ring.rows, 0, ring.head)

    assert (learner.updates, learner.skipped_in_row, learner.stats["skipped"]) == (1, 3, 3.0)
    for name, array in learner.get_state()[0].items():
        assert array.tobytes() == arrays[name].tobytes(), name
    ring.rows.reward[:] = good
    learner.update(ring.rows, 0, ring.head)
    assert (learner.updates, learner.skipped_in_row, learner.stats["skipped"]) == (2, 0, 3.0)


def test_a_rate_far_too_high_stops_itself_with_finite_weights(backend, make_ring):
    ring = make_ring(128, 3).fill(scale=2)
    network = Network(Dense(16), Relu(), Dense(16), Relu(), Dense(2), input_shape=(3,))
    rate = OptimizerSpec(name="sgd", lr=1e6)
    config = DqnConfig(batch=32, clip_norm=None, target=TargetConfig(every=1))
    learner = make_learner(backend, network, ring.rows, config, optimizer=rate, loss="mse")

    for _ in range(60):
        learner.update(ring.rows, 0, ring.head)

    assert learner.skipped_in_row >= 10
    assert np.isfinite(backend.to_host(learner.params)).all()


@pytest.mark.parametrize(
    ("options", "before", "updates"),
    [({"average": None}, 3, 20), ({}, 20, 19)],  # a mean over two updates begins with the 20th
    ids=["newest", "mean"],
)
def test_an_update_allocates_next_to_nothing(backend, make_ring, options, before, updates):
    ring = make_ring(512, 256).fill(length=500, scale=2)
    network = Network(Dense(64), Relu(), Dense(2), input_shape=(256,))
    learner = make_learner(backend, network, ring.rows, DqnConfig(batch=256, n_step=3, **options))
    for _ in range(before):
        learner.update(ring.rows, 0, ring.head)

    tracemalloc.start()
    for _ in range(updates):
        learner.update(ring.rows, 0, ring.head)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 50_000  # NumPy's own casting buffer is 32 KiB; a batch's observations are 512


def test_figures_of_the_last_update(backend, make_ring):
    ring = make_ring(128, 3).fill(scale=2)
    network = Network(Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring.rows, DqnConfig(batch=8))

    learner.update(ring.rows, 0, ring.head)

    stats = learner.stats
    assert set(stats) == {
        "loss", "q_mean", "grad_norm", "td_abs", "lr", "updates", "skipped",
    }  # fmt: skip
    assert all(np.isfinite(value) for value in stats.values())
    assert stats["lr"] == ADAM.lr


def test_wrong_settings_are_named(backend, make_ring):
    ring = make_ring(32, 3).fill(length=30, scale=2)
    network = Network(Dense(2), input_shape=(3,))

    with pytest.raises(ValueError, match="exactly one"):
        TargetConfig(every=10, tau=0.1)
    with pytest.raises(msgspec.ValidationError, match="gamma"):
        msgspec.convert({"gamma": 1.5}, DqnConfig)
    with pytest.raises(ShapeError, match="Q-network"):
        make_learner(backend, Network(Dense(3), input_shape=(3,)), ring.rows, DqnConfig())
    rule = make_optimizer(ADAM, backend, network.n_trainable)
    with pytest.raises(ShapeError, match="weights"):
        DqnLearner(network, backend, rule, ring.rows.format, DqnConfig(), 0, np.zeros(3, "f4"))
    far = make_learner(backend, network, ring.rows, DqnConfig(n_step=40))
    with pytest.raises(NStepTooLong):
        far.update(ring.rows, 0, 30)
    near = make_learner(backend, network, ring.rows, DqnConfig())
    with pytest.raises(NoValidStart):
        near.update(ring.rows, 0, 1)


@pytest.mark.parametrize("n_step", [1, 3])
def test_finds_the_optimal_values_of_a_two_state_chain(backend, make_ring, n_step):
    """Stay (reward 0, or 1 in state 1) or move (-0.5; from state 1 it terminates with 2)."""
    gamma = 0.8
    ring = make_ring(8_192, features=2)
    rng = np.random.default_rng(0)
    state, kind, reward = 0, FIRST, 0.0
    best = np.zeros((2, 2))
    for _ in range(500):  # value iteration
        best = np.array(
            [[gamma * best[0].max(), -0.5 + gamma * best[1].max()],
             [1 + gamma * best[1].max(), 2.0]]
        )  # fmt: skip
    for _ in range(8_000):
        # A policy close to optimal: an n-step target is only exact for the actions it followed.
        action = int(best[state].argmax()) if n_step > 1 else int(rng.integers(2))
        if kind == FIRST:
            action = int(rng.integers(2))
        ring.add(0, kind, obs=np.eye(2)[state], reward=reward, action=action)
        if kind >= TERMINATED:
            state, kind, reward = int(rng.integers(2)), FIRST, 0.0
            continue
        kind = MID if rng.random() < 0.8 else TRUNCATED
        reward = [0.0, 1.0][state] if action == 0 else [-0.5, 2.0][state]
        kind = TERMINATED if (state, action) == (1, 1) else kind
        state = 1 if action == 1 else state
    network = Network(Dense(2), input_shape=(2,))
    config = DqnConfig(gamma=gamma, n_step=n_step, batch=64, target=TargetConfig(every=50))
    rate = OptimizerSpec(lr=3e-2, schedule=ScheduleSpec(name="linear", steps=3_000))
    learner = make_learner(backend, network, ring.rows, config, optimizer=rate)

    for _ in range(3_000):
        learner.update(ring.rows, 0, ring.head)

    q = Pass(network, backend, 2).forward(learner.params, np.eye(2, dtype=np.float32))
    np.testing.assert_allclose(backend.to_host(q), best, atol=1e-2)


def test_illegal_actions_are_never_bootstrapped(backend, make_ring):
    """An action that would be worth 100 is illegal at the next state: no target may use it."""
    ring = make_ring(512, features=2, branches=(2,))
    for i in range(200):
        ring.add(i, FIRST, obs=[1, 0], action=0, mask=[1, 0])
        ring.add(i, TRUNCATED, obs=[0, 1], reward=1.0, mask=[1, 0])
        ring.add(i, FIRST, obs=[0, 1], action=1, mask=[1, 1])
        ring.add(i, TERMINATED, obs=[0, 0], reward=100.0, mask=[1, 1])
    network = Network(Dense(2), input_shape=(2,))
    config = DqnConfig(gamma=0.5, batch=32, target=TargetConfig(every=20), clip_norm=None)
    rate = OptimizerSpec(lr=0.5)
    learner = make_learner(backend, network, ring.rows, config, optimizer=rate, loss="mse")

    for _ in range(800):
        learner.update(ring.rows, ring.head - 512, ring.head)

    q = backend.to_host(Pass(network, backend, 2).forward(learner.params, np.eye(2)))
    assert q[1, 1] > 50
    assert q[0, 0] < 5


def test_branches_learn_their_own_actions(backend, make_ring):
    """A bandit of two branches: the reward is the sum of what each branch's action is worth."""
    rng = np.random.default_rng(0)
    ring = make_ring(2_048, features=1, branches=(3, 2))
    worth = ([0.0, 1.0, -1.0], [0.5, -0.5])
    for i in range(1_000):
        action = [int(rng.integers(3)), int(rng.integers(2))]
        ring.add(i, FIRST, obs=[1.0], action=action)
        reward = worth[0][action[0]] + worth[1][action[1]]
        ring.add(i, TERMINATED, obs=[0.0], reward=reward)
    network = Network(Dense(5), input_shape=(1,))
    rate = OptimizerSpec(lr=2e-2, schedule=ScheduleSpec(name="linear", steps=1_000))
    learner = make_learner(backend, network, ring.rows, DqnConfig(batch=64), optimizer=rate)

    for _ in range(1_000):
        learner.update(ring.rows, 0, ring.head)

    q = Pass(network, backend, 1).forward(learner.params, np.ones((1, 1), np.float32))
    assert td.greedy_action(backend.to_host(q), None, (3, 2)).tolist() == [[1, 0]]
    np.testing.assert_allclose(backend.to_host(q)[0], [0, 1, -1, 0.5, -0.5], atol=0.1)


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


def test_learns_catch(backend, make_ring):
    rng = np.random.default_rng(1)
    game, ring = Catch(rng), make_ring(4_096, features=25, branches=(3,))
    network = Network(Dense(32), Relu(), Dense(3), input_shape=(25,))
    config = DqnConfig(gamma=0.9, batch=32, target=TargetConfig(every=50))
    rate = OptimizerSpec(lr=3e-3)
    learner = make_learner(backend, network, ring.rows, config, optimizer=rate)
    run = Pass(network, backend, 1)

    def best(x):
        return int(backend.to_host(run.forward(learner.params, x[None])).argmax())

    x, kind, reward = game.reset(), FIRST, 0.0
    for step in range(3_000):
        action = best(x) if rng.random() > max(0.1, 1 - step / 1_500) else int(rng.integers(3))
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
            x, reward, ended = game.step(best(x))
        returns.append(reward)
    assert np.mean(returns) == 1.0


def test_alternating_rows_learn_the_game_of_two_sides_from_random_play(backend, make_ring):
    """Nim: take one to three of ten stones; who takes the last one wins."""
    rng, stones, eye = np.random.default_rng(2), 10, np.eye(11, dtype=np.float32)
    ring = make_ring(2_048, features=11, branches=(3,))
    while ring.head < 1_500:
        left, kind, reward = stones, FIRST, 0.0
        while left:
            legal = (np.arange(3) < left).astype(np.uint8)
            action = int(rng.integers(min(3, left)))
            ring.add(0, kind, obs=eye[left], reward=reward, action=action, mask=legal)
            left, kind = left - action - 1, MID
            reward = float(left == 0)
        ring.add(0, TERMINATED, obs=eye[0], reward=reward)
    network = Network(Dense(3), input_shape=(11,))
    config = DqnConfig(
        gamma=0.9, alternating=True, n_step=1, batch=64, target=TargetConfig(every=20)
    )
    learner = make_learner(backend, network, ring.rows, config, loss="mse")
    for _ in range(1_500):
        learner.update(ring.rows, 0, ring.head)

    run = Pass(network, backend, stones + 1)
    q = backend.to_host(run.forward(learner.params, eye))
    for left in range(1, stones + 1):
        moves = q[left, : min(3, left)]
        if left % 4:  # leave a multiple of four, and the other side loses
            assert moves.argmax() + 1 == left % 4
            assert moves.max() > 0.3
        else:
            assert moves.max() < -0.3


def test_alternating_sums_rewards_of_both_sides_with_their_signs(make_ring):
    ring = make_ring(16)
    for i in range(6):
        ring.add(0, MID if i else FIRST, obs=[i], reward=float(10**i))

    config = DqnConfig(gamma=0.5, alternating=True, n_step=3)
    reader = TransitionReader(ring.rows.format, 1, config.n_step, config.per_row())
    batch = reader.read(ring.rows, ring.head, np.array([0]))

    assert batch.reward_t[0] == pytest.approx(10 - 0.5 * 100 + 0.25 * 1000)
    assert batch.discount_t[0] == pytest.approx(-0.125)
