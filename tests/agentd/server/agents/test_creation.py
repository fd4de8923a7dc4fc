"""T3, T4: a creation that is cut off or meets a full disk leaves nothing that keeps games out."""

import errno
import os
import random

import pytest

from agentd.assembly.ring import plan_ring
from agentd.config import LimitsConfig, agent_config_from_wire, dump_agent_config
from agentd.memory.mapped_file import RingCounters
from agentd.protocol import messages as m
from agentd.protocol.schema import Schema
from agentd.server.agents.build import open_ring
from agentd.store import Files

FIRST = 0
LEARNS = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}, "relu"]},
    "replay": {"capacity": 64},
    "pace": {"mode": "free", "learn_start": 64},
    "dqn": {"batch": 4},
}


def half_made(agents, name: str, files: dict[str, bytes], folders: tuple[str, ...] = ()) -> None:
    """What a daemon that was killed while it made an agent has left."""
    for folder in ("", *folders):
        (agents / name / folder).mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        (agents / name / file).write_bytes(data)


async def test_what_a_cut_off_creation_left_keeps_no_game_out(serve, tmp_path):
    agents, noise = tmp_path / "data" / "agents", random.Random(0).randbytes(5000)
    text = dump_agent_config(agent_config_from_wire(LEARNS))
    config = {"config.yaml": text}
    half_made(agents, "empty", {})
    half_made(agents, "unnamed", {".new-config.yaml": text[:20]})
    half_made(agents, "configured", config)
    half_made(agents, "unbound", config | {".new-schema.json": b'{"obs'}, ("replay",))
    half_made(agents, "ring", config, ("replay",))
    other = Schema.from_wire({"y": {"dtype": "uint8", "shape": [7]}}, {"kind": "discrete", "n": 5})
    plan = plan_ring(agent_config_from_wire(LEARNS), other, LimitsConfig())
    open_ring(agents / "ring" / "replay", plan, RingCounters()).close()
    half_made(agents, "board", config | {"replay/weights.board": noise}, ("replay",))
    half_made(agents, "saved", config, ("checkpoints/.new-000001-000000000000", "replay"))
    names = sorted(path.name for path in agents.iterdir())
    assert len(names) == 7

    house = await serve(LEARNS, data_dir=tmp_path / "data")
    for name in names:
        peer = await house.peer()
        await peer.hello(name)
        assert isinstance(await peer.step([FIRST] * 4), m.ActReply), name


@pytest.mark.parametrize("how", [errno.ENOSPC, errno.EIO])
async def test_a_disk_that_fails_at_any_call_of_a_creation_leaves_nothing(
    serve, tmp_path, monkeypatch, how
):
    """The N-th call of a hello's creation to the disk fails, for every N, until one passes."""
    house = await serve({"learner": "none"}, data_dir=tmp_path / "data")
    agents, left = tmp_path / "data" / "agents", 0

    def failing(name):
        sound = getattr(Files, name)

        def call(self, *arguments):
            nonlocal left
            left -= 1
            if left == 0:
                if name == "close":
                    os.close(arguments[0])
                raise OSError(how, os.strerror(how))
            return sound(self, *arguments)

        return call

    for name in ("make_dir", "create", "write", "sync", "close", "rename", "sync_dir"):
        monkeypatch.setattr(Files, name, failing(name))
    for at in range(1, 60):
        left = at
        peer = await house.peer()
        await peer.say(peer.hello_message())
        answer = await peer.hear()
        if isinstance(answer, m.Welcome):
            break
        left = 0
        assert (answer.code, answer.fatal) == ("STORAGE_FAILED", True), answer
        assert os.strerror(how) in answer.message
        assert list(agents.iterdir()) == [], at
    assert at > 10, "a creation makes more calls than that"
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)


async def test_a_game_that_its_targets_cannot_be_searched_in_is_refused(serve, tmp_path):
    """By its first hello, before a learner starts; another game may still have the name."""
    search = {"game": "connect4", "plies": 1}
    config = LEARNS | {"dqn": {"batch": 4, "alternating": True, "search": search}}
    house = await serve(config, data_dir=tmp_path / "data")
    peer = await house.peer()

    await peer.say(peer.hello_message())
    error = await peer.hear()

    assert (error.code, error.fatal) == ("BAD_CONFIG", True)
    assert "dqn.search.game connect4: expected rows of board uint8 (6, 7, 5)" in error.message
    assert list((tmp_path / "data" / "agents").iterdir()) == []
    board = {"board": {"dtype": "uint8", "shape": [6, 7, 5]}}
    fitting = await house.peer()
    await fitting.say(fitting.hello_message(observation=board, action={"kind": "discrete", "n": 7}))
    assert isinstance(await fitting.hear(), m.Welcome)
