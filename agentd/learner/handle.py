"""The server's end of a learner process: start, watch, ask, stop.

The control pipes carry lines of JSON; an empty line is a notification. From the server it means
that rows are there, from the learner that the board has new weights. One is sent only when the
other side has written into shared memory that it waits: a busy pair exchanges no bytes at all.

That the learner lives is read from the board; one that hangs is killed and started again.
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.blas import THREAD_VARIABLES
from agentd.children import Child, child_environment, python_module, start_s
from agentd.errors import AgentdError, ExitCode
from agentd.learner.elsewhere import Elsewhere
from agentd.learner.pace import NO_DUE, Pace
from agentd.memory.mapped_file import RingCounters
from agentd.memory.weight_board import WeightBoard
from agentd.supervision import Pulse, keep_running, watching

log = logging.getLogger(__name__)

POLL_S = 0.05
"""How soon a lost notification is made up for."""
_PERMANENT = {ExitCode.BAD_DATA, ExitCode.MISSING, ExitCode.CONFIG, ExitCode.USAGE}
"""A learner that ends with one of these would end so again."""
_ENVIRONMENT = {**dict.fromkeys(THREAD_VARIABLES, "1"), "MALLOC_ARENA_MAX": "1"}
"""One thread for BLAS; one heap for the threads that take turns, see mallopt(3)."""


class LearnerFailed(AgentdError):
    """The learner process is not there, or went away before it answered."""

    exit_code = ExitCode.INTERNAL


class LearnerLate(LearnerFailed):
    """The learner did not answer in time; whether it did what it was asked is not known."""


class LearnerRefused(AgentdError):
    """The learner answered no; ``code`` is STORAGE_FAILED, UNKNOWN_CHECKPOINT or INTERNAL."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class CheckpointStep(NamedTuple):
    """A checkpoint on disk and how many updates it holds."""

    checkpoint: str
    step: int


class _Ring(Protocol):
    @property
    def head(self) -> int: ...
    @property
    def waiting(self) -> NDArray[np.int64]: ...
    def mark_durable(self, counters: RingCounters) -> None: ...


class LearnerHandle:
    """One agent's learner, as the event loop sees it.

    ``run()`` goes into a task group; it keeps a process alive until `stop` or cancellation.

    state      starting | running | restarting | stopped | failed
    restarts   how often the process was started again
    failure    why the state is ``failed`` or ``restarting``, in one line
    frozen     learning is switched off; diverged: it stopped by itself after non-finite gradients
    degraded   the last checkpoint could not be written; learning goes on, and it is tried again
    why        reasons in words, by the name of what holds: ``diverged``, ``degraded``
    good       the newest checkpoint from before learning went wrong, None where there is none
    last_saved the newest checkpoint that this handle heard of
    lost_save  the last checkpoint, at the end, could not be written
    on_publication  called without arguments when a publication that was waited for is there
    elsewhere  what other daemons do that share the learner
    """

    def __init__(
        self,
        agent_dir: Path,
        ring: _Ring,
        board: WeightBoard,
        pace: Pace,
        *,
        device: str = "cpu",
        hang_s: float = 10.0,
        wake_after_s: float = 0.0,
        on_publication: Callable[[], None] | None = None,
        command: Sequence[str] = ("agentd.learner",),
    ) -> None:
        self.agent_dir, self.board, self.pace, self._ring = agent_dir, board, pace, ring
        self.on_publication, self._command = on_publication, command
        self.elsewhere = Elsewhere()
        self.device, self.hang_s, self._wake_after_s = device, hang_s, wake_after_s
        self._start_s = start_s(device)
        self.state, self.restarts = "starting", 0
        self.failure: str | None = None
        self.frozen = self.diverged = self.degraded = False
        self.why: dict[str, str] = {}
        self.good: str | None = None
        self.last_saved: CheckpointStep | None = None
        self.lost_save = False
        self.pid: int | None = None
        self._pipe: int | None = None  # write end of the learner's stdin
        self._woken_for = 0
        self._stop, self._ready, self._notified = (asyncio.Event() for _ in range(3))
        self._process: Child | None = None
        self._number = 0
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._partial = b""

    async def run(self) -> None:
        """Keep the learner running, with growing pauses between starts, until it is stopped."""
        await keep_running(self._run_process, self._stop, self._ended)
        if self.state != "failed":
            self._set_state("stopped")

    async def ready(self, within_s: float = 30.0) -> None:
        """Wait until the learner has published weights. Raises LearnerFailed, LearnerLate."""
        try:
            async with asyncio.timeout(within_s):
                await self._ready.wait()
        except TimeoutError:
            why = f": {self.failure}" if self.failure else ""
            raise LearnerLate(f"the learner did not start within {within_s:g} s{why}") from None
        if self.state in ("failed", "stopped"):
            raise LearnerFailed(self.failure or "the learner was stopped")

    def wake(self) -> None:
        """Wake the learner when it sleeps and enough rows have come; call after every append.

        Costs a fraction of a microsecond while the learner is awake.
        """
        wanted = self.board.wake_at
        if 0 < wanted <= self._ring.head and wanted != self._woken_for:
            self._woken_for = wanted
            if self._wake_after_s:
                asyncio.get_running_loop().call_later(self._wake_after_s, self._write, b"\n")
            else:
                self._write(b"\n")

    def paces(self) -> bool:
        """Whether a publication may be waited for: False while frozen, diverged or failed."""
        return not (self.frozen or self.diverged or self.state in ("failed", "stopped"))

    def has_published(self, due: int) -> bool:
        """Whether the publication of ``due`` or a later one is on the board."""
        newest = self.board.newest
        return newest is not None and newest.due >= due

    def expect(self, due: int) -> bool:
        """Ask for ``on_publication`` once ``due`` is published; True when it is there already.

        Also True when no publication will come (see `paces`). For callers that cannot await; a
        call must be repeated after at most ``POLL_S`` seconds, as a notification may be lost.
        """
        self._ring.waiting[0] = due + 2
        if self.has_published(due) or not self.paces():
            self._ring.waiting[0] = 0
            return True
        return False

    async def published(self, due: int) -> bool:
        """Wait for the publication of ``due``; False when none will come (see `paces`).

        Waits through restarts of the learner.
        """
        while not self.expect(due):
            self._notified.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._notified.wait()
        return self.has_published(due)

    async def save(self, within_s: float = 30.0, *, kept: bool = True) -> CheckpointStep:
        """Write a checkpoint now; return once it is on disk. ``kept``: a person asked for it.

        Raises LearnerRefused (STORAGE_FAILED), LearnerFailed, LearnerLate.
        """
        return self._saved(await self._ask("save", within_s, kept=kept))

    async def load(self, checkpoint: str, within_s: float = 30.0) -> CheckpointStep:
        """Go on from a checkpoint of this agent. Rows that are in the ring stay.

        Raises LearnerRefused (UNKNOWN_CHECKPOINT), LearnerFailed, LearnerLate.
        """
        return self._saved(await self._ask("load", within_s, checkpoint=checkpoint))

    async def freeze(self, on: bool, within_s: float = 30.0) -> None:
        """Switch learning off or on again; either is kept across restarts by a checkpoint.

        Rows that came while learning was off are never made up for.
        Raises LearnerRefused (STORAGE_FAILED), LearnerFailed, LearnerLate.
        """
        await self._ask("freeze", within_s, on=on)

    async def stop(self, *, save: bool = True, within_s: float = 8.0) -> CheckpointStep | None:
        """End the process, after a last checkpoint if ``save``; return that checkpoint.

        None when it could not be written or ``within_s`` seconds passed: the process is then
        killed. So is one that is not ready yet, unless its first weights are owed to the rows.
        `run` returns soon after.
        """
        self._stop.set()
        saved = None
        nothing_owed = self.board.newest is not None or self.pace.reached(self._ring.head) == NO_DUE
        if self.state == "starting" and nothing_owed:
            self.kill()
            return None
        try:
            if self._pipe is not None:
                reply = await self._ask("stop", within_s, save=save)
                saved = self._saved(reply) if save else None
        except (LearnerFailed, LearnerRefused) as error:
            log.error("learner agent=%s last_save=%r", self.agent_dir.name, str(error))
            self.lost_save = save
            self.kill()
        return saved

    def stats(self) -> dict[str, float]:
        """Return the learner's statistics by name, see `agentd.memory.weight_board.STATS`."""
        return self.board.stats()

    def _saved(self, reply: dict[str, Any]) -> CheckpointStep:
        return CheckpointStep(reply["checkpoint"], reply["step"])

    async def _ask(self, do: str, within_s: float, **arguments: Any) -> dict[str, Any]:
        if self._pipe is None:
            raise LearnerFailed(f"the learner is {self.state}", hint="try again in a moment")
        self._number += 1
        number = self._number
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = reply
        try:
            self._write(json.dumps({"do": do, "id": number, **arguments}).encode() + b"\n")
            async with asyncio.timeout(within_s):
                return await reply
        except TimeoutError:
            raise LearnerLate(f"the learner did not answer {do} within {within_s:g} s") from None
        finally:
            del self._asked[number]

    async def _run_process(self) -> int:
        """Run one process from start to end; return its exit code."""
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        os.set_blocking(our_out, False)
        os.set_blocking(our_in, False)
        try:
            arguments = ["--agent-dir", str(self.agent_dir), "--device", self.device]
            self._process = Child(
                python_module(*self._command, *arguments),
                stdin=their_in,
                stdout=their_out,
                env=child_environment(**_ENVIRONMENT),
            )
            self._pipe, self.pid = our_out, self._process.pid
            self._partial, self._woken_for = b"", 0
            asyncio.get_running_loop().add_reader(our_in, self._read, our_in)
            with watching(Pulse(lambda: self.board.beats), self._patience_s, self._hangs):
                return await self._process.wait()
        except OSError as error:
            log.error("learner agent=%s start=%r", self.agent_dir.name, str(error))
            return ExitCode.INTERNAL
        finally:
            os.close(their_in)
            os.close(their_out)
            await self._end(our_in, our_out)

    async def _end(self, our_in: int, our_out: int) -> None:
        """Clean up after a process; kill it if it still runs (``run`` was cancelled)."""
        self._pipe = self.pid = None
        self.kill()
        if self._process is not None:
            await self._process.wait()
            self._process = None
            self._read(our_in)  # the last words
            asyncio.get_running_loop().remove_reader(our_in)
        os.close(our_in)
        os.close(our_out)
        for reply in self._asked.values():
            if not reply.done():
                why = f": {self.failure}" if self.failure else ""
                reply.set_exception(LearnerFailed(f"the learner ended before it answered{why}"))

    def _ended(self, code: int, pause_s: float) -> bool:
        """Take note of a process that has ended; return whether to start it again."""
        if code in _PERMANENT:
            self.failure = self.failure or f"the learner ended with exit code {code}"
            self._set_state("failed")
            log.error("learner agent=%s failed=%r", self.agent_dir.name, self.failure)
            return False
        self.restarts += 1
        self.failure = self.failure or f"it ended with exit code {code}"
        self._set_state("restarting")
        log.warning("learner agent=%s exit=%d pause=%.2fs", self.agent_dir.name, code, pause_s)
        return True

    @property
    def working_s(self) -> float:
        """Seconds that the learner says its present work may take; 0 when it says nothing."""
        return self.board.patience_s if self.state == "running" else 0.0

    def _patience_s(self) -> float:
        """For how many seconds the process may show no sign of life."""
        return max(self.hang_s, self.working_s) if self.state == "running" else self._start_s

    def _hangs(self, still_s: float) -> None:
        self.failure = f"it hung: no sign of life for {still_s:.1f} s"
        log.error("learner agent=%s killed: %s", self.agent_dir.name, self.failure)
        if self.state != "running":
            self._start_s *= 2  # on a machine that is slower than was thought it must start too
        self.kill()

    def kill(self) -> None:
        """Kill the process at once, if there is one."""
        if self._process is not None:
            self._process.kill()

    def _write(self, data: bytes) -> None:
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._pipe, data)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line)) if line else self._notify()

    def _notify(self) -> None:
        self._notified.set()
        if self.on_publication is not None:
            self.on_publication()

    def _take(self, event: dict[str, Any]) -> None:
        """Take one event of the learner."""
        match event["event"]:
            case "ready":
                self.failure = None
                self.board.follow()
                self._set_state("running")
            case "failed":
                self.failure = event["message"]
            case "saved":
                self.last_saved = self._saved(event)
                if event["counters"] is not None:
                    self._ring.mark_durable(RingCounters(*event["counters"]))
            case "shared":
                self.elsewhere.take(event)
        self._take_flags(event)
        if not self.paces():
            self._notify()
        reply = self._asked.get(event.get("id", 0))
        if reply is None or reply.done():
            return
        if event["event"] == "refused":
            reply.set_exception(LearnerRefused(event["code"], event["message"], event.get("hint")))
        else:
            reply.set_result(event)

    def _take_flags(self, event: dict[str, Any]) -> None:
        words = event.get("note") or event.get("message", "")
        for name in ("frozen", "diverged", "degraded", "good"):
            if name not in event:
                continue
            if event[name] and not getattr(self, name):
                self.why[name] = words
            setattr(self, name, event[name])
        if "note" in event:
            log.warning("learner agent=%s note=%r", self.agent_dir.name, event["note"])

    def _set_state(self, state: str) -> None:
        self.state = state
        if state in ("starting", "restarting"):
            self._ready.clear()
        else:
            self._ready.set()
            self._notify()
