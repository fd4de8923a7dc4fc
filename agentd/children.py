"""How agentd starts Python processes of its own: the same interpreter, the same packages.

They speak with the process that started them over a channel that foreign code cannot write to.

``-P`` keeps the folder that a process starts in off its import path, so that a game's own
``queue.py`` or ``numpy/`` there is never taken for ours. Nothing here imports NumPy, and asyncio
only who runs a loop: a learner, which runs none, starts a tenth sooner without it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_HOME = Path(__file__).resolve().parent.parent
"""The folder that holds the package agentd: a clone that was never installed runs too."""


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command that runs ``module`` as a program in a process of its own."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(**more: str) -> dict[str, str]:
    """Return this process's environment for a child, with ``more`` variables set.

    The child finds the agentd that runs here, and what PYTHONPATH named before.
    """
    paths = [str(_HOME), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def private_channel() -> tuple[int, int]:
    """Take this process's stdin and stdout for itself; return their new descriptors.

    From now on number 0 is empty and number 1 leads to stderr, so that whatever a library, a driver
    or a person's environment reads or prints, from Python or from C, misses the channel. Programs
    that are started from here do not inherit it.
    """
    commands, answers = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return commands, answers


def start_s(device: str) -> float:
    """How long a process may take to start on ``device``, whose kernels may have to be built."""
    return 30.0 if device == "cpu" else 120.0


class Child:
    """A process that an event loop has started and waits for.

    Starting it holds the loop up for a millisecond or two, where asyncio's own way, which copies
    this process's page tables first, takes ten times as long: an answer would be late by a frame.

    pid         the process's number
    returncode  its exit code, negative for a signal, None while it runs
    """

    def __init__(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        start_new_session: bool = False,
    ) -> None:
        """Start ``command``; arguments as of `subprocess.Popen`. Raises OSError.

        To be called where an event loop runs.
        """
        self._process = subprocess.Popen(
            command,
            env=env,
            stdin=stdin,
            stdout=stdout,
            pass_fds=pass_fds,
            start_new_session=start_new_session,
        )
        self.pid = self._process.pid
        self.returncode: int | None = None
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[int] = self._loop.create_future()
        threading.Thread(target=self._await_end, daemon=True).start()

    async def wait(self) -> int:
        """Return the exit code once the process has ended; any number of callers may wait."""
        import asyncio

        return await asyncio.shield(self._end)

    def terminate(self) -> None:
        """Ask the process to end, if it still runs."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        self._process.kill()

    def _await_end(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended, code)

    def _ended(self, code: int) -> None:
        self.returncode = code
        self._end.set_result(code)
