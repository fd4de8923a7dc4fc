"""I1: agents that are slow to build, wait for their learner or are broken delay nobody else."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from agentd.protocol import messages as m
from agentd.server.agents import build

FIRST, MID = 0, 1
SMALL = {"model": {"layers": [{"dense": 8}, "relu"]}, "replay": {"capacity": 20_000}}
SAFE = SMALL | {"learner": "dqn", "durability": "always"}
SAFE |= {"pace": {"mode": "free", "learn_start": 10_000}}
PACED = SMALL | {"learner": "dqn", "dqn": {"batch": 4}}
PACED |= {"pace": {"mode": "paced", "learn_start": 4, "train_every": 4, "updates": 1}}
HANGS_S, MOST_S, THREADS = 6.0, 3.0, 3
SLOW = [f"slow{number}" for number in range(THREADS + 1)]
GONE = [f"gone{number}" for number in range(THREADS)]


class Game:
    """Plays an agent whose learner's process is stopped before it can say a word."""

    def __init__(self, house) -> None:
        self.house, self.longest, self.frames = house, 0.0, 0

    async def begin(self, name: str) -> "Game":
        self.peer = await self.house.peer()
        await self.peer.hello(name)
        handle = self.house.server.registry.loaded[name].learning.handle
        while handle.pid is None:
            await asyncio.sleep(0.001)
        self.learner = handle.pid
        os.kill(self.learner, signal.SIGSTOP)
        return self

    async def play(self, frames: int) -> None:
        for _ in range(frames):
            began = time.monotonic()
            answer = await self.peer.step([MID if self.frames else FIRST] * 4)
            self.longest = max(self.longest, time.monotonic() - began)
            assert isinstance(answer, m.ActReply), answer
            self.frames += 1


async def admin_of(house):
    admin = await house.peer()
    await admin.hello("", role="admin")
    return admin


async def test_agents_in_trouble_delay_nobody_else(serve, monkeypatch, tmp_path):
    """Deletions take every thread there is for disk work, then builds as many and one more."""
    sound, deleted, built = build.build_agent, threading.Event(), threading.Event()

    def slow_build(host, folder, *more):
        if folder.name in SLOW:
            built.wait(HANGS_S)
        return sound(host, folder, *more)

    monkeypatch.setattr(build, "build_agent", slow_build)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    house = await serve(data_dir=tmp_path / "data")
    stored, admin = house.server.registry.stored, await admin_of(house)
    made = [("safe", SAFE), ("paced", PACED), *((name, SMALL) for name in GONE)]
    for name, config in made:
        await admin.say(m.Create(agent=name, config=config))
        assert isinstance(await admin.hear(), m.Created)
    (tmp_path / "data" / "agents" / "broken").mkdir()
    (tmp_path / "data" / "agents" / "broken" / "config.yaml").write_text("learner: [")
    remove = stored.remove
    monkeypatch.setattr(stored, "remove", lambda name: (deleted.wait(HANGS_S), remove(name)))
    game, paced = await Game(house).begin("safe"), await Game(house).begin("paced")
    await paced.peer.say(paced.peer.frame([FIRST] * 4), paced.peer.frame([MID] * 4))
    assert isinstance(await paced.peer.hear(), m.ActReply)  # the second waits for an update

    admins = [await admin_of(house) for _ in GONE]
    for name, operator in zip(GONE, admins, strict=True):
        await operator.say(m.Delete(agent=name))
    await game.play(20)
    deleted.set()
    assert all([isinstance(await operator.hear(30), m.Deleted) for operator in admins])

    slow = [await house.peer() for _ in SLOW]
    for name, peer in zip(SLOW, slow, strict=True):
        await peer.say(peer.hello_message(name))
    await game.play(20)
    other, newcomer, began = await house.peer(), await house.peer(), time.monotonic()
    await other.say(other.hello_message("broken"))
    assert isinstance(await other.hear(), m.Error)
    await newcomer.hello("new")
    welcomed_s = time.monotonic() - began
    built.set()
    assert all([isinstance(await peer.hear(30), m.Welcome) for peer in slow])
    for each in (game, paced):
        os.kill(each.learner, signal.SIGCONT)
    assert isinstance(await paced.peer.hear(60), m.ActReply)
    assert game.longest < MOST_S, f"an answer took {game.longest:.1f} s"
    assert welcomed_s < MOST_S, f"a welcome took {welcomed_s:.1f} s"
