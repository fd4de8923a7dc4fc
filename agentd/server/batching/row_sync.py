"""When rows that were acknowledged are on the disk: an agent's ``durability``.

os      the system writes them when it likes; a power failure takes what came since a checkpoint
1s      they are synced twice a second, by a thread; nobody waits
always  an answer waits until its rows are synced. What comes during one sync is synced by the next,
        all at once (group commit), so a slow disk makes answers late and none of them fewer

A sync is two waits for the disk: for the rows, then for the header that counts them, so a header
never counts a row that is not there. A disk that refuses stops no action: what was held back is
answered, and `trouble` says what is not on the disk, until a sync succeeds.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from agentd.errors import StorageError
from agentd.memory.ring_writer import RingWriter
from agentd.server.batching.session import Frame

Durability = Literal["always", "1s", "os"]
WINDOW_S, PERIOD_S = 1.0, 0.5
"""What ``1s`` promises, and from one sync to the next: the rest is for the sync itself."""

Release = Callable[[list[Frame], list[bytes], int], None]


class RowSync:
    """Syncs one agent's ring off the event loop, and holds back answers until it is done.

    trouble  what is not on the disk, and why, in words; "" while all is as promised
    """

    def __init__(
        self,
        ring: RingWriter,
        durability: Durability,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.trouble = ""
        self.holds = durability == "always"
        self._ring, self._spawn = ring, spawn
        self._off = durability == "os"
        self._thread = ThreadPoolExecutor(1, "sync")  # answers wait for nobody else's disk work
        self._fresh = False
        self._held: list[tuple[Release, list[Frame], list[bytes], int]] = []
        self._over, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    @property
    def waits(self) -> bool:
        """Whether answers are held back."""
        return not self._idle.is_set() and self.holds

    def note(self) -> None:
        """Rows were written."""
        self._fresh = not self._off
        self._begin()

    def hold(self, release: Release, frames: list[Frame], answers: list[bytes], rows: int) -> None:
        """Call ``release`` with frames and their answers once all rows of now are on the disk."""
        for frame in frames:
            frame.session.held.append(frame)
        self._held.append((release, frames, answers, rows))
        self._fresh = True
        self._begin()

    async def close(self, within_s: float) -> None:
        """Release what is held, and sync no more; wait at most ``within_s`` seconds."""
        self._over.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()

    def _begin(self) -> None:
        if self._fresh and self._idle.is_set():
            self._idle.clear()
            self._spawn(self._work())

    async def _work(self) -> None:
        try:
            begun = time.monotonic()
            while self._fresh:
                if not self.holds:
                    await self._rest(begun + PERIOD_S - time.monotonic())
                begun = time.monotonic()
                self._fresh, group, self._held = False, self._held, []
                await self._sync()
                for release, frames, answers, rows in group:
                    for frame in frames:
                        frame.session.held.remove(frame)
                    release(frames, answers, rows)
        finally:
            self._idle.set()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._over.wait()

    async def _sync(self) -> None:
        """Put the rows of now on the disk."""
        began, counters = time.monotonic(), self._ring.counters
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._ring.sync)
            self._ring.mark_durable(counters)
            await loop.run_in_executor(self._thread, self._ring.sync_header)
        except StorageError as fault:
            self.trouble = f"rows are not on the disk: {fault}"
            return
        took = time.monotonic() - began
        late = not self.holds and took > WINDOW_S - PERIOD_S
        self.trouble = (
            f"the disk needs {took:.1f} s for a sync: more than 1s of rows" if late else ""
        )
