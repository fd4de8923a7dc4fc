"""Targets that are searched for: of every legal action, over the target network alone."""

import json

import numpy as np
import pytest

from agentd.engine.layers import Dense, Dueling, NoisyDense, Relu, Tanh
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.searched import LookAhead, SearchedTargets
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.rows import TERMINATED
from agentd.engine.replay.sampling import UniformSampler, sampler_rng

BATCH, ACTIONS = 256, 4
NETWORK = Network(Dense(16), Relu(), Dense(ACTIONS), input_shape=(5,))
ADAM, SGD = OptimizerSpec(lr=1e-2), OptimizerSpec(name="sgd", lr=1e-3)


def make_learner(
    backend, ring, search, seed=3, network=NETWORK, optimizer=ADAM, loss="mse", **options
):
    """With ``search``, or without where it is None."""
    options = {"gamma": 0.9, "n_step": 1, "alternating": True, "double": False, **options}
    config = DqnConfig(**{"batch": BATCH, "target": TargetConfig(every=4), **options})
    rule = make_optimizer(optimizer, backend, network.n_trainable)
    given = network, backend, rule, ring.rows.format, config, seed
    ahead = None if search is None else LookAhead(search, 2 * BATCH)
    return DqnLearner(*given, loss=loss, look_ahead=ahead)


class WhatWasPlayed:
    """Says of the action that was played what Q-learning would, and that no other is legal."""

    def __init__(self, rows, gamma):
        self.rows, self.gamma = rows, np.float32(gamma)
        self.at = {rows.obs[i].tobytes(): i for i in range(len(rows.kind))}

    def __call__(self, x, leaves):
        rows = self.rows
        here = np.array([self.at[row.tobytes()] for row in x])
        then = rows.next[here]
        seen = rows.obs[then].view(np.float32)
        legal = np.unpackbits(rows.mask_bits[then], axis=1)[:, :ACTIONS] > 0
        if not rows.has_masks:
            legal[:] = True
        best = np.where(legal, leaves(seen, legal), -np.inf).max(axis=1).astype(np.float32)
        found = np.full((len(x), ACTIONS), -np.inf, np.float32)
        discount = self.gamma * (rows.kind[then] != TERMINATED)
        found[np.arange(len(x)), rows.action[here, 0]] = rows.reward[then] + discount * best
        return found


@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("options", [{}, {"prioritized": True, "priority": PriorityConfig()}])
@pytest.mark.parametrize("masked", [False, True])
def test_a_search_of_what_was_played_is_q_learning_bit_for_bit(
    backend, make_ring, loss, options, masked
):
    """So nothing else of an update is another one, and an update without a search is as ever."""
    ring = make_ring(512, 5, (ACTIONS,)).fill(400, masked=masked)
    plain = make_learner(backend, ring, None, loss=loss, **options)
    played = WhatWasPlayed(ring.rows, -0.9)
    searched = make_learner(backend, ring, played, loss=loss, **options)

    for _ in range(9):
        for learner in (plain, searched):
            learner.update(ring.rows, 0, ring.head)

    figures, wanted = searched.stats, plain.stats
    assert figures.pop("loss") == pytest.approx(wanted.pop("loss"), rel=1e-5)
    assert figures == wanted
    arrays, scalars = plain.get_state()
    found, numbers = searched.get_state()
    assert {**numbers, "passes": 0} == {**scalars, "passes": 0}
    for name, array in arrays.items():
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_an_update_descends_the_slope_of_all_actions_errors(exact, slope, make_ring, loss):
    """Central differences: p moves by -lr * d loss / d p, the mean over rows of their sums."""
    ring = make_ring(128, 3, (ACTIONS,)).fill(scale=2)
    network = Network(Dense(4), Tanh(), Dense(ACTIONS), input_shape=(3,))
    rng = np.random.default_rng(2)
    goal = rng.normal(0, 2, (16, ACTIONS)).astype(np.float32)
    goal[rng.random(goal.shape) < 0.3] = -np.inf
    options = {"batch": 16, "clip_norm": None, "loss": loss}
    learner = make_learner(
        exact, ring, lambda x, leaves: goal, 4, network=network, optimizer=SGD, **options
    )
    before = exact.to_host(learner.params)

    learner.update(ring.rows, 0, ring.head)

    moved = (before - exact.to_host(learner.params)) / SGD.lr
    start = UniformSampler(16, sampler_rng(4)).draw(ring.rows, 0, ring.head)
    x, run = ring.rows.obs[start].view(np.float32), Pass(network, exact, 16)
    legal = goal > -np.inf

    def loss_of(p):
        error = np.abs(exact.to_host(run.forward(exact.asarray(p), x)) - goal)[legal]
        bent = np.minimum(error, 1) if loss == "huber" else error
        return float((bent * (error - bent / 2)).sum() / 16)

    np.testing.assert_allclose(moved, slope(loss_of, before.copy()), rtol=1e-5, atol=1e-7)
    assert learner.stats["loss"] == pytest.approx(loss_of(before), rel=1e-6)


def test_rows_of_device_memory_are_searched_like_those_of_the_host(exact):
    asked = []

    def search(x, leaves):
        asked.append(x.copy())
        return np.full((2, ACTIONS), 0.5, np.float32)

    targets = SearchedTargets(exact, NETWORK, 2, LookAhead(search, 10))
    params = exact.asarray(NETWORK.init(np.random.default_rng(0)))
    x = np.arange(10, dtype=np.float32).reshape(2, 5)

    for rows in (x, exact.asarray(x)):
        assert (targets.find(params, rows) == 0.5).all()

    np.testing.assert_array_equal(asked, [x, x])


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_leaves_are_the_networks_values_without_noise(backend, count):
    """Of as many positions as are asked for; a dueling head's mean is over the legal actions."""
    network = Network(NoisyDense(8), Relu(), Dueling((ACTIONS,)), input_shape=(5,))
    rng = np.random.default_rng(count)
    params = backend.asarray(network.init(rng))
    x = rng.standard_normal((count, 5)).astype(np.float32)
    legal = rng.random((count, ACTIONS)) < 0.7
    found = []
    targets = SearchedTargets(
        *(backend, network, count),
        LookAhead(lambda seen, leaves: found.append(leaves(seen, legal)) or found[-1], 700),
    )

    for _ in range(2):
        targets.find(params, x)

    y = Pass(network, backend, count).forward(params, x, legal.astype(np.uint8))
    np.testing.assert_allclose(found[0], backend.to_host(y), rtol=1e-5, atol=1e-6)
    assert found[0].tobytes() == found[1].tobytes()


def test_a_network_that_is_not_finite_is_no_loss_for_certain(backend, make_ring):
    """The update is skipped as it is without a search."""
    ring = make_ring(512, 5, (ACTIONS,)).fill(400)
    learner = make_learner(
        backend, ring, lambda x, leaves: np.full((len(x), ACTIONS), np.nan, np.float32)
    )

    learner.update(ring.rows, 0, ring.head)

    assert (learner.updates, learner.skipped_in_row) == (0, 1)


def test_two_n_updates_equal_n_resumed_and_n(backend, make_ring):
    """A search has no state: it follows from weights and rows, whatever was searched before."""
    ring = make_ring(512, 5, (ACTIONS,)).fill(400, masked=True)

    def one_ply(x, leaves):
        best = leaves(x + 1, np.ones((len(x), ACTIONS), bool)).max(axis=1, keepdims=True)
        return -0.9 * np.clip(best - np.arange(ACTIONS), -1, 1).astype(np.float32)

    def learn(learner, until):
        while learner.updates < until:
            learner.update(ring.rows, 0, 200 + learner.updates, ahead=8 - learner.updates % 8)
        return learner.get_state()

    given = backend, ring, one_ply
    whole = make_learner(*given)
    arrays, scalars = learn(whole, 21)
    rest = make_learner(*given, seed=8)
    rest.set_state(arrays, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, 40)
    resumed, others = learn(rest, 40)

    assert others == numbers
    for name in expected:
        assert resumed[name].tobytes() == expected[name].tobytes(), name
