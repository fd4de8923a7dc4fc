"""A project's own files with the names of packages: not looked at, or named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentd.cli.shadows import NEEDED, find_shadow

ROOT = Path(__file__).resolve().parents[3]


def agentd(folder: Path, path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentd", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (path, ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_files_of_a_project_are_left_alone(tmp_path):
    names = ("numpy", "chess", "yaml", "typer", "rich", "msgspec", "queue", "random", "engine")
    for name in names:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    (tmp_path / "games").mkdir()
    (tmp_path / "games" / "__init__.py").write_text("")

    done = agentd(tmp_path, ROOT, "rl", "eval", "--data-dir", "d", "--agent", "a", "--env", "catch")

    assert (done.returncode, "no agent 'a'" in done.stderr) == (66, True), done.stderr


@pytest.mark.parametrize("name", ["numpy", "typer", "msgspec"])
def test_a_hidden_package_is_named_in_one_line(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("x = 1\n")

    done = agentd(tmp_path.parent, tmp_path, "doctor")

    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert f"{name}.py is loaded as {name!r} and hides the {name}" in done.stderr


def test_nothing_is_hidden_here():
    assert find_shadow() is None
    assert {"numpy", "yaml", "chess"} <= {*NEEDED}
