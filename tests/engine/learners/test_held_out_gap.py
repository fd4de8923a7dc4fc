"""The gap between held-out and trained rows: right where it is known by hand, and harmless."""

import json
from math import isnan

import numpy as np
import pytest

from agentd.engine.layers import Dense, Relu
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.held_out_gap import EVERY, HeldOutGap
from agentd.engine.network import Network
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.held_out import BLOCK, FIRST_HELD_OUT, HeldOut
from agentd.engine.replay.rows import FIRST, TERMINATED
from agentd.engine.replay.transitions import TransitionReader

ROWS = 2 * FIRST_HELD_OUT


def bandit(make_ring, features=2, seed=0):
    """Episodes of two rows; what an action brings depends on the observation alone, and on luck."""
    ring, rng = make_ring(16_384, features), np.random.default_rng(seed)
    for _ in range(ROWS // 2):
        ring.add(0, FIRST, obs=rng.standard_normal(features), action=int(rng.integers(2)))
        ring.add(0, TERMINATED, obs=np.zeros(features), reward=float(rng.normal()))
    return ring


def make_learner(backend, ring, held_out, network, config=None, lr=1e-3):
    rule = make_optimizer(OptimizerSpec(name="adam", lr=lr), backend, network.n_trainable)
    config = config or DqnConfig(batch=64, target=TargetConfig(every=100))
    return DqnLearner(network, backend, rule, ring.rows.format, config, 0, held_out=held_out)


@pytest.mark.parametrize("distribution", ["none", "categorical", "quantile"])
def test_rewards_that_differ_on_held_out_rows_show_as_the_gap(backend, make_ring, distribution):
    """A network of zeros values everything alike: its squared errors are those of the rewards."""
    ring = bandit(make_ring)
    (first,) = HeldOut(0, 1).blocks(0, ROWS)
    ring.rows.reward[:] = np.resize([0, 1.0, 0, -1.0], len(ring.rows.reward))  # variance 1
    ring.rows.reward[first : first + BLOCK] = 3.0
    config = DqnConfig(distribution=distribution)
    outputs = 2 * config.head().atoms
    network = Network(Dense(outputs), input_shape=(2,))
    zeros = backend.zeros((network.n_params,))

    def reader(size):
        return TransitionReader(ring.rows.format, size, 1, 0.99)

    gap = HeldOutGap(network, backend, ring.rows.format, config, HeldOut(0, 1), reader, seed=0)
    gap.measure(ring.rows, 0, FIRST_HELD_OUT, 500, zeros, zeros)
    assert isnan(gap.value)  # nothing is held out yet
    for k in range(5):
        gap.measure(ring.rows, 0, ROWS, 500 * k, zeros, zeros)
    assert gap.value == pytest.approx((9 - 1) / 1, rel=0.02)


def test_a_network_that_learns_rewards_by_heart_shows_a_growing_gap(backend, make_ring):
    ring = bandit(make_ring, features=24)
    wide = Network(Dense(256), Relu(), Dense(2), input_shape=(24,))
    (first,) = HeldOut(0, 1).blocks(0, ROWS)
    learner = make_learner(backend, ring, HeldOut(0, 1), wide, lr=3e-3)
    for _ in range(2 * EVERY):
        learner.update(ring.rows, first - 900, min(first + 1_100, ROWS), 8)
    assert learner.stats["held_out_gap"] > 0.3


def test_measuring_changes_no_update_and_is_no_state(backend, make_ring):
    ring = bandit(make_ring)
    network = Network(Dense(8), Relu(), Dense(2), input_shape=(2,))
    config = DqnConfig(batch=8, target=TargetConfig(every=50))
    one = make_learner(backend, ring, HeldOut(0, 1), network, config)
    other = make_learner(backend, ring, HeldOut(0, 1), network, config)
    for _ in range(EVERY - 1):
        one.update(ring.rows, 0, ROWS)
    arrays, scalars = one.get_state()
    other.set_state(arrays, json.loads(json.dumps(scalars)))
    one.update(ring.rows, 0, ROWS)
    assert not isnan(one.stats["held_out_gap"])
    other._gap.measure = lambda *_: None  # this one never measures
    other.update(ring.rows, 0, ROWS)
    for learner in (one, other):
        learner.update(ring.rows, 0, ROWS)
    assert isnan(other.stats["held_out_gap"])
    one_state, other_state = one.get_state(), other.get_state()
    assert one_state[1] == other_state[1]
    assert {k: v.tobytes() for k, v in one_state[0].items()} == {
        k: v.tobytes() for k, v in other_state[0].items()
    }
