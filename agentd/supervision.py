"""Processes of ours that must live: started again when they end, killed when they hang.

A process that hangs is as good as dead, and nobody may wait for it: it moves a count while it
lives, and is killed when the count has stood still for too long. Time is that of the monotonic
clock, and only as much of it counts as was watched: whoever stops or suspends watcher and process
together, or sets the clock, kills nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

LOOK_S = 0.25
"""How often a process is looked at."""
_MOST_S = 4 * LOOK_S
"""Time that counts between two looks, at most."""
_FIRST_DELAY_S, _LAST_DELAY_S, _SETTLED_S = 0.05, 10.0, 30.0


class Pulse:
    """For how long something has stood still that moves while all is well."""

    def __init__(self, read: Callable[[], object]) -> None:
        """``read`` returns what moves: any two values that differ are a sign of life."""
        self._read = read
        self._seen, self._looked = read(), time.monotonic()
        self._still_s = 0.0

    def still_s(self) -> float:
        """Look; return for how many seconds, of those that were watched, nothing has moved."""
        now, seen = time.monotonic(), self._read()
        passed, self._looked = min(now - self._looked, _MOST_S), now
        self._still_s = self._still_s + passed if seen == self._seen else 0.0
        self._seen = seen
        return self._still_s


@contextlib.contextmanager
def watching(
    pulse: Pulse, most_s: Callable[[], float], hangs: Callable[[float], None]
) -> Iterator[None]:
    """Call ``hangs`` with the seconds, once, when the pulse stands still for over ``most_s()``."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def look_later() -> None:
        nonlocal timer
        timer = loop.call_later(LOOK_S, look)

    def look() -> None:
        still = pulse.still_s()
        if still > most_s():
            hangs(still)
        else:
            look_later()

    look_later()
    try:
        yield
    finally:
        timer.cancel()


async def keep_running(
    run: Callable[[], Awaitable[int]], stop: asyncio.Event, ended: Callable[[int, float], bool]
) -> None:
    """Run a process again and again, with growing pauses between starts, until ``stop`` is set.

    ``run`` runs it once and returns its exit code. ``ended`` is told of an end that nobody asked
    for, with the code and the pause (seconds); it returns whether to start the process again.
    """
    delay = _FIRST_DELAY_S
    while not stop.is_set():
        started = time.monotonic()
        code = await run()
        if stop.is_set():
            return
        if time.monotonic() - started > _SETTLED_S:
            delay = _FIRST_DELAY_S
        if not ended(code, delay):
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await stop.wait()
        delay = min(2 * delay, _LAST_DELAY_S)
