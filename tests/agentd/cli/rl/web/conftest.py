"""A running demo whose game is a page."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest


class WebDemo:
    """A running ``agentd demo --web --json``."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentd", "demo", "--web", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        self.url = self.said.split()[-1]

    def end(self) -> tuple[int, dict[str, Any]]:
        """Send Ctrl-C; the exit code and the summary."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err
        return self.process.returncode, json.loads(out)


@pytest.fixture
def web_demo() -> Iterator[Callable[..., WebDemo]]:
    """``web_demo("--seed", "1")``: the running command."""
    started: list[WebDemo] = []

    def start(*words: str) -> WebDemo:
        started.append(WebDemo(*words))
        return started[-1]

    yield start
    for demo in started:
        demo.process.kill()
        demo.process.communicate()
