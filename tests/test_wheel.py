"""The wheel: one name to import, the same files however it is built, and no clash with a user's."""

import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from agentd.client import FIRST, Client

pytest.importorskip("hatchling", reason="builds need hatchling: scripts/install dev")

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("engine", "games", "kernels")
"""Top-level folders that agentd/ links to."""
INSIDE = {
    "agentd/PROTOCOL.md",
    "agentd/py.typed",
    "agentd/engine/layers/dense.py",
    "agentd/games/catch.py",
    "agentd/kernels/gemm_tiled.cl",
    "agentd/kernels/vector.clh",
    "agentd/presets/cartpole.yaml",
    "agentd/presets/chess/chess-small.yaml",
    "agentd/models/chess-small.safetensors",
    "agentd/sdk/javascript/agentd.mjs",
}


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command to its end and return its stdout; its stderr is the message of a failure."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environ, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(source: Path, target: str, into: Path) -> Path:
    """Build ``target`` (wheel, sdist, wheel:editable) of ``source``; return the file."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=source)
    (built,) = into.iterdir()
    return built


def files_of(wheel: Path) -> set[str]:
    return {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``pip install .`` builds, without the network."""
    into = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation")
    run(*pip, "-q", "-w", into, ROOT, cwd=into)
    (built,) = into.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed into it; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "-q")
    run(*pip, "--target", folder, wheel, cwd=folder)
    return folder


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A user's folder whose own modules have the names of our rooms and cannot be imported."""
    for name in ("engine.py", "games/__init__.py", "kernels.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"raise RuntimeError('a module of the user: {name}')\n")
    return tmp_path


def test_one_name_is_in_the_wheel(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()

    tops = {name.split("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"agentd"}
    assert set(names) >= INSIDE
    assert not [name for name in names if "__pycache__" in name]


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    docs = {path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*") if path.is_file()}

    again = build(source, "wheel", tmp_path / "wheel")

    assert files_of(again) == files_of(wheel)
    assert [path for path in docs if not (source / path).is_file()] == []
    assert (source / "CONTRIBUTING.md").is_file()


def test_an_editable_install_sees_the_same_files(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("editables", reason="hatchling needs it for editable builds")
    editable = build(ROOT, "wheel:editable", tmp_path)
    (path_file,) = files_of(editable)

    shown = ZipFile(editable).read(path_file).decode().strip()

    package = Path(shown, "agentd")
    folders = [package, *(package / name for name in LINKED)]  # rglob follows no links
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    names = {str(path.relative_to(shown)) for path in found if "__pycache__" not in path.parts}
    assert names == files_of(wheel)


def test_the_links_survive_a_clone(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    run("git", "clone", "-q", "--depth", "1", f"file://{ROOT}", "clone", cwd=tmp_path)
    clone = tmp_path / "clone"

    for name in LINKED:
        assert os.readlink(clone / "agentd" / name) == f"../{name}"
    code = "import agentd.engine, agentd.games, agentd.kernels; print(agentd.kernels.__file__)"
    found = run(sys.executable, "-P", "-c", code, cwd=tmp_path, PYTHONPATH=str(clone))
    assert found.strip() == str(clone / "agentd/kernels/__init__.py")


def test_the_installed_package_is_the_one_that_runs(installed: Path, hostile: Path) -> None:
    code = "import agentd.engine, agentd.kernels; print(agentd.engine.__file__)"

    found = run(sys.executable, "-c", code, cwd=hostile, PYTHONPATH=str(installed))

    assert Path(found.strip()) == installed / "agentd/engine/__init__.py"


def test_the_version_is_told_beside_files_of_our_names(installed: Path, hostile: Path) -> None:
    said = run(sys.executable, "-m", "agentd", "version", cwd=hostile, PYTHONPATH=str(installed))

    assert re.match(r"agentd \d+\.\d+", said)


@pytest.mark.slow
def test_training_works_beside_files_of_our_names(installed: Path, hostile: Path) -> None:
    command = [installed / "bin/agentd", "rl", "train", "--preset", "catch", "--steps", "600"]

    said = run(*command, "--data-dir", "agents", "--json", cwd=hostile, PYTHONPATH=str(installed))

    assert '"env_steps":' in said
    assert (hostile / "agents/agents/catch").is_dir()


@pytest.fixture
def daemon(installed: Path, hostile: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The installed daemon with two serving processes, and its port."""
    command = [str(installed / "bin/agentd"), "serve", "--workers", "2", "--port", "0", "--no-http"]
    command += ["--data-dir", "data", "--set", "agents.plays={learner: none}"]
    environ = os.environ | {"PYTHONPATH": str(installed)}
    with subprocess.Popen(
        command, cwd=hostile, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline().rsplit(":", 1)[1])
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="several serving processes need Linux")
def test_two_workers_serve_beside_files_of_our_names(
    daemon: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = daemon

    with Client.connect(("127.0.0.1", port), "plays", {"x": ("float32", (4,))}, 3) as client:
        act = client.step({"x": [[0.0, 1.0, 2.0, 3.0]]}, [0.0], [FIRST])

    assert 0 <= act.actions[0] < 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
