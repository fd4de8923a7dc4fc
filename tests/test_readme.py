"""The README and docs/ run: every program and command in them, against one real daemon."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentd.cli.app import app
from agentd.config import resolve

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]}
BIN = Path(sys.executable).parent
VERBS: Any = app
"""The tree of commands."""
LONGEST = 220
"""Lines of the README: what a newcomer reads in four minutes."""
# Run by a test of their own below, or by whoever runs this one.
ELSEWHERE = ("scripts/demo", "scripts/test", "agentd serve")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def file_name(self) -> str:
        """The name in the block's first comment, "" without one."""
        found = re.match(r"# (\S+\.\w+)\n", self.text)
        return found[1] if found else ""


BLOCKS = [
    Block(*found)
    for page in PAGES.values()
    for found in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.S | re.M)
]
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
COMMANDS = [
    line.strip()
    for block in BLOCKS
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.strip()
]


def shown() -> list[str]:
    """Return the agentd commands that no test runs: they need data, a person, or hours."""
    texts = [b.text.replace("\\\n", " ") for b in BLOCKS if b.language == "text"]
    lines = [line.split("  #")[0].strip() for text in texts for line in text.splitlines()]
    inline = [code for page in PAGES.values() for code in re.findall(r"`(agentd [^`]+)`", page)]
    return sorted({line for line in [*lines, *inline] if line.startswith("agentd ")})


def measures() -> list[str]:
    """Return the commands that give a figure again."""
    found = (re.findall(r"`(python scripts/[^`]+)`", page) for page in PAGES.values())
    return sorted({command for page in found for command in page})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader would sit: the named files of the pages lie there."""
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
    elif "agentd.client" in program.text:
        assert "127.0.0.1" in program.text


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith(ELSEWHERE)])
def test_command_runs(command: str, folder: Path) -> None:
    environ = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    done = subprocess.run(
        shlex.split(command), cwd=folder, env=environ, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [b.file_name for b in BLOCKS if b.language == "yaml"])
def test_configuration_is_valid(name: str, folder: Path) -> None:
    resolved = resolve(folder / name, {}, {})

    assert resolved.config.agents or resolved.config.tokens


def test_raw_example_is_no_longer_than_promised() -> None:
    raw = next(block for block in PROGRAMS if block.file_name == "corridor_raw.py")
    code = [line for line in raw.text.splitlines()[1:] if line.strip()]

    assert len(code) <= 32
    assert "agentd" not in raw.text
    assert raw.text in README


@pytest.mark.slow
def test_quick_start_demo(tmp_path: Path) -> None:
    """``scripts/demo --fast``, in this environment instead of one of its own, solves CartPole."""
    assert "scripts/demo" in COMMANDS
    (tmp_path / "bin").symlink_to(BIN)
    (tmp_path / ".installed-base").touch()

    done = subprocess.run(
        [str(ROOT / "scripts/demo"), "--fast", "--json"],
        env=os.environ | {"VENV": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["greedy_mean"] >= 450


def test_the_readme_is_read_in_four_minutes() -> None:
    assert len(README.splitlines()) <= LONGEST
    figures = README.split("## Measured")[1].split("## ")[0]
    assert len(re.findall(r"^\| ", figures, re.M)) - 1 <= 12, "figures, and one line of titles"


def test_every_command_is_in_the_guide() -> None:
    verbs = set(VERBS.list_commands(None))
    guide = set(re.findall(r"`agentd ([\w-]+)", PAGES[ROOT / "docs/GUIDE.md"]))

    assert verbs == guide & verbs
    assert guide - verbs == set()


@pytest.mark.parametrize("line", shown())
def test_command_that_is_only_shown_exists(line: str) -> None:
    """Its verbs and flags are those of the command line."""
    command, words = VERBS, shlex.split(line)[1:]
    words = words[: words.index("--")] if "--" in words else words  # the rest is another command
    while words and hasattr(command, "list_commands"):
        verbs = words.pop(0).split("|")
        assert set(verbs) <= set(command.list_commands(None)), verbs
        command = command.get_command(None, verbs[0])

    known = {flag for parameter in command.params for flag in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("command", measures())
def test_measuring_command_exists(command: str) -> None:
    script, *words = shlex.split(command)[1:]
    text = (ROOT / script).read_text()

    for flag in words:
        if flag.startswith("--"):
            assert f'"{flag}"' in text or f'"{flag[2:]}"' in text, flag


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", PAGES[page])
    code = re.findall(r"`([^`\n]+)`", PAGES[page])
    paths = [text for text in code if re.fullmatch(r"(agentd|docs|engine|games|scripts)/\S+", text)]

    for link in links:
        assert (page.parent / link).exists(), link
    for path in paths:  # tests are named from their folder on
        assert (ROOT / path).exists() or (ROOT / "tests" / path).exists(), path
