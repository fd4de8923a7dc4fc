"""The mean of weights that plays: how far it reaches back, and what a learner does with it."""

import msgspec
import numpy as np
import pytest

from agentd.engine.layers import Dense, Normalize, Relu
from agentd.engine.learners.average import WeightAverage
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.network import Network
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec

NEWEST = {"average": None}


def test_the_mean_reaches_back_over_a_tenth_of_all_updates(backend):
    rng = np.random.default_rng(0)
    params = backend.zeros((4,))
    average = WeightAverage(backend, params, 6)
    expected = np.zeros(4)

    for update in range(1, 200):
        newest = rng.normal(size=4).astype(np.float32)
        backend.write(params, newest)
        average.follow(update)
        window = 1 if update < 20 else 2 if update < 40 else 4 if update < 80 else 6
        expected += (newest - expected) / window
        np.testing.assert_allclose(backend.to_host(average.mean), expected, rtol=1e-4, atol=1e-5)


def learner_of(backend, network, ring, **options) -> DqnLearner:
    rule = make_optimizer(OptimizerSpec(name="adam", lr=1e-2), backend, network.n_trainable)
    return DqnLearner(network, backend, rule, ring.rows.format, DqnConfig(batch=16, **options), 3)


def test_it_plays_the_mean_and_learns_as_without_one(backend, make_ring):
    ring = make_ring(256, 3).fill(length=240, scale=2)
    network = Network(Dense(16), Relu(), Dense(2), input_shape=(3,))
    plain, averaged = (learner_of(backend, network, ring, **o) for o in (NEWEST, {"average": 8}))

    for _ in range(100):
        plain.update(ring.rows, 0, ring.head)
        averaged.update(ring.rows, 0, ring.head)

    without, beside = plain.get_state()[0], averaged.get_state()[0]
    played = backend.to_host(averaged.params)
    assert beside["online"].tobytes() == without["params"].tobytes()
    assert beside["params"].tobytes() == played.tobytes()
    assert np.abs(played - without["params"]).max() > 1e-3
    assert averaged.stats == plain.stats


def test_a_state_without_a_mean_is_gone_on_from_with_one_and_back(backend, make_ring):
    ring = make_ring(256, 3).fill(length=240, scale=2)
    network = Network(Dense(2), input_shape=(3,))
    plain, averaged, again = (
        learner_of(backend, network, ring, **o) for o in (NEWEST, {"average": 8}, NEWEST)
    )
    for _ in range(50):
        plain.update(ring.rows, 0, ring.head)

    averaged.set_state(*plain.get_state())
    before = averaged.get_state()[0]
    averaged.update(ring.rows, 0, ring.head)
    arrays, scalars = averaged.get_state()
    again.set_state(arrays, scalars)

    assert before["params"].tobytes() == before["online"].tobytes()
    assert arrays["params"].tobytes() != arrays["online"].tobytes()
    assert again.get_state()[0]["params"].tobytes() == arrays["online"].tobytes()


def test_the_mean_sees_the_newest_statistics_of_the_input(backend, make_ring):
    """What normalises the input is counted, not learned: the mean has it as the newest weights."""
    ring = make_ring(256, 3).fill(length=240, scale=2)
    network = Network(Normalize(), Dense(2), input_shape=(3,))
    learner = learner_of(backend, network, ring, average=64)

    for hi in range(100, 240):
        learner.update(ring.rows, 0, hi)

    arrays, _ = learner.get_state()
    counted = slice(network.n_trainable, None)
    assert arrays["params"][counted].tobytes() == arrays["online"][counted].tobytes()
    assert arrays["params"][counted].any()


def test_an_average_of_no_updates_is_refused():
    with pytest.raises(msgspec.ValidationError, match="average"):
        msgspec.convert({"average": 0}, DqnConfig)
