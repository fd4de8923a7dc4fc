"""The parent's end of game processes: it starts them, hears them, and makes sure that they go."""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Self

import msgspec

from agentd.children import child_environment, python_module
from agentd.errors import AgentdError, ExitCode, JobFailed, MissingInput, UsageError
from agentd.rl.tasks import Fault, Play, Report, Scene, Show, Steer, Task

STOP_S = 3.0
POLL_S = 0.1
LAST_WORDS = 5  # lines
LONGEST_LINE = 4096  # bytes

Tell = Callable[[str], None]


class GameProcess:
    """A process that does one task after the other; a context manager that ends it.

    What its game prints is told line by line to ``tell``, from a thread.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._reports: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._process: subprocess.Popen[bytes] | None = None
        self._heard_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def silent_s(self) -> float:
        """Seconds since the last report or task."""
        return time.monotonic() - self._heard_s

    def send(self, task: Task | Steer) -> None:
        """Hand over a task, or what a person did; the first one starts the process."""
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._heard_s = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # then it has ended, as ``take`` will say
            self._process.stdin.write(msgspec.json.encode(task) + b"\n")
            self._process.stdin.flush()

    def take(self, wait_s: float = 0.0) -> Report | None:
        """Return the next report, None when there is none within ``wait_s``.

        Raises JobFailed, or what the report says, when the task came to a bad end.
        """
        try:
            line = self._reports.get(timeout=wait_s) if wait_s else self._reports.get_nowait()
        except queue.Empty:
            return None
        if not line:
            raise JobFailed(self._last_words())
        self._heard_s = time.monotonic()
        report = msgspec.json.decode(line, type=Report)
        if report.fault is not None:
            raise _as_error(report.fault)
        return report

    def stop(self) -> None:
        """Ask the process to end, and make sure that it and what it started are gone."""
        process, self._process = self._process, None
        if process is None:
            return
        self._reports = queue.SimpleQueue()  # a later process begins with none
        _close(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def hang_up(self) -> None:
        """Ask the process to come to an end; what it has done by then it reports."""
        if self._process is not None:
            _close(self._process)

    def _start(self) -> None:
        process = self._process = subprocess.Popen(
            python_module("agentd.rl"),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the command, which then stops its processes
        )
        hear = (_hear, (process.stdout, self._reports))
        overhear = (self._overhear, (process.stderr,))
        for read, arguments in (hear, overhear):
            threading.Thread(target=read, args=arguments, daemon=True).start()

    def _overhear(self, pipe: IO[bytes]) -> None:
        """Tell what the game prints."""
        with pipe:
            while line := pipe.readline(LONGEST_LINE):
                text = line.decode(errors="replace").rstrip()
                self._words.append(text)
                self._tell(text)

    def _last_words(self) -> str:
        assert self._process is not None
        code = self._process.wait(STOP_S)
        how = signal.Signals(-code).name if code < 0 else f"code {code}"
        words = " | ".join(word for word in self._words if word)
        return f"a game process ended unexpectedly ({how})" + (f": {words}" if words else "")


class GamePlayer(GameProcess):
    """A process that plays one task and counts what it has done.

    scene  where a game that is shown stands; None before the first picture
    """

    def __init__(self, task: Play | Show, tell: Tell) -> None:
        super().__init__(tell)
        self.task = task
        self.scene: Scene | None = None
        self.steps = 0
        self.episodes = 0
        self.elapsed_s = 0.0
        self.done = False
        self._returns: deque[float] = deque()

    def start(self) -> None:
        """Begin to play."""
        self.send(self.task)

    def poll(self, wait_s: float = 0.0) -> bool:
        """Take the reports that came; False once all is played. Raises JobFailed."""
        while not self.done and (report := self.take(wait_s)) is not None:
            self.steps, self.elapsed_s = report.steps, report.elapsed_s
            self.episodes += len(report.returns)
            self._returns.extend(report.returns)
            self.scene = report.scene or self.scene
            self.done = report.done
            wait_s = 0.0
        return not self.done

    def take_returns(self) -> list[float]:
        """The returns of episodes that ended since the last call."""
        taken = list(self._returns)
        self._returns.clear()
        return taken

    def stop(self) -> None:
        """Ask the client to end, take its last report, and make sure that it is gone."""
        if self._process is not None:
            self.hang_up()
            deadline = time.monotonic() + STOP_S
            with contextlib.suppress(AgentdError):
                while not self.done and time.monotonic() < deadline:
                    self.poll(POLL_S)
        super().stop()


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _hear(pipe: IO[bytes], reports: "queue.SimpleQueue[bytes]") -> None:
    """Take the reports; b"" for their end."""
    with pipe:
        for line in pipe:
            reports.put(line)
    reports.put(b"")


def _as_error(fault: Fault) -> AgentdError:
    """The error that a process's fault stands for, with its traceback as a note."""
    kinds = {ExitCode.MISSING: MissingInput, ExitCode.USAGE: UsageError}
    error = kinds.get(ExitCode(fault.code), JobFailed)(fault.message, hint=fault.hint)
    if fault.trace:
        error.add_note(fault.trace)
    return error
