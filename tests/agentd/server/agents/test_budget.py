"""What an agent takes is told, and refused by name, before anything of it is made."""

import asyncio
import time

import numpy as np
import pytest

from agentd.config import LimitsConfig
from agentd.protocol import messages as m

FIRST = 0
DQN = {"learner": "dqn", "pace": {"mode": "free", "learn_start": 16}}
HUGE = {"model": {"layers": [{"dense": 32_000}, "relu", {"dense": 32_000}]}}  # 1e9 parameters
PICTURE = {"x": {"dtype": "uint8", "shape": [720, 960, 3]}}
SMALL = {"model": {"layers": [{"max_pool2d": 48}, "flatten", {"dense": 8}, "relu"]}}
MIB = 2**20


async def refused(house, **changes) -> m.Error:
    peer = await house.peer()
    await peer.say(peer.hello_message(**changes))
    error = await peer.hear()
    assert isinstance(error, m.Error), error
    return error


async def admin_of(house):
    admin = await house.peer()
    await admin.hello("", role="admin")
    return admin


@pytest.mark.parametrize("learner", ["dqn", "none", "supervised"])
async def test_a_hello_for_a_model_that_is_too_large_leaves_nothing(serve, tmp_path, learner):
    limit = 4096 * MIB
    house = await serve(
        {"learner": learner} | HUGE, data_dir=tmp_path / "data", agent_memory_bytes=limit
    )

    began = time.monotonic()
    error = await refused(house)

    assert time.monotonic() - began < 10
    assert (error.code, error.field, error.fatal) == ("BAD_CONFIG", "model", True)
    assert "limits.agent_memory_bytes" in error.expected
    assert "parameters" in error.got
    assert list((tmp_path / "data" / "agents").iterdir()) == []


async def test_create_refuses_what_no_game_could_play(serve, tmp_path):
    house = await serve(data_dir=tmp_path / "data", agent_memory_bytes=4096 * MIB)
    admin = await admin_of(house)
    for config in (HUGE, {"learner": "none"} | HUGE):
        await admin.say(m.Create(agent="a", config=config))
        error = await admin.hear()
        assert (error.code, error.field, error.fatal) == ("BAD_CONFIG", "model", False)
    assert list((tmp_path / "data" / "agents").iterdir()) == []


async def test_the_limit_is_that_of_the_configuration(serve):
    house = await serve(DQN, agent_memory_bytes=8 * MIB)
    error = await refused(house)
    assert error.expected == "at most 8.4 MB (limits.agent_memory_bytes)"
    house = await serve(DQN, agent_memory_bytes=64 * MIB)
    await (await house.peer()).hello()


async def test_the_ring_of_an_agent_made_from_the_defaults_fits_on_the_disk(serve, caplog):
    house = await serve(DQN | SMALL, agent_disk_bytes=1024 * MIB, max_rows=8)
    peer = await house.peer()
    await peer.hello(observation=PICTURE, streams=1)
    kept = house.server.registry.loaded["a"].learning.ring

    assert 16 <= kept.capacity < 520
    assert "ring made smaller agent=a" in caplog.text
    admin = await admin_of(house)
    await admin.say(m.Info(agent="a"))
    assert (await admin.hear()).info["config"]["replay"]["capacity"] == kept.capacity

    pixels = np.zeros(720 * 960 * 3, np.uint8).tobytes()
    await peer.say(
        m.Step(
            seq=1,
            stream=bytes(4),
            kind=bytes([FIRST]),
            reward=bytes(4),
            obs={"x": pixels},
        )
    )
    assert isinstance(await peer.hear(), m.ActReply)


async def test_a_ring_that_was_asked_for_and_does_not_fit_is_refused(serve, tmp_path):
    house = await serve(agent_disk_bytes=1024 * MIB, data_dir=tmp_path / "data")
    admin = await admin_of(house)
    await admin.say(m.Create(agent="a", config=DQN | SMALL))
    assert isinstance(await admin.hear(), m.Created)

    error = await refused(house, observation=PICTURE)

    assert (error.code, error.field) == ("BAD_CONFIG", "replay.capacity")
    assert "set replay.capacity to at most" in error.message
    assert "limits.agent_disk_bytes" in error.expected
    assert not (tmp_path / "data" / "agents" / "a" / "replay").exists()


async def test_an_agent_being_built_does_not_hold_up_the_others(serve):
    """A model of 20 million parameters is drawn, copied and published beside a game at play."""
    house = await serve({"learner": "none", "model": {"layers": [{"dense": 4400}] * 2}})
    admin = await admin_of(house)
    config = {"learner": "none", "model": {"layers": [{"dense": 8}]}}
    await admin.say(m.Create(agent="quick", config=config))
    await admin.hear()
    game = await house.peer()
    await game.hello("quick")
    await game.step([FIRST] * 4)

    big = await house.peer()
    await big.say(big.hello_message("big"))
    welcomed = asyncio.ensure_future(big.hear(30))
    slowest = 0.0
    while not welcomed.done():
        began = time.monotonic()
        await game.step([1] * 4)
        slowest = max(slowest, time.monotonic() - began)

    assert isinstance(welcomed.result(), m.Welcome)
    assert slowest < 1


def test_limits_have_defaults_of_the_machine():
    limits = LimitsConfig()
    assert (limits.agent_memory_bytes, limits.agent_disk_bytes) == (None, None)
