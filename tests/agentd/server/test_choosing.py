"""A row's action does not depend on which rows share its batch: alone or among many, the same."""

import numpy as np
import pytest

from agentd.protocol.schema import Schema
from agentd.server.acting import Actor
from engine.exploration import Exploration
from engine.layers import Dense
from engine.network import Network
from engine.numpy_backend import NumPyBackend

MID, TERMINATED = 1, 2


def make_actor(spread: float = 0.0) -> Actor:
    schema = Schema.from_wire(
        {"x": {"dtype": "float32", "shape": [3]}}, {"kind": "discrete", "n": 5}
    )
    network = Network(Dense(5), input_shape=(3,))
    exploration = Exploration(start=0.5, end=0.5, steps=1, spread=spread)
    actor = Actor(schema, network, NumPyBackend(), exploration, seed=3, capacity=256)
    actor.weights[:] = network.init(np.random.default_rng(0))
    actor.publish(7)
    return actor


@pytest.mark.parametrize("learned", [0, 200])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_alone_or_together_a_row_gets_the_same_answer(learned, spread):
    actor, n = make_actor(spread), 200
    rng = np.random.default_rng(1)
    obs = rng.standard_normal((n, 3)).astype(np.float32).view(np.uint8)
    kind = np.where(np.arange(n) % 11 == 10, TERMINATED, MID).astype(np.uint8)
    stream = np.arange(n) if spread else None

    together = actor.act(obs, None, kind, stream, n, learned, 1000, 0)
    alone = [
        actor.act(
            obs[i : i + 1],
            None,
            kind[i : i + 1],
            None if stream is None else stream[i : i + 1],
            n,
            min(learned, 1),
            1000 + i,
            0,
        )
        for i in range(n)
    ]

    assert [int(a.action[0, 0]) for a in alone] == together.action[:, 0].tolist()
    assert [int(a.explored[0]) for a in alone] == together.explored.tolist()
    assert (together.action[kind == TERMINATED] == -1).all()
    assert together.explored.any() == bool(learned)
