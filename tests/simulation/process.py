"""The learner as a process of the simulation: the product's own loop, turn by turn.

It is started by `LearnerHandle` as a child would be, speaks over the same pipes, holds the same
lock and maps the same files. It may be killed at any call to the disk, or hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentd.config import ConfigError, load_agent_config
from agentd.engine.errors import EngineError
from agentd.engine.replay.rows import ReplayError
from agentd.errors import AgentdError, ExitCode
from agentd.learner.control import Control, HungUp
from agentd.learner.process import LearnerProcess, read_schema
from agentd.store import DirectoryLock
from tests.simulation.disk import Disk
from tests.simulation.edges import Killed, SimulatedLoop, Timetable

_PIDS = itertools.count(1000)
KILLED = -9


class Nursery:
    """Where the children of the serving process live. ``hangs_until``: none of them moves before.

    turns, ended, killed  how many turns were taken, how many processes have ended, and were killed
    """

    def __init__(self, timetable: Timetable, disk: Disk) -> None:
        self.timetable, self.disk = timetable, disk
        self.hangs_until = 0.0
        self.turns = self.ended = self.killed = 0
        self.children: list[SimulatedChild] = []

    def start(self, command: list[str], **named: Any) -> SimulatedChild:
        """In place of ``agentd.children.Child``."""
        return SimulatedChild(self, command, **named)

    def written(self, fd: int) -> None:
        """Bytes have come to the read end of a pipe."""
        for child in self.children:
            if child.stdin == fd:
                child.wake()

    def hang_up(self, leave: bool) -> None:
        """The serving process was killed: each child saves and leaves, or is killed as well."""
        for child in list(self.children):
            child.orphan(leave)


class SimulatedChild:
    """One learner process, see `agentd.children.Child`."""

    def __init__(
        self, nursery: Nursery, command: Sequence[str], *, stdin: int, stdout: int, **_: Any
    ) -> None:
        self.pid, self.returncode = next(_PIDS), None
        self.stdin = stdin
        self._nursery, self._folder = nursery, Path(command[command.index("--agent-dir") + 1])
        self._control = Control(stdin, stdout)
        self._loop = asyncio.get_running_loop()
        assert isinstance(self._loop, SimulatedLoop)
        self._end: asyncio.Future[int] = self._loop.create_future()
        self._process: LearnerProcess | None = None
        self._lock = DirectoryLock(self._folder / "learner.lock", self._folder.name)
        self._next = 0.0
        nursery.children.append(self)
        self._later(0.3 + nursery.timetable.chance.random())

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def kill(self) -> None:
        self._over(KILLED)

    terminate = kill

    def wake(self) -> None:
        """A command or a notification has come."""
        if self._process is not None:
            self._later(0.0005)

    def orphan(self, leave: bool) -> None:
        if leave and self._process is not None:
            self._nursery.disk.actor = self
            with contextlib.suppress(Killed):
                self._process.leave()
        self._over(KILLED)

    def _later(self, seconds: float) -> None:
        timetable = self._nursery.timetable
        self._next = when = timetable.now + seconds
        timetable.at(when, lambda: self._turn(when))

    def _turn(self, when: float) -> None:
        """Take one turn of the loop, unless another time was chosen meanwhile."""
        nursery = self._nursery
        if when != self._next or self.returncode is not None:
            return
        if nursery.timetable.now < nursery.hangs_until:
            self._later(nursery.hangs_until - nursery.timetable.now)
            return
        disk, before = nursery.disk, nursery.disk.actor
        disk.actor = self
        nursery.turns += 1
        try:
            pause = self._work()
        except Killed:
            self._over(KILLED)
        else:
            if pause is not None:
                self._later(pause)
        finally:
            disk.actor = before

    def _work(self) -> float | None:
        """Seconds until the next turn; None where there is none. As `learner.process.run`."""
        try:
            process = self._process
            if process is None:
                self._begin()
                return 0.001
            if not process.turn(self._control.receive(0.0)):
                self._over(ExitCode.OK)
                return None
            pause = process.pause_s()
            return pause or 0.0005 + 0.001 * self._nursery.timetable.chance.random()
        except HungUp:
            self._over(ExitCode.OK)
        except (AgentdError, ConfigError, EngineError, ReplayError) as error:
            code = error.exit_code if isinstance(error, AgentdError) else ExitCode.CONFIG
            self._control.send("failed", message=str(error), code=int(code))
            self._over(code)
        return None

    def _begin(self) -> None:
        folder = self._folder
        self._lock.acquire()
        config = load_agent_config(folder / "config.yaml")
        schema = read_schema(folder / "schema.json")
        process = LearnerProcess(folder, config, schema, "cpu", self._control)
        process.begin()
        self._process = process

    def _over(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = int(code)
            self._process = None
            self._nursery.ended += 1
            self._nursery.killed += code == KILLED
            self._nursery.children.remove(self)
            self._nursery.disk.close_all(self)
            if not self._end.done() and not self._loop.is_closed():
                self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        if not self._end.done():
            self._end.set_result(self.returncode or 0)
