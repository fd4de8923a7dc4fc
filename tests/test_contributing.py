"""CONTRIBUTING's examples are real: each is built into a copy of the tree, and works there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
LONGEST = 20
"""Lines of an example, without blank lines and the comment that names it."""


class Block(NamedTuple):
    """A fenced block of the text."""

    language: str
    title: str
    body: str


def read_block(language: str, text: str) -> Block:
    """Split the comment in the first line, which names a file or a check, from what follows."""
    found = re.match(r"(?:#|//) (.+)\n", text)
    return Block(language, found[1], text[found.end() :]) if found else Block(language, "", text)


BLOCKS = [read_block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.S | re.M)]
FILES = [block for block in BLOCKS if re.fullmatch(r"\S+\.\w+", block.title)]
ADDED = {
    block.title.removeprefix("added to "): block.body
    for block in BLOCKS
    if block.title.startswith("added to ")
}
CHECKS = {block.title: block.body for block in BLOCKS if block.title.startswith("check ")}
COMMANDS = [block.body.strip() for block in BLOCKS if block.language == "sh"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with every example in its place."""
    copy = tmp_path_factory.mktemp("contributing")
    no_caches = shutil.ignore_patterns("__pycache__")
    for name in ("agentd", "engine", "games", "kernels", "tests/games"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=no_caches)
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, copy / name)
    for block in FILES:
        assert not (copy / block.title).exists(), f"{block.title} is no new file"
        (copy / block.title).write_text(block.body)
    for name, lines in ADDED.items():
        with (copy / name).open("a") as file:
            file.write(lines)
    return copy


def run(tree: Path, *command: str) -> str:
    """Run a command on the copy and return its stdout."""
    environ = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, "-P", *command],
        cwd=tree,
        env=environ,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_short() -> None:
    for block in BLOCKS:
        lines = [line for line in block.body.splitlines() if line.strip()]
        assert len(lines) <= LONGEST or block.language == "text", block.title


def test_there_is_an_example_of_each_kind() -> None:
    rooms = {block.title.rsplit("/", 1)[0] for block in FILES}

    assert rooms == {"engine/layers", "engine/learners", "kernels", "games", "agentd/presets"}
    assert set(CHECKS) == {"check the layer", "check the learner", "check the kernel"}


@pytest.mark.parametrize("what", ["layer", "learner"])
def test_the_new_part_learns(tree: Path, what: str) -> None:
    run(tree, "-c", CHECKS[f"check the {what}"])


@pytest.mark.opencl
def test_the_kernel_equals_numpy(tree: Path) -> None:
    from agentd.engine.opencl_backend.devices import list_devices

    if not list_devices():
        pytest.skip("no OpenCL platform: `pip install 'pyopencl[pocl]'` brings PoCL")

    run(tree, "-c", CHECKS["check the kernel"])


def test_the_kernel_has_the_whole_header() -> None:
    (kernel,) = (block.body for block in FILES if block.language == "c")

    parts = re.findall(r"^// (Shapes|Launch|Mirror|Bound) ", kernel, re.M)

    assert parts == ["Shapes", "Launch", "Mirror", "Bound"]


def test_the_game_passes_the_conformance_suite(tree: Path) -> None:
    (command,) = (line for line in COMMANDS if "pytest" in line)

    said = run(tree, *shlex.split(command)[1:], "-p", "no:cacheprovider")

    assert int(re.search(r"(\d+) passed", said)[1]) > 15  # type: ignore[index]
    assert "skipped" not in said


def test_the_preset_is_learned(tree: Path) -> None:
    (command,) = (line for line in COMMANDS if line.startswith("agentd"))

    said = run(tree, "-m", *shlex.split(command))

    assert '"solved":true' in said.replace(" ", "")


def test_the_scripts_are_there() -> None:
    scripts = [line for command in COMMANDS for line in command.splitlines() if "scripts/" in line]

    assert scripts
    for script in scripts:
        assert os.access(ROOT / script, os.X_OK), script


def test_every_path_in_the_text_exists() -> None:
    new = {block.title for block in FILES}
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    named = re.findall(r"`((?:agentd|docs|engine|games|kernels|scripts|tests)/[\w./]+)`", TEXT)

    for path in {*links, *named} - new:
        assert (ROOT / path).exists(), path


def test_every_rule_that_is_cited_is_in_the_protocol() -> None:
    protocol = (ROOT / "agentd/PROTOCOL.md").read_text()
    rules = re.findall(r"^## (R\d+) ", protocol, re.M)

    assert rules == [f"R{n}" for n in range(1, 21)]
    assert f"**{rules[0]}** to **{rules[-1]}**" in TEXT
