"""Targets that are searched for: only where the episode goes on, over the target network alone."""

import json

import numpy as np
import pytest

from agentd.engine.layers import Dense, Dueling, NoisyDense, Relu
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.searched import LookAhead, SearchedValues
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec

BATCH = 256
NETWORK = Network(Dense(16), Relu(), Dense(3), input_shape=(4,))


def make_learner(backend, ring, look_ahead, seed=3, network=NETWORK, **options):
    options = {"gamma": 0.9, "n_step": 2, "alternating": True, "double": False, **options}
    config = DqnConfig(batch=BATCH, target=TargetConfig(every=4), **options)
    rule = make_optimizer(OptimizerSpec(lr=1e-2), backend, network.n_trainable)
    given = network, backend, rule, ring.rows.format, config, seed
    return DqnLearner(*given, loss="mse", look_ahead=look_ahead)


def no_plies(x, leaves):
    """What a position's values are where nothing is looked ahead."""
    return leaves(x, np.ones((len(x), 3), bool))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("prioritized", [False, True])
def test_a_search_of_nothing_is_q_learning_bit_for_bit(backend, make_ring, masked, prioritized):
    ring = make_ring(512, 4, (3,)).fill(400, masked=masked)
    plain = make_learner(backend, ring, None, prioritized=prioritized)
    searched = make_learner(backend, ring, LookAhead(no_plies, 300), prioritized=prioritized)

    for _ in range(9):
        for learner in (plain, searched):
            learner.update(ring.rows, 0, ring.head)

    arrays, scalars = plain.get_state()
    found, numbers = searched.get_state()
    assert {**numbers, "passes": 0} == {**scalars, "passes": 0}
    for name, array in arrays.items():
        assert found[name].tobytes() == array.tobytes(), name


def test_targets_are_what_the_search_finds_where_the_episode_goes_on(exact, make_ring):
    """One terminated row, one that goes on; its second action is illegal, and still finite."""
    asked = []

    def search(x, leaves):
        asked.append(x.copy())
        return np.array([[0.25, -np.inf, 0.5]], np.float32)

    values = SearchedValues(exact, NETWORK, 2, LookAhead(search, 10))
    params = exact.asarray(NETWORK.init(np.random.default_rng(0)))
    x = np.arange(8, dtype=np.float32).reshape(2, 4)

    q = values.find(params, x, np.array([0.0, -0.9], np.float32))

    np.testing.assert_array_equal(exact.to_host(q), [[0, 0, 0], [0.25, -1, 0.5]])
    np.testing.assert_array_equal(asked, [x[1:]])
    assert values.find(params, exact.asarray(x), np.zeros(2)) is q
    assert not exact.to_host(q).any()
    assert len(asked) == 1


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_leaves_are_the_networks_values_without_noise(backend, count):
    """Of as many positions as are asked for; a dueling head's mean is over the legal actions."""
    network = Network(NoisyDense(8), Relu(), Dueling((3,)), input_shape=(4,))
    rng = np.random.default_rng(count)
    params = backend.asarray(network.init(rng))
    x = rng.standard_normal((count, 4)).astype(np.float32)
    legal = rng.random((count, 3)) < 0.7
    found = []
    values = SearchedValues(
        *(backend, network, count),
        LookAhead(lambda seen, leaves: found.append(leaves(seen, legal)) or found[-1], 700),
    )

    for _ in range(2):
        values.find(params, x, np.ones(count))

    y = Pass(network, backend, count).forward(params, x, legal.astype(np.uint8))
    np.testing.assert_allclose(found[0], backend.to_host(y), rtol=1e-5, atol=1e-6)
    assert found[0].tobytes() == found[1].tobytes()


def test_a_network_that_is_not_finite_is_no_loss_for_certain(backend, make_ring):
    """The update is skipped as it is without a search."""
    ring = make_ring(512, 4, (3,)).fill(400)
    broken = LookAhead(lambda x, leaves: np.full((len(x), 3), np.nan, np.float32), 300)
    learner = make_learner(backend, ring, broken)

    learner.update(ring.rows, 0, ring.head)

    assert (learner.updates, learner.skipped_in_row) == (0, 1)


def test_two_n_updates_equal_n_resumed_and_n(backend, make_ring):
    """A search has no state: it follows from weights and rows, whatever was searched before."""
    ring = make_ring(512, 4, (3,)).fill(400, masked=True)

    def one_ply(x, leaves):
        best = leaves(np.repeat(x, 3, axis=0) + 1, np.ones((3 * len(x), 3), bool)).max(axis=1)
        return -0.9 * np.clip(best, -1, 1).reshape(-1, 3)

    def learn(learner, until):
        while learner.updates < until:
            learner.update(ring.rows, 0, 200 + learner.updates, ahead=8 - learner.updates % 8)
        return learner.get_state()

    given = backend, ring, LookAhead(one_ply, 3 * BATCH)
    whole = make_learner(*given)
    arrays, scalars = learn(whole, 21)
    rest = make_learner(*given, seed=8)
    rest.set_state(arrays, json.loads(json.dumps(scalars)))

    expected, numbers = learn(whole, 40)
    resumed, others = learn(rest, 40)

    assert others == numbers
    for name in expected:
        assert resumed[name].tobytes() == expected[name].tobytes(), name
    searched, plain = (learn(make_learner(backend, ring, way), 5)[0] for way in (given[2], None))
    assert searched["params"].tobytes() != plain["params"].tobytes()
