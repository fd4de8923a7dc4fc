"""PQN: its step is the slope of the loss towards λ-returns, it resumes exactly, and it learns."""

import json

import msgspec
import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.layers import Dense, Dueling, LayerNorm, Normalize, Relu, Tanh
from agentd.engine.learners.pqn import PqnConfig, PqnLearner
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.fragments import FragmentTooLong, fresh_transitions, join
from agentd.engine.replay.rewards import RewardConfig
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, TRUNCATED, NoValidStart
from agentd.engine.rules import td
from agentd.engine.rules.traces import lambda_return

SGD = OptimizerSpec(name="sgd", lr=1e-3)
RADAM = OptimizerSpec(name="radam", lr=1e-2)


def make_learner(backend, network, rows, config, window, seed=0, optimizer=RADAM, **shaped):
    rule = make_optimizer(optimizer, backend, network.n_trainable)
    return PqnLearner(network, backend, rule, rows.format, config, seed, window=window, **shaped)


def expected_targets(be, network, params, ring, window, gamma, lambda_):
    """The λ-returns of the window's transitions, by the rule and a plain forward pass."""
    rows, branches = ring.rows, ring.rows.format.branches
    steps = join(rows, *fresh_transitions(rows, 0, ring.head, window))
    x = rows.obs[steps.end].view(np.float32)
    mask = None
    if rows.has_masks:
        mask = np.unpackbits(rows.mask_bits[steps.end], axis=1, count=sum(branches))
    q = be.to_host(Pass(network, be, len(x)).forward(params, x, mask))
    best = td.greedy_action(q, mask, branches)
    v = td.action_value(q, best, branches).mean(axis=1)
    discount = np.where(rows.kind[steps.end] == TERMINATED, 0, gamma)
    return steps, lambda_return(rows.reward[steps.end], discount, v, steps.after, lambda_)


@pytest.mark.parametrize("branches", [(3,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("loss", "head"), [("mse", Dense), ("huber", Dueling)])
def test_an_update_descends_the_slope_of_the_loss(
    exact, slope, make_ring, branches, masked, loss, head
):
    """Central differences in float64, with the λ-returns held fixed: p moves by -lr * slope."""
    ring = make_ring(128, 3, branches).fill(masked=masked)
    last = Dueling(branches) if head is Dueling else Dense(sum(branches))
    network = Network(Dense(4), LayerNorm(), Tanh(), last, input_shape=(3,))
    config = PqnConfig(gamma=0.9, lambda_=0.7, minibatches=1, clip_norm=None)
    learner = make_learner(exact, network, ring.rows, config, 40, 4, SGD, loss=loss)
    before = exact.to_host(learner.params)
    params = exact.asarray(before)
    steps, target = expected_targets(exact, network, params, ring, 40, 0.9, 0.7)

    learner.update(ring.rows, 0, ring.head)

    np.testing.assert_allclose(learner.get_state()[0]["window.target"], target, rtol=1e-5)
    moved = (before - exact.to_host(learner.params)) / SGD.lr
    x, run = ring.rows.obs[steps.start].view(np.float32), Pass(network, exact, 40)
    mask = None
    if masked:
        mask = np.unpackbits(ring.rows.mask_bits[steps.start], axis=1, count=sum(branches))
    action, goal = ring.rows.action[steps.start], target.astype(np.float32)

    def td_loss(p):
        q = exact.to_host(run.forward(exact.asarray(p), x, mask))
        error = td.td_error(q, action, goal, branches)
        return td.td_loss(error, None, 1.0 if loss == "huber" else None)[0]

    np.testing.assert_allclose(moved, slope(td_loss, before.copy()), rtol=1e-5, atol=1e-7)
    assert learner.stats["loss"] == pytest.approx(td_loss(before), rel=1e-6)


def test_an_epoch_sees_every_transition_once_in_an_order_of_its_own(backend, make_ring):
    ring = make_ring(128, 3).fill()
    network = Network(Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring.rows, PqnConfig(minibatches=4), 50)
    count, orders, targets = len(fresh_transitions(ring.rows, 0, ring.head, 50)[0]), [], set()

    for _ in range(3):
        for _ in range(4):
            learner.update(ring.rows, 0, ring.head)
            targets.add(learner.get_state()[0]["window.target"].tobytes())
        orders.append(learner.get_state()[0]["window.order"].tolist())

    assert [sorted(order) for order in orders] == [list(range(count))] * 3
    assert len({tuple(order) for order in orders}) == 3
    assert len(targets) == 1  # computed when the window came up, and not again


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("stop", [1, 6, 8, 13])
def test_resumes_bit_for_bit_in_the_middle_of_a_window(backend, make_ring, masked, stop):
    ring = make_ring(256, 3).fill(length=240, masked=masked)
    network = Network(Normalize(), Dense(16), LayerNorm(), Relu(), Dense(2), input_shape=(3,))
    reward = RewardConfig(scale=0.5, normalize=True, clip=2.0)
    config = PqnConfig(minibatches=4, max_policy_lag=15)
    ends = [hi for hi in (80, 120, 160, 200) for _ in range(8)]

    def learn(learner, part):
        for hi in part:
            learner.update(ring.rows, 0, hi)
        return learner.get_state()

    whole = make_learner(backend, network, ring.rows, config, 40, seed=1, reward=reward)
    arrays, scalars = learn(whole, ends[:stop])
    rest = make_learner(backend, network, ring.rows, config, 40, seed=99, reward=reward)
    rest.set_state(arrays, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, ends[stop:])
    resumed, resumed_numbers = learn(rest, ends[stop:])

    assert resumed_numbers == numbers
    assert resumed.keys() == expected.keys() >= {"params", "window.target", "input.moments"}
    for name in expected:
        assert resumed[name].tobytes() == expected[name].tobytes(), name
    assert rest.stats == whole.stats


def test_observations_are_normalised_by_those_of_all_windows(backend, make_ring):
    ring = make_ring(256, 3).fill(length=240)
    network = Network(Normalize(), Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring.rows, PqnConfig(minibatches=2), 40)

    for hi in (40, 80, 120):
        for _ in range(4):
            learner.update(ring.rows, 0, hi)

    seen = ring.rows.obs[:120].view(np.float32)
    mean = backend.to_host(learner.params)[network.n_trainable :][:3]
    np.testing.assert_allclose(mean, seen.mean(axis=0), rtol=1e-4)
    assert learner.get_state()[1]["observed"] == 120


def test_stale_rows_are_counted_and_left_out(backend, make_ring):
    ring = make_ring(128, 3).fill()
    network = Network(Dense(2), input_shape=(3,))
    strict = PqnConfig(minibatches=1, max_policy_lag=0)
    learner = make_learner(backend, network, ring.rows, strict, 60)
    start, _ = fresh_transitions(ring.rows, 0, 60, 60)

    for _ in range(2):
        learner.update(ring.rows, 0, 60)  # versions 0, 1 and 2, by a learner of version 0
    assert learner.stats["policy_lag_max"] == 0

    fresh = np.count_nonzero(ring.rows.version[start] >= 2)
    learner.update(ring.rows, 0, 61)
    assert len(learner.get_state()[0]["window.start"]) == pytest.approx(fresh, abs=2)
    stats = learner.stats
    assert stats["policy_lag_max"] == 2
    assert 0 < stats["policy_lag"] < 2
    assert stats["stale"] > 0
    for _ in range(9):
        learner.update(ring.rows, 0, 61)
    with pytest.raises(NoValidStart):
        learner.update(ring.rows, 0, 62)


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_what_is_not_finite_is_skipped_and_counted(backend, make_ring, wrong):
    ring = make_ring(128, 3).fill()
    network = Network(Dense(8), Relu(), Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring.rows, PqnConfig(minibatches=2), 40)
    learner.update(ring.rows, 0, 80)
    params = backend.to_host(learner.params)
    good = ring.rows.reward.copy()
    ring.rows.reward[:] = wrong

    learner.update(ring.rows, 0, 120)
    learner.update(ring.rows, 0, 120)

    assert (learner.updates, learner.skipped_in_row) == (1, 2)
    np.testing.assert_array_equal(backend.to_host(learner.params), params)
    ring.rows.reward[:] = good
    learner.update(ring.rows, 0, 119)
    assert (learner.updates, learner.skipped_in_row, learner.stats["skipped"]) == (2, 0, 2.0)


def test_a_window_of_few_transitions_still_learns_from_each(backend, make_ring):
    ring = make_ring(64, 3)
    ring.add(0, FIRST, obs=[0, 0, 0])
    ring.add(0, MID, obs=[1, 0, 0], reward=1)
    network = Network(Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring.rows, PqnConfig(minibatches=4), 8)

    for _ in range(4):
        learner.update(ring.rows, 0, 2)

    assert learner.updates == 4


def test_wrong_settings_are_named(backend, make_ring):
    ring = make_ring(64, 3).fill(length=40)
    network = Network(Dense(2), input_shape=(3,))

    for wrong in ({"gamma": 1.5}, {"lambda": -0.1}, {"minibatches": 0}, {"window": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, PqnConfig)
    with pytest.raises(ShapeError, match="Q-network"):
        make_learner(backend, Network(Dense(3), input_shape=(3,)), ring.rows, PqnConfig(), 8)
    long = make_learner(backend, network, ring.rows, PqnConfig(), 65)
    with pytest.raises(FragmentTooLong):
        long.update(ring.rows, 0, 40)
    learner = make_learner(backend, network, ring.rows, PqnConfig(), 8)
    with pytest.raises(NoValidStart):
        learner.update(ring.rows, 0, 1)


@pytest.mark.parametrize("lambda_", [0.0, 0.8])
def test_finds_the_optimal_values_of_a_two_state_chain(backend, make_ring, lambda_):
    """Stay (reward 0, or 1 in state 1) or move (-0.5; from state 1 it terminates with 2)."""
    gamma, best = 0.8, np.zeros((2, 2))
    for _ in range(500):  # value iteration
        best = np.array(
            [[gamma * best[0].max(), -0.5 + gamma * best[1].max()],
             [1 + gamma * best[1].max(), 2.0]]
        )  # fmt: skip
    ring, rng = make_ring(512, features=2), np.random.default_rng(0)
    state, kind, reward = 0, FIRST, 0.0
    network = Network(Dense(2), input_shape=(2,))
    config = PqnConfig(gamma=gamma, lambda_=lambda_, minibatches=2)
    rate = OptimizerSpec(name="radam", lr=5e-2)
    learner = make_learner(backend, network, ring.rows, config, 64, optimizer=rate)
    for i in range(1, 64 * 120 + 1):
        greedy = int(best[state].argmax())
        action = int(rng.integers(2)) if kind == FIRST or lambda_ == 0 else greedy
        ring.add(0, kind, obs=np.eye(2)[state], reward=reward, action=action)
        if kind >= TERMINATED:
            state, kind, reward = int(rng.integers(2)), FIRST, 0.0
        elif state == 1 and action == 1:
            kind, reward = TERMINATED, 2.0
        elif i % 40 == 0:
            kind, reward = TRUNCATED, float(state == 1 and action == 0) - 0.5 * (action == 1)
            state = 1 if action else state
        else:
            reward = 1.0 if state == 1 else (-0.5 if action else 0.0)
            state, kind = (1 if action else state), MID
        if i % 64 == 0:
            for _ in range(8):
                learner.update(ring.rows, max(0, i - 256), i)

    q = backend.to_host(Pass(network, backend, 2).forward(learner.params, np.eye(2, dtype="f4")))
    np.testing.assert_allclose(q, best, atol=0.15)
