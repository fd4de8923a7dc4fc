"""The daemon in a simulated world: one seed says what happens, and the same seed says it again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import hashlib
import logging
import os
import random
import shutil
import struct
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import agentd.learner.handle
import agentd.learner.process
from agentd.auth import Tokens
from agentd.config import AgentConfig, agent_config_from_wire
from agentd.config.records import LimitsConfig, ServerConfig
from agentd.errors import StorageError
from agentd.server import Server
from agentd.server.agents.agent import Agent
from tests.simulation.disk import Disk
from tests.simulation.edges import Killed, SimulatedLoop, Timetable, Violation
from tests.simulation.games import Diary, SimulatedAdmin, SimulatedGame
from tests.simulation.network import Network
from tests.simulation.oracle import Book
from tests.simulation.process import Nursery

AGENT = "npc"
LOOK_S = 0.1
PATIENCE_S = 120.0
"""Longest time without any answer, the disk being whole: the daemon hangs then."""
BASE: dict[str, Any] = {
    "model": {"layers": [{"dense": 8}, "relu"]},
    "dqn": {"batch": 8, "target": {"every": 50}},
    "replay": {"capacity": 1000},
    "checkpoint": {"every_seconds": 1.0, "keep": 3},
}
WINDOWS: dict[str, float | None] = {"always": 0.0, "1s": 1.0, "os": None}
"""How old an acknowledged row may be that a power failure takes, by ``durability``."""
PACES: tuple[dict[str, Any], ...] = (
    {"mode": "free", "learn_start": 64, "train_every": 32},
    {"mode": "paced", "learn_start": 64, "train_every": 32},
    {"mode": "live", "learn_start": 64, "max_updates_per_row": 0.03},
)


class Loaded(dict[str, Agent]):
    """The agents in memory; says when one comes, before it has answered anything."""

    def __init__(self, opened: Callable[[Agent], None]) -> None:
        self._opened = opened

    def __setitem__(self, name: str, agent: Agent) -> None:
        self._opened(agent)
        super().__setitem__(name, agent)


@dataclass
class Outcome:
    """What one run has seen. ``history``: a checksum over all that was said, and when.

    ``past``: what the game that found something had said and heard before.
    """

    seed: int
    frames: int = 0
    seconds: float = 0.0
    history: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)
    violation: str = ""
    past: list[str] = field(default_factory=list)


class World:
    """One seed's world, from the first hello until so many frames were answered."""

    def __init__(self, seed: int, frames: int, root: Path, **agent: Any) -> None:
        self.chance, self.rot_chance = random.Random(seed), random.Random(f"rot {seed}")
        self.outcome = Outcome(seed)
        self.wanted = frames
        self.timetable = Timetable(self.chance)
        self.disk = Disk(root / "data", self.chance)
        self.network = Network(self.timetable, self._wrote, self._said)
        self.nursery = Nursery(self.timetable, self.disk)
        self.disk.on_pipe = self._piped
        self.diary = Diary()
        drawn = {"pace": self.chance.choice(PACES), "durability": self.chance.choice([*WINDOWS])}
        config = BASE | {"seed": seed} | drawn | agent
        self.config: AgentConfig = agent_config_from_wire(config)
        self.book = Book(AGENT, self.diary, WINDOWS[self.config.durability])
        self.games = self._make_games()
        self.admin = SimulatedAdmin(AGENT, self.network)
        self.loop: SimulatedLoop | None = None
        self.server: Server | None = None
        self.violation: BaseException | None = None
        self.kill_at_write = 0
        self.has_power, self.learners_killed = True, 0
        self.power_failed_at: float | None = None  # first failure since the agent was opened
        self.healthy_since = self.timetable.now
        self._hash = hashlib.blake2b(digest_size=16)

    def _make_games(self) -> list[SimulatedGame]:
        roles = ["train"] * 13 + ["eval", "play", "play"]
        return [
            SimulatedGame(
                f"game-{number}",
                AGENT,
                role,
                self.network,
                self.diary,
                1 + self.chance.randrange(3),
            )
            for number, role in enumerate(roles)
        ]

    # -- the whole ---------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Let it happen. Raises Violation."""
        began = time.perf_counter()
        with self._installed():
            for game in self.games:
                self.timetable.later(self.chance.random(), game.dial)
            self.admin.dial()
            self.timetable.later(LOOK_S, self._look)
            self.timetable.later(1.0, self._misfortune)
            try:
                while self.diary.frames < self.wanted:
                    self._live()
            finally:
                self._sum_up(time.perf_counter() - began)
        return self.outcome

    def _sum_up(self, seconds: float) -> None:
        outcome, diary = self.outcome, self.diary
        outcome.frames, outcome.seconds = diary.frames, seconds
        outcome.history = self._hash.hexdigest()
        outcome.faults["call refused"] += self.disk.refused
        outcome.facts = {
            "pace": self.config.pace.mode,
            "durability": self.config.durability,
            "simulated_s": round(self.timetable.now - 1000.0),
            "rows": self.book.head,
            "rows_lost_to_power": self.book.lost,
            "rows_refused_by_disk": self.book.unkept,
            "sessions": diary.begun,
            "resumed": diary.resumed,
            "refused": diary.refused,
            "saves": self.admin.saves,
            "learner_turns": self.nursery.turns,
            "learners_ended": self.nursery.ended,
            "errors": dict(sorted(diary.errors.items())),
        }

    @contextlib.contextmanager
    def _installed(self) -> Iterator[None]:
        """Put the simulated edges in the place of the machine's."""
        timetable, found = self.timetable, (time.monotonic, time.time, time.sleep, os.urandom)
        handle, process = agentd.learner.handle, agentd.learner.process
        machine = handle.Child, process.SpareTime
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        time.monotonic, time.time = timetable.monotonic, timetable.time
        time.sleep, os.urandom = timetable.sleep, self.chance.randbytes
        handle.Child = self.nursery.start  # type: ignore[misc,assignment]
        process.SpareTime = lambda: None  # type: ignore[misc,assignment]
        gc.collect()
        gc.freeze()
        try:
            with self.disk.installed():
                yield
        finally:
            time.monotonic, time.time, time.sleep, os.urandom = found
            handle.Child, process.SpareTime = machine  # type: ignore[misc]
            logging.disable(level)

    # -- one life ----------------------------------------------------------------------------------

    def _live(self) -> None:
        """One life of the serving process, from its start to its end."""
        self.disk.refuses = self.disk.fail_in = self.disk.kill_in = self.kill_at_write = 0
        self.has_power, self.learners_killed = True, self.nursery.killed
        self.disk.actor = self.server = self._new_server()
        checkpoints = self.disk.root / "agents" / AGENT / "checkpoints"
        if self.book.rot(checkpoints, self.disk, self.rot_chance):
            self.outcome.faults["rot"] += 1
        self.book.check_checkpoints(checkpoints)
        self.loop = loop = SimulatedLoop(self.timetable, self.network.serve, self._disk_s)
        loop.set_exception_handler(self._uncaught)
        self.healthy_since = self.timetable.now
        self._said(b"life", b"")
        main = loop.create_task(self.server.run(lambda addresses: None))
        main.add_done_callback(lambda _: loop.stop())
        orderly = False
        try:
            loop.run_forever()
            orderly = main.done()
        except Killed:
            pass
        if self.violation is not None:
            raise self.violation
        if orderly:
            self._ended_orderly(main)
        self._bury(loop, orderly)
        self.timetable.pass_time(self.timetable.now + 0.2 + self.chance.random())

    def _new_server(self) -> Server:
        limits = LimitsConfig(resume_s=20.0, max_sessions=256, write_buffer_bytes=4096)
        config = ServerConfig(
            http_port=None,
            data_dir=str(self.disk.root),
            autocreate=True,
            agent=self.config,
            limits=limits,
        )
        server = Server(config, Tokens(), self.disk.root)
        server.registry.loaded = Loaded(self._opened)
        return server

    def _opened(self, agent: Agent) -> None:
        try:
            self.book.opened(agent, self.power_failed_at)
        except Violation as found:  # the daemon would take it for a fault of its own, and go on
            self.violation = found
            raise Killed from found
        self.power_failed_at = None

    def _ended_orderly(self, main: asyncio.Task[None]) -> None:
        error = main.exception()
        if error is None:
            return
        faults = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        if not all(isinstance(fault, StorageError | OSError) for fault in faults):
            raise Violation(f"the daemon ended by {faults!r}") from error
        if not self.disk.refused and self.nursery.killed == self.learners_killed:
            raise Violation(f"the daemon ended by {faults!r}, and the disk was whole")

    def _bury(self, loop: SimulatedLoop, orderly: bool) -> None:
        """The kernel takes back what a process had; power may fail with it."""
        learning = self._learning()
        if learning is not None:
            if not orderly:
                self._look_at_rows()
            self.book.forgiven += learning.lost_rows
            self.book.excused = bool(learning.sync.trouble)
        disk, server = self.disk, self.server
        disk.refuses = disk.fail_in = disk.kill_in = 0
        self.network.die()
        disk.muted = True
        for task in asyncio.all_tasks(loop):
            with contextlib.suppress(BaseException):
                task.get_coro().close()  # type: ignore[union-attr]
        for event in loop.events:  # the world goes on without it
            self.timetable.later(0.0, event)
        loop.set_exception_handler(lambda _, context: None)
        loop.close()
        disk.muted = False
        self.nursery.hang_up(self.has_power and self.chance.random() < 0.7)
        disk.close_all(server)
        self.loop = self.server = None
        if not self.has_power:
            disk.lose_power()
        if self.book.head % 7 == 0:
            gc.collect()

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.violation is None:
            is_ours = isinstance(error, Violation)
            self.violation = error if is_ours else Violation(f"nobody caught {context!r}")
            if not is_ours:
                self.violation.__cause__ = error
        loop.stop()

    # -- looking -----------------------------------------------------------------------------------

    def _learning(self) -> Any:
        agent = None if self.server is None else self.server.registry.loaded.get(AGENT)
        return None if agent is None else agent.learning

    def _look(self) -> None:
        self.timetable.later(LOOK_S, self._look)
        if self.loop is None:
            return
        self._look_at_rows()
        now, diary = self.timetable.now, self.diary
        if now - max(diary.last_answer, self.healthy_since) > PATIENCE_S:
            raise Violation(f"no answer for {PATIENCE_S:g} s: {diary.errors}")
        if diary.frames >= self.wanted:
            self.loop.stop()

    def _look_at_rows(self) -> None:
        assert self.server is not None
        agent = self.server.registry.loaded.get(AGENT)
        if agent is None:
            return
        self.book.look(agent)
        if self.admin.saved is not None:
            self.book.acknowledge(self.admin.saved.checkpoint, agent.checkpoints)

    def _said(self, what: bytes, data: bytes) -> None:
        data = data.replace(bytes(self.disk.root), b"")  # errors name files of this run
        self._hash.update(struct.pack("<d", self.timetable.now) + what + data)

    # -- what goes wrong ---------------------------------------------------------------------------

    def _wrote(self) -> None:
        """Before bytes leave the server."""
        if self.kill_at_write:
            self.kill_at_write -= 1
            if not self.kill_at_write:
                raise Killed

    def _piped(self, fd: int) -> None:
        self.nursery.written(fd)
        if self.loop is not None:
            loop = self.loop
            self.timetable.later(0.0005, lambda: loop.readable(fd))

    def _disk_s(self) -> float:
        return 0.0005 + 0.004 * self.chance.random() ** 4 + self.network.slow_s

    def _misfortune(self) -> None:
        """Something goes wrong, or heals; the next comes soon."""
        chance = self.chance
        self.timetable.later(0.02 + 0.16 * chance.random(), self._misfortune)
        kinds = list(MISFORTUNES)
        kind = chance.choices(kinds, [MISFORTUNES[each][0] for each in kinds])[0]
        if self.loop is not None:
            self.outcome.faults[kind] += 1
            self._said(kind.encode(), b"")
            MISFORTUNES[kind][1](self)

    def _some_game(self) -> SimulatedGame:
        return self.chance.choice(self.games)

    def cut(self) -> None:
        if (link := self._some_game().link) is not None:
            link.cut()

    def hang_up(self) -> None:
        if (link := self._some_game().link) is not None:
            link.hang_up()

    def pull(self) -> None:
        game = self._some_game()
        if (link := game.link) is not None:
            link.silent = True
            self.timetable.later(
                0.5 + 5.0 * self.chance.random(), lambda: game.lost() if game.link is link else None
            )

    def vanish(self) -> None:
        self._some_game().vanish()

    def stop_reading(self) -> None:
        if (link := self._some_game().link) is not None:
            link.reading = False
            self.timetable.later(15.0 * self.chance.random() ** 2, link.read_again)

    def slow_down(self) -> None:
        self.network.slow_s = 0.2 * self.chance.random() ** 2
        self.timetable.later(0.5, self._speed_up)

    def _speed_up(self) -> None:
        self.network.slow_s = 0.0

    def refuse(self) -> None:
        self.disk.refuses = self.chance.choice((errno.ENOSPC, errno.EIO))
        self.timetable.later(2.0 * self.chance.random() ** 2, self._heal)

    def _heal(self) -> None:
        self.disk.refuses = 0

    def refuse_one(self) -> None:
        self.disk.fail_in = 1 + self.chance.randrange(12)

    def hang_learner(self) -> None:
        self.nursery.hangs_until = self.timetable.now + 20.0 * self.chance.random() ** 3

    def kill_learner(self) -> None:
        for child in list(self.nursery.children):
            child.kill()

    def set_clock(self) -> None:
        self.timetable.wall += self.chance.choice((-86_400.0, 86_400.0))

    def stop(self) -> None:
        assert self.server is not None
        self.server.stop()

    def kill(self) -> None:
        raise Killed

    def kill_at_call(self) -> None:
        self.disk.kill_in = 1 + self.chance.randrange(30)

    def kill_at_answer(self) -> None:
        self.kill_at_write = 1 + self.chance.randrange(20)

    def fail_power(self) -> None:
        self.has_power = False
        if self.power_failed_at is None:
            self.power_failed_at = self.timetable.now
        raise Killed


MISFORTUNES: dict[str, tuple[float, Callable[[World], None]]] = {
    "cut": (30, World.cut),
    "hang up": (15, World.hang_up),
    "cable": (10, World.pull),
    "vanish": (10, World.vanish),
    "reader": (10, World.stop_reading),
    "slow": (8, World.slow_down),
    "disk": (4, World.refuse),
    "call": (10, World.refuse_one),
    "hang": (2, World.hang_learner),
    "learner": (2, World.kill_learner),
    "clock": (2, World.set_clock),
    "stop": (0.5, World.stop),
    "kill": (0.5, World.kill),
    "kill at a call": (1, World.kill_at_call),
    "kill at an answer": (1, World.kill_at_answer),
    "power": (1, World.fail_power),
}
"""What may go wrong: how often beside the others, and how."""


def simulate(seed: int, frames: int, **agent: Any) -> Outcome:
    """Run one seed; what it finds is in ``violation``. ``agent``: of its configuration."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="agentd-simulation-", dir=parent))
    world = World(seed, frames, root, **agent)
    try:
        try:
            world.run()
        except Violation as found:
            world.outcome.violation = str(found)
            concerned = (game for game in world.games if str(found).startswith(f"{game.name}:"))
            world.outcome.past = [str(each) for game in concerned for each in game.past]
            if found.__cause__ is not None:
                world.outcome.past += traceback.format_exception(found.__cause__)
        return world.outcome
    finally:
        world.disk.let_go()
        shutil.rmtree(root, ignore_errors=True)
