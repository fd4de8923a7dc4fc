"""The shell commands: what they say when Python is too old or half there, and when all is done."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["scripts/install", "scripts/check", "scripts/test", "scripts/demo", ".ci/run"]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with bash's few helpers and nothing else; tests add their own python3."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("bash", "env", "dirname", "awk", "touch"):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def install(tools: Path, venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": str(tools), "VENV": str(venv)}
    command = [str(ROOT / "scripts/install"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def fake(path: Path, script: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_strict_and_runnable(script: str) -> None:
    path = ROOT / script

    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_every_command_that_needs_the_environment_makes_it() -> None:
    """A command that a fresh clone begins with must not fail for want of `.venv`."""
    commands = {
        p.name: p.read_text() for p in (ROOT / "scripts").iterdir() if p.is_file() and not p.suffix
    }
    shells = {name: text for name, text in commands.items() if text.startswith("#!/usr/bin/env b")}

    without = {name for name, text in shells.items() if "scripts/install" not in text}

    assert len(shells) > 5
    assert without == {"install"}


def test_an_old_python_is_refused_in_one_line(tools: Path, tmp_path: Path) -> None:
    fake(tools / "python3", "exit 1")

    done = install(tools, tmp_path / "venv")

    assert done.returncode == 1
    assert done.stderr.startswith("install: needs Python 3.11 or newer")
    assert done.stderr.count("\n") == 1


def test_a_missing_venv_module_names_the_package(tools: Path, tmp_path: Path) -> None:
    fake(tools / "python3", '[[ "$*" != *ensurepip* ]]')

    done = install(tools, tmp_path / "venv")

    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_installed_is_left_alone(tools: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    fake(venv / "bin/python", "exit 9")
    (venv / ".installed-dev").touch()

    assert install(tools, venv, "dev").returncode == 0
    assert install(tools, venv).returncode == 0
    assert install(tools, venv, "bench").returncode != 0


def test_a_failed_download_is_told(tools: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    fake(venv / "bin/python", "echo no network >&2; exit 1")

    done = install(tools, venv)

    assert done.returncode == 1
    assert "no network" in done.stderr
    assert done.stderr.endswith("install: pip could not install the packages (see above)\n")
    assert not (venv / ".installed-base").exists()
