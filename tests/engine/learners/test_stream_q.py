"""Stream Q(λ): one transition at a time equals the rules, traces are kept apart, it resumes."""

import json

import msgspec
import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.layers import Dense, LayerNorm, LeakyRelu, Normalize, Tanh
from agentd.engine.learners.stream_q import StreamQConfig, StreamQLearner
from agentd.engine.network import Network, Pass
from agentd.engine.replay.fragments import FragmentTooLong, fresh_transitions
from agentd.engine.replay.rewards import RewardConfig
from agentd.engine.replay.rows import FIRST, MID, TERMINATED, NoValidStart
from agentd.engine.rules import td
from agentd.engine.rules.traces import obgd, trace_goes_on

NORMALIZED = RewardConfig(normalize=True)


def make_learner(backend, network, ring, seed=0, window=1, reward=NORMALIZED, **config):
    given = ring.rows.format, StreamQConfig(**config), seed
    return StreamQLearner(network, backend, *given, window=window, reward=reward)


def follow_the_rules(be, network, params, ring, config, slope):
    """Stream Q(λ) in plain float64, gradients by central differences: parameters of each step."""
    rows, branches = ring.rows, ring.rows.format.branches
    run, z, history = Pass(network, be, 1), {}, []

    def read(row):
        mask = None
        if rows.has_masks:
            mask = np.unpackbits(rows.mask_bits[row : row + 1], axis=1, count=sum(branches))
        return rows.obs[row : row + 1].view(np.float32), mask

    def values(p, row):
        x, mask = read(row)
        return be.to_host(run.forward(be.asarray(p), x, mask)), mask

    for start, end in zip(*fresh_transitions(rows, 0, ring.head, ring.head), strict=True):
        stream, action = int(rows.stream[start]), rows.action[start : start + 1]

        def value(p, row=start, action=action):
            return float(td.action_value(values(p, row)[0], action, branches).mean())

        q_t, mask_t = values(params, end)
        discount = np.array([0.0 if rows.kind[end] == TERMINATED else config.gamma])
        target = td.q_target(rows.reward[end : end + 1], discount, q_t, mask_t, branches)
        error = float(target[0]) - value(params)
        q, mask = values(params, start)
        before = 0 if rows.kind[start] == FIRST else z[stream]
        gradient = slope(value, params.copy())
        z[stream] = config.gamma * config.lambda_ * before + gradient
        greedy = bool((td.greedy_action(q, mask, branches) == action).all())
        params = obgd(params, z[stream], error, config.lr, config.kappa)
        if not trace_goes_on(
            bool(rows.kind[end] >= TERMINATED), bool(rows.explored[start]), greedy
        ):
            z[stream] = 0 * z[stream]
        history.append(params.copy())
    return history


@pytest.mark.parametrize("branches", [(3,), (2, 2)])
@pytest.mark.parametrize("masked", [False, True])
def test_every_step_is_that_of_the_rules(exact, slope, make_ring, branches, masked):
    ring = make_ring(64, 3, branches).fill(length=40, masked=masked, explore=0.3)
    network = Network(Dense(4), LayerNorm(), Tanh(), Dense(sum(branches)), input_shape=(3,))
    config = StreamQConfig(gamma=0.9, lambda_=0.7, lr=0.5)
    learner = StreamQLearner(network, exact, ring.rows.format, config, seed=4, window=40)

    expected = follow_the_rules(exact, network, exact.to_host(learner.params), ring, config, slope)
    for i, params in enumerate(expected):
        learner.update(ring.rows, 0, ring.head)
        np.testing.assert_allclose(
            exact.to_host(learner.params), params, rtol=1e-5, atol=1e-6, err_msg=f"step {i}"
        )

    assert learner.updates == len(expected)
    with pytest.raises(NoValidStart, match="no more transitions"):
        learner.update(ring.rows, 0, ring.head)


def test_streams_do_not_share_a_trace_and_the_windows_change_nothing(backend, make_ring):
    ring = make_ring(256, 3).fill(length=200, streams=5, explore=0.3)
    network = Network(Normalize(), Dense(8), LayerNorm(), Dense(2), input_shape=(3,))
    results = []

    for window in (1, 10, 200):
        learner = make_learner(backend, network, ring, window=window, reward=RewardConfig())
        for hi in range(window, 201, window):
            for _ in range(len(fresh_transitions(ring.rows, 0, hi, window)[0])):
                learner.update(ring.rows, 0, hi)
        results.append(backend.to_host(learner.params).tobytes())

    assert len(set(results)) == 1


def test_a_bound_on_traces_forgets_the_longest_idle_stream(backend, make_ring):
    ring = make_ring(64, 3)
    for stream in (0, 1, 2, 0, 1, 2, 1):
        kind = FIRST if ring.head < 3 else MID
        ring.add(stream, kind, obs=[stream, ring.head, 1])
    network = Network(Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring, window=64, traces=2)

    for _ in range(4):
        learner.update(ring.rows, 0, ring.head)

    arrays, _ = learner.get_state()
    assert arrays["traces.stream"].tolist() == [2, 1]
    assert arrays["traces.tail"].tolist() == [5, 6]


def test_a_row_that_was_dropped_breaks_the_trace(backend, make_ring):
    ring = make_ring(64, 3)
    for i in range(5):
        ring.add(0, FIRST if i == 0 else MID, obs=[1, i, 0], version=0 if i == 1 else 9)
    network = Network(Dense(2), input_shape=(3,))
    learner = make_learner(backend, network, ring, window=64, max_policy_lag=5, lr=1e-6)
    learner.set_state(*_with_updates(learner, 9))

    for _ in range(2):
        learner.update(ring.rows, 0, ring.head)

    assert learner.stats["stale"] == 1
    assert learner.stats["policy_lag_max"] == 9
    w = learner.get_state()[0]["traces.z"][0][:6].reshape(3, 2)
    np.testing.assert_allclose(w.sum(axis=1), [1, 2, 0])  # the gradient of row 2 alone


@pytest.mark.parametrize("by", [0, 1, 2])
def test_what_a_person_played_cuts_the_trace_unless_it_was_the_best(backend, make_ring, by):
    network = Network(Dense(2, init="zeros"), input_shape=(1,))
    kept = []
    for action in (0, 1):  # of equals the first is the greedy one
        ring = make_ring(16)
        ring.add(0, FIRST, obs=[1.0], action=action, explored=2 * by)
        ring.add(0, MID, obs=[1.0])
        learner = make_learner(backend, network, ring, window=16)
        learner.update(ring.rows, 0, ring.head)
        kept.append(bool(learner.get_state()[0]["traces.z"].any()))

    assert kept == [True, by == 0]


def _with_updates(learner, updates):
    arrays, scalars = learner.get_state()
    return arrays, {**scalars, "updates": updates}


def test_rewards_are_divided_by_the_spread_of_returns(backend, make_ring):
    ring = make_ring(64, 1)
    ring.episode(0, [3.0, -1.0, 2.0], TERMINATED)
    network = Network(Dense(2, init="zeros"), input_shape=(1,))
    learner = make_learner(backend, network, ring, window=64, gamma=0.5, lr=1e-9)
    spread, errors = np.std([3, 0.5, 2.25]), []

    for _ in range(3):
        learner.update(ring.rows, 0, ring.head)
        errors.append(learner.stats["td_abs"])

    np.testing.assert_allclose(errors, np.array([3, 1, 2]) / spread, rtol=1e-3)


@pytest.mark.parametrize("stop", [3, 40, 61])
def test_resumes_bit_for_bit_in_the_middle_of_a_window(backend, make_ring, stop):
    ring = make_ring(256, 3).fill(length=120, streams=4, masked=True, explore=0.3)
    network = Network(
        Normalize(), Dense(8, init="sparse"), LayerNorm(), LeakyRelu(), Dense(2), input_shape=(3,)
    )
    options = {"window": 20, "traces": 3, "max_policy_lag": 1_000}

    def learn(learner, updates):
        """The trainer's loop: windows of 20 rows, one after the other."""
        while updates:
            hi = max(20, learner.get_state()[1]["window"][0])
            try:
                learner.update(ring.rows, 0, hi)
            except NoValidStart:
                learner.update(ring.rows, 0, hi + 20)
            updates -= 1
        return learner.get_state()

    whole = make_learner(backend, network, ring, 1, **options)
    arrays, scalars = learn(whole, stop)
    rest = make_learner(backend, network, ring, 99, **options)
    learn(rest, 7)
    rest.set_state(arrays, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, 20)
    resumed, resumed_numbers = learn(rest, 20)

    assert resumed_numbers == numbers
    assert resumed.keys() == expected.keys()
    for name in expected:
        assert resumed[name].tobytes() == expected[name].tobytes(), name


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_what_is_not_finite_is_skipped_and_counted(backend, make_ring, wrong):
    ring = make_ring(64, 1)
    ring.episode(0, [1.0, wrong, 1.0, 1.0], TERMINATED)
    network = Network(Dense(2), input_shape=(1,))
    learner = make_learner(backend, network, ring, window=64, reward=RewardConfig())
    learner.update(ring.rows, 0, ring.head)
    params = backend.to_host(learner.params)

    learner.update(ring.rows, 0, ring.head)

    assert (learner.updates, learner.skipped_in_row) == (1, 1)
    np.testing.assert_array_equal(backend.to_host(learner.params), params)
    learner.update(ring.rows, 0, ring.head)
    assert (learner.updates, learner.skipped_in_row, learner.stats["skipped"]) == (2, 0, 1.0)
    assert all(np.isfinite(a).all() for a in learner.get_state()[0].values())


def test_wrong_settings_are_named(backend, make_ring):
    ring = make_ring(64, 3).fill(length=40, explore=0.3)
    network = Network(Dense(2), input_shape=(3,))

    for wrong in ({"gamma": 1.5}, {"lambda": -0.1}, {"lr": 0}, {"kappa": 0}, {"traces": 0}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, StreamQConfig)
    with pytest.raises(ShapeError, match="Q-network"):
        make_learner(backend, Network(Dense(3), input_shape=(3,)), ring)
    with pytest.raises(FragmentTooLong):
        make_learner(backend, network, ring, window=65).update(ring.rows, 0, 40)
    learner = make_learner(backend, network, ring)
    arrays, scalars = learner.get_state()
    with pytest.raises(ShapeError, match="traces"):
        learner.set_state({**arrays, "traces.z": np.zeros((1, 3), "f4")}, scalars)


def test_learns_to_walk_along_a_corridor(backend, make_ring):
    """Six cells, a reward at the far end; the greedy policy walks there from everywhere."""
    cells, ring, rng = 6, make_ring(256, features=6), np.random.default_rng(0)
    network = Network(
        Normalize(), Dense(16, init="sparse"), LayerNorm(), LeakyRelu(), Dense(2), input_shape=(6,)
    )
    learner = make_learner(backend, network, ring, gamma=0.9)
    read = Pass(network, backend, 1)
    cell, kind, reward = 0, FIRST, 0.0
    for _ in range(1_500):
        obs = np.eye(cells, dtype="f4")[cell]
        greedy = int(backend.to_host(read.forward(learner.params, obs[None])).argmax())
        explored = int(rng.random() < 0.3)
        action = int(rng.integers(2)) if explored else greedy
        ring.add(0, kind, obs=obs, reward=reward, action=action, explored=explored)
        lo = max(0, ring.head - 200)
        if kind != FIRST:
            learner.update(ring.rows, lo, ring.head)
        if kind == TERMINATED:
            cell, kind, reward = int(rng.integers(cells - 1)), FIRST, 0.0
            continue
        cell = min(max(cell + (1 if action else -1), 0), cells - 1)
        kind, reward = (TERMINATED, 1.0) if cell == cells - 1 else (MID, 0.0)

    run = Pass(network, backend, cells)
    q = backend.to_host(run.forward(learner.params, np.eye(cells, dtype="f4")))
    assert q[:-1].argmax(axis=1).tolist() == [1] * (cells - 1)
