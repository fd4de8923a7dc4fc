"""An agent that only plays goes on with the checkpoints that another one writes."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.assembly.network import network_for
from agentd.config import AgentConfig, ConfigError, agent_config_from_wire
from agentd.config.records import FollowConfig
from agentd.engine.network.weights import split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.protocol.schema import Schema
from agentd.server.agents.following import Follower
from agentd.server.batching.actor import Actor
from agentd.store import list_checkpoints, write_checkpoint

SCHEMA = Schema.from_wire({"x": {"dtype": "float32", "shape": [4]}}, {"kind": "discrete", "n": 3})
SMALL: dict[str, Any] = {"learner": "none", "model": {"layers": [{"dense": 8}, "relu"]}}


def agent(**more: Any) -> AgentConfig:
    return agent_config_from_wire(SMALL | more)


def save(folder: Path, value: float, step: int, **more: Any) -> str:
    network = network_for(agent(**more), SCHEMA)
    weights = split(network, np.full(network.n_params, value, np.float32))
    return write_checkpoint(folder / "checkpoints", step, {"learner": "none"}, weights, {}, keep=3)


@pytest.fixture
def actor() -> Actor:
    config, backend = agent(), NumPyBackend()
    return Actor(SCHEMA, network_for(config, SCHEMA), backend, config.exploration, 0, 16)


def look(follower: Follower) -> None:
    follower._due = 0.0
    asyncio.run(follower.look())


def test_what_comes_is_played_and_kept(tmp_path: Path, actor: Actor) -> None:
    theirs, own = tmp_path / "theirs", tmp_path / "own"
    follower = Follower(FollowConfig(folder=str(theirs)), actor, own, keeps=True)
    look(follower)
    assert follower.trouble == f"nothing to follow: no checkpoint in {theirs / 'checkpoints'}"

    first = save(theirs, 1.0, 5)
    look(follower)
    assert (follower.trouble, actor.version, set(actor.weights)) == ("", 5, {1.0})
    assert list_checkpoints(own) == [first]

    second = save(theirs, 2.0, 9)
    asyncio.run(follower.look())
    assert actor.version == 5, "it is not time yet"
    look(follower)
    assert (actor.version, set(actor.weights)) == (9, {2.0})
    assert list_checkpoints(own) == [second]


def test_what_does_not_fit_is_told_and_the_last_weights_play_on(
    tmp_path: Path, actor: Actor
) -> None:
    follower = Follower(FollowConfig(folder=str(tmp_path)), actor, tmp_path / "own", keeps=True)
    name = save(tmp_path, 1.0, 5)
    look(follower)
    save(tmp_path, 3.0, 6, model={"layers": [{"dense": 9}, "relu"]})
    look(follower)

    assert follower.trouble.startswith(f"it does not follow {tmp_path / 'checkpoints'}: ")
    assert (actor.version, list_checkpoints(tmp_path / "own")) == (5, [name])
    save(tmp_path, 4.0, 7)
    look(follower)
    assert (follower.trouble, actor.version) == ("", 7)


def test_only_an_agent_that_learns_nothing_follows() -> None:
    with pytest.raises(ConfigError, match="follow"):
        agent_config_from_wire({"learner": "dqn", "follow": {"folder": "/there"}})
