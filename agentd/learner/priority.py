"""How a learner shares the processors with the games and the server that wait for each other."""

import contextlib
import ctypes
import os
import platform
import struct

NICE = 5
"""What every learner adds to its niceness."""

SLICE_S = 0.02
"""Time that a learner asks for in one piece: longer than what others have by default (0.7 to 3 ms).

Linux 6.12 and later let a process that wakes up go before a running one with a longer slice.
"""

_SYSCALL = {"x86_64": 314, "aarch64": 274, "riscv64": 274}.get(platform.machine())
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # struct sched_attr, its first version: 48 bytes


def be_nice() -> None:
    """Let everybody else go first where processors are scarce, from the first import on."""
    with contextlib.suppress(OSError):
        os.nice(NICE)


def yield_to_others() -> None:
    """Let any process that has just been woken run before this one, as far as the system can.

    A game waits for its answer, and nobody waits for the learner of a game that is not paced. A
    daemon that was started to take only what all else leaves (SCHED_IDLE) has its learner do so.
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
