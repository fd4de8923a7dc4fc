"""A row's action does not depend on which rows share its batch: alone or among many, the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentd.engine.layers import Dense, NoisyDense
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.rules.exploration import ExplorationConfig
from agentd.protocol.schema import Schema
from agentd.server.batching.actor import Actor
from agentd.server.batching.question import Question

MID, TERMINATED = 1, 2


def make_actor(spread: float = 0.0, kind: Any = "epsilon") -> Actor:
    schema = Schema.from_wire(
        {"x": {"dtype": "float32", "shape": [3]}}, {"kind": "discrete", "n": 5}
    )
    network = Network(NoisyDense(5) if kind == "noisy" else Dense(5), input_shape=(3,))
    exploration = ExplorationConfig(kind=kind, start=0.5, end=0.5, steps=1, spread=spread)
    actor = Actor(schema, network, NumPyBackend(), exploration, seed=3, capacity=256)
    actor.weights[:] = network.init(np.random.default_rng(0))
    actor.publish(7)
    return actor


@pytest.mark.parametrize("learned", [0, 200])
@pytest.mark.parametrize(
    ("spread", "explore"), [(0.0, "epsilon"), (3.0, "epsilon"), (0.0, "boltzmann"), (0.0, "noisy")]
)
def test_alone_or_together_a_row_gets_the_same_answer(learned, spread, explore):
    actor, n = make_actor(spread, explore), 200
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
    assert together.explored.any() == (bool(learned) and explore != "noisy")


def test_noise_is_that_of_the_row_s_place_and_of_rows_that_learn_only():
    actor, one = make_actor(kind="noisy"), np.ones((1, 3), np.float32).view(np.uint8)
    kind = np.array([MID], np.uint8)

    q = [actor.act(one, None, kind, None, 1, 1, row, 0).q[0] for row in (0, 63, 64, 6400, 64, 0)]
    plain = [actor.act(one, None, kind, None, 1, 0, row, 0).q[0] for row in (0, 64)]

    np.testing.assert_array_equal(q[0], q[1])
    np.testing.assert_array_equal(q[2], q[4])
    np.testing.assert_array_equal(q[0], q[5])
    assert len({values.tobytes() for values in q}) == 3
    np.testing.assert_array_equal(*plain)
    assert (plain[0] != q[0]).any()


def question(obs: np.ndarray) -> Question:
    return Question(obs.view(np.uint8), None, 1, 40, None)


@pytest.mark.parametrize("kind", ["epsilon", "noisy"])
def test_what_was_worked_out_is_used_once_and_only_for_the_same_question(kind):
    actor = make_actor(kind=kind)
    obs = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    plain = actor._outputs(question(obs))
    planted = plain + 1.0

    def look_ahead() -> None:
        actor.look_ahead(question(obs))
        turn, asked, _ = actor._ahead
        actor._ahead = turn, asked, planted

    look_ahead()
    assert (actor._outputs(question(obs.copy())) == planted).all()
    assert (actor._outputs(question(obs)) == plain).all()
    for other in (question(obs + 0), question(obs[:1])):
        changed = replace(other, first_row=41) if len(other.obs) == 2 else other
        look_ahead()
        assert not np.isin(actor._outputs(changed), planted).any()
    look_ahead()
    actor.publish(8)
    assert (actor._outputs(question(obs)) == plain).all()
    look_ahead()
    actor.reseed(99)
    assert not np.isin(actor._outputs(question(obs)), planted).any()
