"""Commands run as a user runs them: in a process, with their output and exit code."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.screen.terminal import Terminal

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """``run("version", "--json")``: the finished process, with text output."""

    def run(
        *arguments: str, timeout: float = 60, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agentd", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | environ,
            check=False,
        )

    return run


@pytest.fixture
def call() -> Run:
    """``call("version")``: as ``run``, in this process, for a command that a start says no more of.

    Starting Python takes a second, most commands a few milliseconds.
    """

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        code = boundary.run(app, arguments, Terminal(out, err))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


class Serving:
    """A running ``agentd serve``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("listening on "), process.communicate()[1]
        self.port = int(line.rpartition(":")[2])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; the exit code and what stderr said."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """``serve("--set", "limits.window=2")``: a daemon on a free port with a fresh directory."""
    started: list[subprocess.Popen[str]] = []

    def serve(*arguments: str) -> Serving:
        command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
        if "--data-dir" not in arguments:
            command += ["--data-dir", str(tmp_path / f"data{len(started)}")]
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "AGENTD_DATA"},
        )
        started.append(process)
        return Serving(process)

    yield serve
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition, at most 20 s."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    return wait
