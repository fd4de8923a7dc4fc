"""Time, tasks, threads and pipes of the simulation: an event loop whose clock is a number.

What the product takes from the machine is replaced here and in `network` and `disk`; whatever runs
between is the product's own code. Nothing waits: where every task sleeps, the clock jumps to the
next event. What happens when follows from the seed alone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

TICK_S = 1e-6
"""How far the clock moves each time that somebody looks at it: a wait in a circle ends."""
GRID_S = 0.002
"""Events fall on multiples of it, so that some of them come together, as frames of games do."""


class Violation(AssertionError):
    """Something that was promised does not hold."""


class Killed(KeyboardInterrupt):
    """A simulated process ends here, as by ``kill -9``: nothing of it runs any more."""


class Timetable:
    """The clock of the simulated world and what is to happen in it, whoever lives and dies."""

    def __init__(self, chance: random.Random) -> None:
        self.now, self.wall = 1000.0, 1.7e9
        self.chance = chance
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        """In place of ``time.monotonic``."""
        self.now += TICK_S
        return self.now

    def time(self) -> float:
        """In place of ``time.time``: a wall clock, which may be set."""
        return self.wall + self.now

    def sleep(self, seconds: float) -> None:
        """In place of ``time.sleep``."""
        self.now += seconds

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Have ``event`` happen at ``when``, on the grid."""
        when = (int(when / GRID_S) + 1) * GRID_S
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        """Have ``event`` happen after so many seconds."""
        self.at(self.now + seconds, event)

    def next_at(self) -> float:
        """When the next event is; infinity for never."""
        return self._events[0][0] if self._events else float("inf")

    def due(self) -> list[Callable[[], None]]:
        """The events whose time has come, in their order."""
        found = []
        while self._events and self._events[0][0] <= self.now:
            found.append(heapq.heappop(self._events)[2])
        return found

    def pass_time(self, until: float) -> None:
        """Let the world go on without a server until then."""
        while self.next_at() <= until:
            self.now = max(self.now, self.next_at())
            for event in self.due():
                event()
        self.now = max(self.now, until)


class SimulatedLoop(asyncio.BaseEventLoop):
    """One life of the serving process: it sees the world's events as its own."""

    def __init__(
        self, timetable: Timetable, serve: Callable[[Any], None], disk_s: Callable[[], float]
    ) -> None:
        """``serve`` gets the factory of connections; ``disk_s`` draws what a thread takes."""
        super().__init__()
        self._timetable, self._serve, self._disk_s = timetable, serve, disk_s
        self._selector = self
        self._clock_resolution = 1e-9
        self._readers: dict[int, Callable[[], None]] = {}
        self.events: deque[Callable[[], None]] = deque()  # due, and not happened yet

    def time(self) -> float:
        return self._timetable.now

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass until a timer of the loop or an event of the world is due."""
        timetable = self._timetable
        end = float("inf") if timeout is None else timetable.now + timeout
        if timeout is None or timeout > 0:
            timetable.now = max(timetable.now, min(end, timetable.next_at()))
            if timetable.now == float("inf"):
                raise Violation("everything sleeps for ever")
        for event in timetable.due():
            self.events.append(event)
            self.call_soon(self._happen)
        return []

    def _happen(self) -> None:
        self.events.popleft()()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: ``select`` has put them into the queue."""

    def _write_to_self(self) -> None:
        """No thread ever waits for this loop."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Do a thread's work some time later, all at once."""
        future = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_later(self._disk_s(), work)
        return future

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        self._readers[fd] = lambda: callback(*args)

    def remove_reader(self, fd: Any) -> bool:
        return self._readers.pop(fd, None) is not None

    def readable(self, fd: int) -> None:
        """Have the reader of ``fd`` called, if there is one: bytes are there."""
        if fd in self._readers and not self.is_closed():
            self._readers[fd]()

    async def create_server(self, factory: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        self._serve(factory)
        return Listener(lambda: self._serve(None))


class Listener:
    """What ``create_server`` returns."""

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 7331

    @property
    def family(self) -> int:
        return socket.AF_INET
