"""How an agent is: one word and a reason, the same for `stats`, metrics and readiness."""

import asyncio
import os
import signal
import time
import urllib.request

import msgspec
import numpy as np
import pytest

from agentd.config import LimitsConfig
from agentd.protocol import messages as m

FIRST, MID = 0, 1
PACED = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}, "relu"]},
    "dqn": {"batch": 8},
    "replay": {"capacity": 1_000},
    "pace": {"mode": "paced", "learn_start": 8, "train_every": 4, "updates": 1},
}
FREE = PACED | {"pace": {"mode": "free", "learn_start": 8, "train_every": 4}}
DIVERGES = FREE | {
    "loss": "mse",
    "optimizer": {"name": "sgd", "lr": 1e6},
    "dqn": {"batch": 8, "clip_norm": None, "gamma": 1.0},
    "checkpoint": {"every_seconds": None, "every_updates": 1},
}


async def playing(serve, agent, **limits):
    """A daemon with an HTTP side, and a game that has begun."""
    house = await serve(agent, **limits)
    peer = await house.peer()
    await peer.hello()
    assert isinstance(await peer.step([FIRST] * 4), m.ActReply)
    return house, peer


async def play(peer, frames: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(frames):
        answer = await peer.step([MID] * 4, rng.standard_normal((4, 4)), np.ones(4))
        assert isinstance(answer, m.ActReply), answer


async def stats_of(peer) -> dict:
    await peer.say(m.Stats(agent="a"))
    return (await peer.hear()).agents["a"]


async def until(peer, state: str, within: float) -> dict:
    """The agent's stats once it is in ``state``."""
    async with asyncio.timeout(within):
        while (stats := await stats_of(peer))["state"] != state:
            await asyncio.sleep(0.05)
    return stats


async def test_an_agent_waits_for_rows_then_learns_then_is_frozen_then_idle(serve):
    house, peer = await playing(serve, FREE)
    stats = await stats_of(peer)
    assert stats["state"] == "starved"
    assert stats["state_reason"].endswith("4 have come, the next update is due at 8")
    assert (stats["updates"], type(stats["updates"])) == (0, int)

    await play(peer, 20)
    async with asyncio.timeout(5):
        while (stats := await stats_of(peer))["updates"] == 0:
            await asyncio.sleep(0.05)
    assert stats["state"] == "learning"
    assert type(stats["updates"]) is type(stats["due"]) is int
    await peer.say(m.Freeze(agent="a", on=True))
    assert isinstance(await peer.hear(), m.Frozen)
    assert (await stats_of(peer))["state"] == "frozen"
    await peer.say(m.Freeze(agent="a", on=False))
    await peer.hear()
    await peer.close()
    admin = await house.peer()
    await admin.say(admin.hello_message("", "admin", observation=None, action=None, streams=0))
    await admin.hear()
    assert (await until(admin, "idle", 8))["connections"] == 0


async def test_an_agent_that_only_plays_is_idle(serve):
    peer = await (await serve()).peer()
    await peer.hello(role="play")
    assert (await stats_of(peer))["state_reason"] == "it only plays (learner: none)"


async def test_a_learner_that_hangs_is_started_again_and_no_paced_frame_waits_for_ever(serve):
    house, peer = await playing(serve, PACED, hang_s=1.0)
    await play(peer, 10)
    os.kill(house.server.registry.loaded["a"].learning.handle.pid, signal.SIGSTOP)
    for _ in range(10):
        await peer.say(peer.frame([MID] * 4))
        assert isinstance(await peer.hear(within=25), m.ActReply)  # a busy machine starts slowly
    stats = await until(peer, "learning", 10)
    assert (stats["learner_restarts"], stats["overdue_frames"]) == (1, 0)


@pytest.mark.parametrize("before", [0, 10])
async def test_frames_are_answered_late_when_the_learner_makes_no_progress(serve, before):
    """It hangs, and is not yet taken for dead: the paced game waits only so long."""
    house, peer = await playing(serve, PACED, hang_s=60.0, paced_wait_s=0.5)
    handle = house.server.registry.loaded["a"].learning.handle
    await handle.ready()
    await play(peer, before)
    pid = handle.pid
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    await play(peer, 10)
    assert 0.4 < time.monotonic() - began < 30
    stats = await stats_of(peer)
    assert "no progress" in stats["state_reason"]
    assert stats["overdue_frames"] >= 5
    os.kill(pid, signal.SIGCONT)
    await until(peer, "learning", 10)
    await play(peer, 5)
    assert (await stats_of(peer))["learner_restarts"] == 0


async def test_a_save_that_a_hanging_learner_never_does_says_so(serve):
    house, peer = await playing(serve, FREE, hang_s=1.0)
    await house.server.registry.loaded["a"].learning.handle.ready()
    os.kill(house.server.registry.loaded["a"].learning.handle.pid, signal.SIGSTOP)
    await peer.say(m.Save(agent="a"))
    error = await peer.hear()
    assert (error.code, error.fatal) == ("INTERNAL", False)
    assert "it hung: no sign of life" in error.message


@pytest.mark.parametrize("learner", ["dqn", "none"])
async def test_files_that_are_taken_away_are_missed(serve, tmp_path, learner):
    agent = FREE if learner == "dqn" else {"learner": "none"}
    house = await serve(agent, data_dir=tmp_path / "data")
    peer = await house.peer()
    await peer.hello(role="train" if learner == "dqn" else "play")
    await peer.step([FIRST] * 4)
    if learner == "dqn":
        await house.server.registry.loaded["a"].learning.handle.ready()

    (tmp_path / "data").rename(tmp_path / "moved")
    await peer.say(m.Save(agent="a"))
    error = await peer.hear()
    assert error.code == "STORAGE_FAILED"
    assert "was removed while in use" in error.message
    stats = await until(peer, "degraded", 2)
    assert "was removed while in use" in stats["state_reason"]
    assert stats.get("degraded", True)
    assert not (tmp_path / "data").exists()
    assert isinstance(await peer.step([MID] * 4), m.ActReply)

    (tmp_path / "moved").rename(tmp_path / "data")
    async with asyncio.timeout(3):
        while (await stats_of(peer))["state"] == "degraded":
            await asyncio.sleep(0.05)
    await peer.say(m.Save(agent="a"))
    assert isinstance(await peer.hear(), m.Saved)


async def test_a_disk_that_takes_checkpoints_again_is_known_within_two_seconds(serve, tmp_path):
    house = await serve(FREE, data_dir=tmp_path / "data")
    peer = await house.peer()
    await peer.hello()
    await house.server.registry.loaded["a"].learning.handle.ready()
    folder = tmp_path / "data/agents/a/checkpoints"
    folder.write_bytes(b"in the way")
    await peer.say(m.Save(agent="a"))
    assert (await peer.hear()).code == "STORAGE_FAILED"
    stats = await stats_of(peer)
    assert (stats["state"], stats["degraded"]) == ("degraded", True)
    assert str(folder) in stats["state_reason"]

    folder.unlink()
    await until(peer, "starved", 2)
    assert not (await stats_of(peer))["degraded"]


async def get(house, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        url = f"http://{house.server.http_address}{path}"
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()

    return await asyncio.to_thread(ask)


async def test_learning_that_paused_is_seen_everywhere_and_goes_on_from_good_weights(serve):
    pytest.importorskip("starlette", reason="needs the extra web")
    from agentd.config import ServerConfig, agent_config_from_wire

    config = ServerConfig(
        port=0, http_port=0, autocreate=True, agent=agent_config_from_wire(DIVERGES)
    )
    house = await serve(config=msgspec.structs.replace(config, limits=LimitsConfig()))
    peer = await house.peer()
    await peer.hello()
    await peer.step([FIRST] * 4)
    assert await get(house, "/readyz") == (200, "ready\n")
    await play(peer, 60)

    stats = await until(peer, "paused", 10)
    assert "paused after 10 non-finite updates" in stats["state_reason"]
    assert (await get(house, "/readyz"))[1].startswith("degraded: 1 agent")
    metrics = (await get(house, "/metrics"))[1]
    assert 'agentd_agent_state{agent="a",state="paused"} 1.0' in metrics
    assert 'agentd_agent_state{agent="a",state="learning"} 0.0' in metrics

    good = stats["good_checkpoint"]
    assert f"load {good} goes back" in stats["state_reason"]
    await peer.say(m.Load(agent="a", checkpoint=good))
    assert isinstance(await peer.hear(), m.Loaded)
    assert (await stats_of(peer))["state"] != "paused"
