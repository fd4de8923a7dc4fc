"""The JavaScript client's types: its code against itself, and a game of TypeScript against them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Node = Callable[..., Any]
HERE = Path(__file__).parent
OPTIONS = ("--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "nodenext")
LIMIT = 600
"""Lines of the client; how a socket of Node carries it is beside it."""


@pytest.fixture(scope="module")
def typescript() -> tuple[str, Path]:
    """tsc, and the folder of packages with ``@types/node``. Skips without them."""
    program = shutil.which("tsc")
    if program is None:
        pytest.skip("tsc is not installed: npm install -g typescript @types/node")
    root = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False)
    packages = Path(os.environ.get("NODE_PATH") or root.stdout.strip())
    if not (packages / "@types" / "node").is_dir():
        pytest.skip("@types/node is not installed: npm install -g typescript @types/node")
    return program, packages


def check(typescript: tuple[str, Path], *words: str, cwd: Path) -> str:
    """What tsc has to say, "" for nothing."""
    program, packages = typescript
    types = ("--types", "node", "--typeRoots", str(packages / "@types"))
    command = [program, *OPTIONS, *types, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100).stdout


def test_the_code_agrees_with_itself(typescript: tuple[str, Path], client: Path) -> None:
    words = ("--checkJs", "--allowJs", "--strict", "false", "agentd.mjs", "node.mjs")

    assert check(typescript, *words, cwd=client) == ""


def test_a_game_of_typescript_fits_the_types(
    typescript: tuple[str, Path], client: Path, tmp_path: Path
) -> None:
    shutil.copytree(client, tmp_path / "node_modules" / "agentd")
    shutil.copy(HERE / "types.ts", tmp_path / "game.mts")

    assert check(typescript, "--strict", "game.mts", cwd=tmp_path) == ""


def test_what_is_declared_is_what_is_exported(node: Node, client: Path) -> None:
    declared = re.findall(
        r"^export (?:const|class|function) (\w+)", (client / "index.d.ts").read_text(), re.M
    )

    assert sorted(declared) == node("exports.mjs")


def test_it_stays_small(client: Path) -> None:
    package = json.loads((client / "package.json").read_text())

    assert len((client / "agentd.mjs").read_text().splitlines()) <= LIMIT
    assert "dependencies" not in package
    for example in (client / "examples").iterdir():
        assert len(example.read_text().splitlines()) <= 60
