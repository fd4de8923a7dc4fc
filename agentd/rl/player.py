"""A game client in a process of its own, as a game would be; and its parent's end.

``python -m agentd.rl TASK`` plays what the JSON ``TASK`` says and writes one JSON report a line to
stdout; the end of its stdin asks it to stop.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO

import msgspec

from agentd.children import child_environment, python_module
from agentd.client.rollout import join, play
from agentd.errors import JobFailed
from agentd.rl.games import open_game

REPORT_S = 0.1
STOP_S = 3.0


class Task(msgspec.Struct, frozen=True):
    """What one client plays."""

    host: str
    port: int
    agent: str
    game: str
    streams: int
    steps: int
    seed: int


class Report(msgspec.Struct, frozen=True):
    """What a client has done so far, and the returns of the episodes since its last report."""

    steps: int
    elapsed_s: float
    returns: list[float] = []
    done: bool = False
    fault: str = ""


class GamePlayer:
    """The parent's end of one client process."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.steps = 0
        self.episodes = 0
        self.elapsed_s = 0.0
        self.done = False
        self._returns: deque[float] = deque()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        task = msgspec.json.encode(self.task).decode()
        self._process = subprocess.Popen(
            python_module("agentd.rl", task),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the command, which then stops the players
        )
        assert self._process.stdout is not None
        arguments = (self._process.stdout, self._lines)
        threading.Thread(target=_forward, args=arguments, daemon=True).start()

    def poll(self, wait_s: float = 0.0) -> bool:
        """Take the reports that came; False once the client has ended. Raises JobFailed."""
        while not self.done:
            try:
                line = self._lines.get(timeout=wait_s) if wait_s else self._lines.get_nowait()
            except queue.Empty:
                break
            if not line:
                self.done = True
                raise JobFailed(f"a game client ended unexpectedly (code {self._code()})")
            self._take(msgspec.json.decode(line, type=Report))
        return not self.done

    def take_returns(self) -> list[float]:
        """The returns of episodes that ended since the last call."""
        taken = list(self._returns)
        self._returns.clear()
        return taken

    def stop(self) -> None:
        """Ask the client to end, take its last report, and make sure that it is gone."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        deadline = time.monotonic() + STOP_S
        with contextlib.suppress(JobFailed):
            while not self.done and time.monotonic() < deadline:
                self.poll(REPORT_S)
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _code(self) -> int:
        assert self._process is not None
        return self._process.wait(STOP_S)

    def _take(self, report: Report) -> None:
        if report.fault:
            self.done = True
            raise JobFailed(f"a game client failed: {report.fault}")
        self.steps, self.elapsed_s = report.steps, report.elapsed_s
        self.episodes += len(report.returns)
        self._returns.extend(report.returns)
        self.done = report.done


def _forward(stream: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Hand on the lines of ``stream``; b"" for its end."""
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(b"")


# -- in the client process -------------------------------------------------------------------------


def run_task(task: Task, stop: threading.Event, send: Callable[[Report], None]) -> None:
    """Play ``task`` until its steps are done or ``stop`` is set, reporting now and then."""
    game = open_game(task.game, task.streams, task.seed)
    returns: list[float] = []
    steps, elapsed_s = 0, 0.0
    with join((task.host, task.port), task.agent, game) as client:
        began = reported = time.monotonic()
        for turn in play(client, game):
            steps = turn.steps
            returns += [episode.total for episode in turn.ended]
            now = time.monotonic()
            elapsed_s = now - began
            if steps >= task.steps or stop.is_set():
                break
            if now - reported >= REPORT_S:
                send(Report(steps, elapsed_s, returns))
                returns, reported = [], now
    send(Report(steps, elapsed_s, returns, done=True))


def main(argument: str) -> int:
    """Play the task in ``argument`` until stdin ends; return the process's exit code."""
    stop = threading.Event()
    threading.Thread(target=_await_end, args=(stop,), daemon=True).start()

    def send(report: Report) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()

    try:
        run_task(msgspec.json.decode(argument, type=Task), stop, send)
    except Exception as error:  # the parent, which has the terminal, says it
        if not stop.is_set():
            send(Report(0, 0.0, fault=f"{type(error).__name__}: {error}"))
        return 1
    return 0


def _await_end(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # sys.stdin's own lock would outlive the thread
        pass
    stop.set()
