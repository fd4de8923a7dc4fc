"""The README runs: every command and every program in it, against a real daemon."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agentd.cli.menu import members

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent
# Run by a test of their own below, or by whoever runs this one.
ELSEWHERE = ("scripts/demo", "scripts/test", "agentd serve")


class Block(NamedTuple):
    """A fenced block of the README."""

    language: str
    text: str

    @property
    def file_name(self) -> str:
        """The name in the block's first comment, "" without one."""
        found = re.match(r"# (\S+\.\w+)\n", self.text)
        return found[1] if found else ""


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", README, re.S | re.M)]
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
COMMANDS = [
    part.strip()
    for block in BLOCKS
    if block.language == "sh"
    for line in block.text.splitlines()
    for part in line.split("&&")
    if part.strip() and not part.strip().startswith("cd ")
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would sit: the named files of the README lie there."""
    path = tmp_path_factory.mktemp("readme")
    for block in BLOCKS:
        if block.file_name:
            (path / block.file_name).write_text(block.text)
    return path


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """The README's ``agentd serve corridor.yaml``, on a port of our own."""
    assert "agentd serve corridor.yaml" in COMMANDS
    number = free_port()
    environ = os.environ | {"AGENTD_PORT": str(number), "AGENTD_HTTP_PORT": "null"}
    environ["AGENTD_DATA_DIR"] = str(folder / "data")
    environ.pop("AGENTD_DATA", None)  # where the tests' data lie; no variable of the daemon's
    command = [str(BIN / "agentd"), "serve", "corridor.yaml"]
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline().startswith(b"listening on ")
        yield number
        daemon.terminate()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.file_name)
def test_program_runs(program: Block, folder: Path, port: int) -> None:
    text = program.text.replace("7331", str(port))

    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stderr
    if "corridor" in program.file_name:
        wins = int(re.search(r"(\d+) times", done.stdout)[1])  # type: ignore[index]
        assert wins > 100, "it did not learn"
    elif program.file_name == "xor.py":
        assert done.stdout.split() == ["[0.", "1.", "1.", "0.]"]
    else:
        assert "127.0.0.1" in program.text


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith(ELSEWHERE)])
def test_command_runs(command: str, folder: Path) -> None:
    environ = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environ, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stderr


def test_raw_example_is_no_longer_than_promised() -> None:
    raw = next(block for block in PROGRAMS if block.file_name == "corridor_raw.py")
    code = [line for line in raw.text.splitlines()[1:] if line.strip()]

    assert len(code) <= 32
    assert "agentd" not in raw.text


@pytest.mark.slow
def test_quick_start_demo(tmp_path: Path) -> None:
    """``scripts/demo`` with this environment standing in for the one it would make."""
    assert "scripts/demo" in COMMANDS
    (tmp_path / "bin").symlink_to(BIN)
    (tmp_path / ".installed-base").touch()

    done = subprocess.run(
        [str(ROOT / "scripts/demo"), "--json"],
        env=os.environ | {"VENV": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert done.returncode == 0, done.stderr


def test_every_command_is_in_the_readme() -> None:
    verbs = {name for name, _ in members("")}
    told = set(re.findall(r"`agentd (\w+)", README))

    assert verbs == told & verbs
    assert told - verbs == set()


def test_every_folder_of_the_readme_exists() -> None:
    table = README.split("## Code structure")[1].split("## ")[0]

    for name in re.findall(r"^\| (.+?) \|", table, re.M):
        for path in re.findall(r"`([^`]+)`", name):
            assert (ROOT / path).exists(), path
