"""An agent's life on disk: what is damaged is named, what fails leaves nothing, limits answer."""

import asyncio
import json
import os

import msgspec
import numpy as np
import pytest

from agentd.config import AgentConfig, LimitsConfig, agent_config_from_wire
from agentd.memory.weight_board import WeightBoard
from agentd.protocol import messages as m

FIRST, MID = 0, 1
DQN = {"learner": "dqn", "pace": {"mode": "free", "learn_start": 1_000}}


async def refused(house, **changes) -> m.Error:
    peer = await house.peer()
    await peer.say(peer.hello_message(**changes))
    error = await peer.hear()
    assert isinstance(error, m.Error), error
    return error


async def begun(serve, data_dir, **limits) -> None:
    """A daemon that ends with a session which waits for its resume."""
    house = await serve(data_dir=data_dir, **limits)
    peer = await house.peer()
    await peer.hello()
    await peer.step([FIRST] * 4)
    await peer.close()
    await house.down()


@pytest.mark.parametrize(
    "content", [b"", b'{"observation": {', b"[]", b"\xff\x00", b'{"observation": 1, "action": 2}']
)
async def test_a_damaged_schema_refuses_its_agent_and_no_other(serve, tmp_path, content):
    await begun(serve, tmp_path / "data")
    (tmp_path / "data" / "agents" / "a" / "schema.json").write_bytes(content)

    house = await serve(data_dir=tmp_path / "data")

    error = await refused(house)
    assert (error.code, "schema.json" in error.message) == ("INTERNAL", True)
    other = await house.peer()
    await other.hello("b")
    assert isinstance(await other.step([FIRST] * 4), m.ActReply)


@pytest.mark.parametrize("damage", ["empty", "cut", "random", "no header", "other size"])
async def test_a_damaged_session_table_is_begun_anew(serve, tmp_path, damage):
    await begun(serve, tmp_path / "data", max_sessions=300)
    path = tmp_path / "data" / "sessions.bin"
    whole = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).bytes(len(whole))
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "random":
            path.write_bytes(whole[:4096] + noise[4096:])
        case "no header":
            path.write_bytes(noise)

    sessions = 100 if damage == "other size" else 300
    house = await serve(data_dir=tmp_path / "data", max_sessions=sessions)

    peer = await house.peer()
    assert not (await peer.hello()).resumed
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)


async def test_a_hello_over_the_limit_leaves_no_agent(serve, tmp_path):
    house = await serve(max_agents=1, data_dir=tmp_path / "data")
    await (await house.peer()).hello("a")
    for name in ("b", "c"):
        error = await refused(house, agent=name)
        assert (error.code, error.retry_ms) == ("LIMIT", 1_000)
    assert [p.name for p in (tmp_path / "data" / "agents").iterdir()] == ["a"]


async def test_a_creation_that_fails_leaves_nothing(serve, tmp_path):
    planes = {"model": {"layers": [{"conv2d": {"channels": 2, "kernel": 3}}, "relu", "flatten"]}}
    house = await serve(planes, data_dir=tmp_path / "data")
    assert (await refused(house)).code == "BAD_CONFIG"
    assert list((tmp_path / "data" / "agents").iterdir()) == []

    right = {"x": {"dtype": "float32", "shape": [5, 5, 1]}}
    await (await house.peer()).hello(observation=right)


async def test_a_hello_that_fails_does_not_bind_an_agent_that_was_created(serve, tmp_path):
    house = await serve(data_dir=tmp_path / "data")
    admin = await house.peer()
    await admin.hello("", role="admin")
    config = {
        "learner": "none",
        "model": {"layers": [{"conv2d": {"channels": 2, "kernel": 3}}, "flatten"]},
    }
    await admin.say(m.Create(agent="a", config=config))
    assert isinstance(await admin.hear(), m.Created)
    assert (await refused(house)).code == "BAD_CONFIG"

    right = {"x": {"dtype": "float32", "shape": [5, 5, 1]}}
    await (await house.peer()).hello(observation=right)


async def test_a_deleted_agent_comes_back_from_its_own_section(serve, tmp_path):
    section = agent_config_from_wire({"learner": "none", "seed": 7})
    house = await serve(data_dir=tmp_path / "data")
    await house.down()
    config = msgspec.structs.replace(house.server.config, agents={"a": section}, autocreate=False)
    house = await serve(config=config, data_dir=tmp_path / "data")
    admin = await house.peer()
    await admin.hello("", role="admin")
    await admin.say(m.Delete(agent="a"))
    assert isinstance(await admin.hear(), m.Deleted)

    await (await house.peer()).hello("a")

    await admin.say(m.Info(agent="a"))
    assert (await admin.hear()).info["config"]["seed"] == 7


async def test_an_edited_section_is_applied_or_named(serve, tmp_path, caplog):
    def section(**changes) -> AgentConfig:
        return agent_config_from_wire(DQN | changes)

    async def run(agent: AgentConfig):
        config = msgspec.structs.replace(server_config, agents={"a": agent})
        return await serve(config=config, data_dir=tmp_path / "data")

    house = await serve(DQN, data_dir=tmp_path / "other")
    server_config = house.server.config
    house = await run(section())
    peer = await house.peer()
    await peer.hello()
    await peer.step([FIRST] * 4)
    await house.down()

    edited = {"seed": 7, "dqn": {"gamma": 0.5, "n_step": 4}, "exploration": {"end": 0.2}}
    house = await run(section(**edited))
    admin = await house.peer()
    await admin.hello("", role="admin")
    await admin.say(m.Info(agent="a"))
    found = (await admin.hear()).info["config"]

    assert (found["dqn"]["gamma"], found["exploration"]["end"]) == (0.5, 0.2)
    assert (found["seed"], found["dqn"]["n_step"]) == (0, 3)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert [text.split()[3] for text in warnings] == ["seed=7", "dqn.n_step=4"]
    peer = await house.peer()
    await peer.hello()
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)


async def test_when_the_table_is_full_who_waits_gives_way(serve):
    house = await serve(DQN, max_sessions=2)
    played, silent = await house.peer(), await house.peer()
    await played.hello(run=bytes(16))
    await played.step([FIRST] * 4)
    await silent.hello(run=bytes(range(16)))
    error = await refused(house, run=b"third run of all")
    assert (error.code, error.retry_ms, error.expected) == ("LIMIT", 1_000, "at most 2")
    assert len(house.server.registry.loaded["a"].states.open) == 64  # nothing was reserved

    for peer in (played, silent):
        await peer.close()
    agent = house.server.registry.loaded["a"]
    async with asyncio.timeout(5):
        while agent.connected:
            await asyncio.sleep(0.01)
    await (await house.peer()).hello(run=b"third run of all")
    assert {session.run for session in agent.sessions.values()} == {bytes(16), b"third run of all"}


@pytest.mark.parametrize("path", ["/dev/zero", "/etc/passwd", "weights.safetensors", "../a"])
async def test_no_verb_takes_a_path(serve, path):
    house = await serve()
    admin = await house.peer()
    await admin.hello("", role="admin")
    await admin.say(m.Create(agent="a", config={"learner": "none", "init": {"file": path}}))
    error = await admin.hear()
    assert (error.code, error.field) == ("BAD_CONFIG", "init.file")
    await admin.say(m.Agents())
    assert (await admin.hear()).agents == []


async def test_a_pipe_is_no_file_of_weights(serve, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    house = await serve({"learner": "none", "init": {"file": str(tmp_path / "pipe")}})
    async with asyncio.timeout(5):
        error = await refused(house)
    assert (error.code, "no regular file" in error.message) == ("BAD_CONFIG", True)


async def test_statistics_are_always_json(serve):
    house = await serve(DQN)
    await (await house.peer()).hello()
    agent = house.server.registry.loaded["a"]
    board = agent.learning.handle.board
    learners = WeightBoard.open(board.path, board.n_params, writable=True)
    learners.set_stats({"accuracy": float("inf"), "grad_norm": -float("inf")})

    shown = json.loads(json.dumps(house.server.stats.agents("a"), allow_nan=False))["a"]

    assert [shown[key] for key in ("accuracy", "grad_norm", "q_mean")] == [None] * 3


async def test_operations_name_the_agents_that_there_are(serve):
    house = await serve()
    await (await house.peer()).hello("a")
    admin = await house.peer()
    await admin.hello("", role="admin")
    for operation in (m.Info(agent="x"), m.Save(agent="x"), m.Stats(agent="x")):
        await admin.say(operation)
        error = await admin.hear()
        assert (error.code, error.expected) == ("UNKNOWN_AGENT", "one of a")


def test_the_limit_of_sessions_is_configuration():
    assert LimitsConfig().max_sessions == 16_384


async def test_a_frame_that_still_waits_at_the_end_is_taken_after_the_restart(serve, tmp_path):
    paced = {
        "learner": "dqn",
        "dqn": {"batch": 4, "n_step": 1},
        "pace": {"mode": "paced", "learn_start": 4, "train_every": 4, "updates": 1},
    }
    house = await serve(paced, data_dir=tmp_path / "data", drain_s=8.0)
    peer = await house.peer()
    session = (await peer.hello()).session
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)
    learning = house.server.registry.loaded["a"].learning
    learning.may_act = lambda: not learning.handle.paces()  # the weights that it needs never come
    learning.stalls = lambda: False
    waiting = peer.frame([MID] * 4)
    await peer.say(waiting)
    await house.down()

    house = await serve(paced, data_dir=tmp_path / "data", drain_s=8.0)
    again = await house.peer()
    assert (await again.hello(resume=session)).last_seq == 1
    await again.say(waiting)
    assert isinstance(await again.hear(), m.ActReply)
