"""Q-learning of networks that remember: its targets, its slope, its resume, its gates."""

import json
from typing import Any

import numpy as np
import pytest

from agentd.engine.errors import ModelError
from agentd.engine.layers import Dense, Gru, Lstm, Relu, Tanh
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.recurrent import RecurrentDqnLearner
from agentd.engine.network import Network, Pass
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.sequences import SequenceConfig
from agentd.engine.rules import td

SEQUENCES = SequenceConfig(batch=6, length=4, burn_in=2)


def ring_of(make_ring: Any, width: int, masked: bool = False) -> Any:
    ring = make_ring(128, 3, (3,))
    ring.rows.prev = np.full(128, -1, np.int64)
    ring.fill(masked=masked)
    rng = np.random.default_rng(3)
    ring.rows.memory = rng.standard_normal((128, width)).astype(np.float32)
    return ring


def learner_of(
    backend: Any, network: Network, ring: Any, optimizer: Any = None, **more: Any
) -> Any:
    rule = make_optimizer(optimizer or OptimizerSpec(lr=1e-2), backend, network.n_trainable)
    config = {"gamma": 0.9, "n_step": 2, "sequences": SEQUENCES, "clip_norm": None, **more}
    given = ring.rows.format, DqnConfig(**config), 4
    return RecurrentDqnLearner(network, backend, rule, *given)


def outputs(network: Network, be: Any, params: Any, batch: Any) -> Any:
    """Return the outputs (T, L, A) row by row, from the state before the burn-in."""
    one, lanes = Pass(network, be, SEQUENCES.batch), SEQUENCES.batch
    memory, found = batch.memory, []
    for k, begun in enumerate(batch.begun):
        one.forward(params, batch.before[k * lanes : (k + 1) * lanes], memory=memory)
        memory = np.where(begun[:, None], one.memory_after(), memory)
    for x in np.split(batch.x, len(batch.x) // lanes):
        found.append(np.array(one.forward(params, x, memory=memory)))
        memory = one.memory_after()
    return np.stack(found)


@pytest.mark.parametrize(
    ("kind", "double", "masked"), [(Gru, True, True), (Gru, False, False), (Lstm, True, False)]
)
def test_an_update_descends_the_slope_of_the_loss(
    exact: Any, slope: Any, make_ring: Any, kind: Any, double: bool, masked: bool
) -> None:
    """Central differences through a network walked row by row; burn-in has no gradient."""
    network = Network(Dense(3), Tanh(), kind(2), Dense(3), input_shape=(3,))
    ring = ring_of(make_ring, network.memory_width, masked)
    learner = learner_of(
        *(exact, network, ring, OptimizerSpec(name="sgd", lr=1e-3)),
        double=double,
        target=TargetConfig(every=1000),
    )
    for _ in range(3):  # until the online and the target network differ
        learner.update(ring.rows, 0, ring.head)
    before, target = learner.params.copy(), learner._target.copy()
    batches = []
    read = learner._reader.read
    learner._reader.read = lambda *given: batches.append(read(*given)) or batches[-1]

    learner.update(ring.rows, 0, ring.head)

    batch, count = batches[0], SEQUENCES.batch * SEQUENCES.length
    valid = batch.valid.reshape(-1)
    assert valid.any()
    assert not valid.all()
    stale = batch._replace(memory=learner.burn_in(before, batch), begun=batch.begun[:0])
    q_target = outputs(network, exact, target, batch).reshape(-1, 3)[batch.ahead]
    mask = None if batch.mask is None else batch.mask[count:]

    def loss(params: Any) -> float:
        q = outputs(network, exact, params, stale).reshape(-1, 3)
        frozen = outputs(network, exact, before, batch).reshape(-1, 3)[batch.ahead]
        selector = frozen if double else q_target
        given = batch.reward_t, batch.discount_t, q_target, selector, mask, (3,)
        goal = td.double_q_target(*given)
        own = q[:count][np.arange(count), batch.action_tm1[:, 0]]
        error = (goal - own)[valid]
        small = np.abs(error) <= 1
        return float(np.where(small, 0.5 * error**2, np.abs(error) - 0.5).mean())

    moved = before.copy()
    expected = slope(lambda _: loss(moved), moved)
    np.testing.assert_allclose((before - learner.params) / 1e-3, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "atoms"),
    [
        ({}, 1),
        ({"prioritized": True, "munchausen": True}, 1),
        ({"distribution": "quantile", "average": 4}, 51),
    ],
    ids=["plain", "prioritized munchausen", "quantile"],
)
def test_it_resumes_bit_for_bit(backend: Any, make_ring: Any, options: Any, atoms: int) -> None:
    network = Network(Dense(8), Relu(), Gru(6), Dense(3 * atoms), input_shape=(3,))
    ring = ring_of(make_ring, network.memory_width)
    whole, first, second = (
        learner_of(backend, network, ring, **options, target=TargetConfig(tau=0.1))
        for _ in range(3)
    )

    for _ in range(9):
        whole.update(ring.rows, 0, ring.head)
    for _ in range(4):
        first.update(ring.rows, 0, ring.head)
    arrays, scalars = first.get_state()
    second.set_state(arrays, json.loads(json.dumps(scalars)))
    for _ in range(5):
        second.update(ring.rows, 0, ring.head)

    ours, theirs = whole.get_state(), second.get_state()
    assert ours[1] == theirs[1]
    assert ours[0].keys() == theirs[0].keys()
    for name, array in ours[0].items():
        np.testing.assert_array_equal(array, theirs[0][name], err_msg=name)
    assert whole.stats == second.stats
    assert whole.stats["td_abs"] > 0


def test_a_network_that_does_not_remember_is_refused(backend: Any, make_ring: Any) -> None:
    network = Network(Dense(3), input_shape=(3,))

    with pytest.raises(ModelError, match="recurrent layer"):
        learner_of(backend, network, ring_of(make_ring, 1))
