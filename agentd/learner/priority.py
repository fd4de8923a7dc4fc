"""How a learner shares the processors with the games and the server that wait for each other."""

import contextlib
import contextvars
import ctypes
import os
import platform
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NICE = 5
"""What every learner adds to its niceness."""

SLICE_S = 0.02
"""Time that a learner asks for in one piece: longer than what others have by default (0.7 to 3 ms).

Linux 6.12 and later let a process that wakes up go before a running one with a longer slice.
"""

LEAST_SHARE = 0.3
"""Part of a processor that a learner wants at least before it takes more than others leave."""
_WATCHED_S = 0.25
_AWAY_S, _LONGEST_AWAY_S = 1.0, 60.0

_Result = TypeVar("_Result")
_SYSCALL = {"x86_64": 314, "aarch64": 274, "riscv64": 274}.get(platform.machine())
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # struct sched_attr, its first version: 48 bytes


def be_nice() -> None:
    """Let everybody else go first where processors are scarce, from the first import on."""
    with contextlib.suppress(OSError):
        os.nice(NICE)


def yield_to_others() -> None:
    """Let any process that has just been woken run before this one, as far as the system can.

    A game waits for its answer. Where a game waits for its learner as well, other games wait for
    theirs. A daemon that was started to take only what all else leaves (SCHED_IDLE) has its learner
    do so.
    """
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) != os.SCHED_IDLE:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            _ask_for_slice(os.SCHED_BATCH)


def _ask_for_slice(policy: int) -> None:
    """Ask for SLICE_S; older systems take the call and do nothing. See sched_setattr(2)."""
    if platform.system() != "Linux" or _SYSCALL is None:
        return
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, 0, niceness, 0, round(SLICE_S * 1e9), 0, 0)
    ctypes.CDLL(None, use_errno=True).syscall(_SYSCALL, 0, wanted, 0)


class SpareTime:
    """Runs a learner's work in the time that no other process wants, while that is enough.

    The work runs in a thread of policy SCHED_IDLE. To Linux a processor that runs such a thread is
    free: whatever wakes up goes there at once, in place of waiting behind the server or a game on
    another one. Where others leave less than `LEAST_SHARE` of a processor, the caller's thread does
    the work: for a second at first, and for twice as long each time that it is still too little.
    There are two threads because one without privileges cannot leave SCHED_IDLE, see sched(7).
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "spare-time", _take_what_is_left)
        self._back, self._away_s = 0.0, _AWAY_S  # when to try again, for how long to stay away
        self._wall = self._busy = 0.0

    def run(self, work: Callable[[], _Result]) -> _Result:
        """Return what ``work`` returns, or raise what it raises, in one thread or the other."""
        began = time.monotonic()
        if began < self._back:
            return work()
        context = contextvars.copy_context()
        result, busy = self._pool.submit(context.run, _timed, work).result()
        self._watch(time.monotonic() - began, busy)
        return result

    def _watch(self, wall: float, busy: float) -> None:
        self._wall += wall
        self._busy += busy
        if self._wall < _WATCHED_S:
            return
        if self._busy < LEAST_SHARE * self._wall:
            self._back = time.monotonic() + self._away_s
            self._away_s = min(2 * self._away_s, _LONGEST_AWAY_S)
        else:
            self._away_s = _AWAY_S
        self._wall = self._busy = 0.0


def _take_what_is_left() -> None:
    """Have the calling thread run only while no other wants its processor, where that exists."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _timed(work: Callable[[], _Result]) -> tuple[_Result, float]:
    """Return what ``work`` returns and the processor time in seconds that its thread took."""
    began = time.thread_time()
    result = work()
    return result, time.thread_time() - began
