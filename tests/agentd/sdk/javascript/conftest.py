"""The JavaScript client runs in Node, as a game's program would."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Node = Callable[..., Any]


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder of the client."""
    return Path(str(files("agentd") / "sdk" / "javascript"))


@pytest.fixture(scope="session")
def node(client: Path) -> Node:
    """``node("play.mjs", port)``: what a script of this folder printed, a line of JSON."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed")

    def run(script: str | Path, *words: object, stdin: str = "", timeout: float = 100) -> Any:
        done = subprocess.run(
            [program, HERE / script, *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={"AGENTD_CLIENT": str(client / "node.mjs"), "NODE_NO_WARNINGS": "1"},
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A daemon of its own process, whose sessions may come back for two seconds."""
    data = tmp_path_factory.mktemp("daemon")
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http"]
    command += ["--data-dir", str(data), "--set", "limits.resume_s=2", "--quiet"]
    command += ["--set", "agents.curriculum={learner: none, game: {level: 3}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        yield int(daemon.stdout.readline().rpartition(":")[2])
        daemon.terminate()
