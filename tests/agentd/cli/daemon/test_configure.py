"""``agentd config``: what is written can be read, and everything shows where it came from."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.cli import main
from agentd.config import resolve

Run = Callable[..., subprocess.CompletedProcess[str]]
Out = pytest.CaptureFixture[str]


def test_init_writes_a_file_that_serve_would_take(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "agentd.yaml"

    assert main(["config", "init", str(path), "--preset", "cartpole"]) == 0

    assert resolve(path).config.agent.preset == "cartpole"
    assert str(path) in capsys.readouterr().err


def test_init_prints_without_a_file(capsys: Out) -> None:
    assert main(["config", "init"]) == 0

    assert "port: 7331  # 0 picks a free one" in capsys.readouterr().out


def test_init_overwrites_only_with_force(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "agentd.yaml"
    path.write_text("port: 1\n")

    assert main(["config", "init", str(path)]) == 2
    assert path.read_text() == "port: 1\n"
    assert main(["config", "init", str(path), "--force"]) == 0
    assert resolve(path).config.port == 7331


def test_init_knows_no_such_preset(capsys: Out) -> None:
    assert main(["config", "init", "--preset", "cartpool"]) == 66
    assert "did you mean 'cartpole'?" in capsys.readouterr().err


def test_show_tells_value_and_origin(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("port: 1\nlimits: {window: 3}\n")

    done = run("config", "show", str(path), "--port", "5", "--json", AGENTD_DEVICE="opencl:1")

    shown = json.loads(done.stdout)
    assert shown["port"] == {"value": 5, "from": "flag --port"}
    assert shown["device"] == {"value": "opencl:1", "from": "environment AGENTD_DEVICE"}
    assert shown["limits.window"] == {"value": 3, "from": f"file {path}:2"}
    norm = {"layer_norm": 0.1}
    layers = [{"dense": 128}, norm, "relu", {"dense": 128}, norm, "relu"]
    assert shown["agent.model.layers"]["value"] == layers


def test_show_reads_well(capsys: Out) -> None:
    assert main(["config", "show"]) == 0

    lines = capsys.readouterr().out.splitlines()
    port = next(line for line in lines if line.startswith("port "))
    assert port.split() == ["port", "7331", "#", "default"]


def test_a_bad_file_is_one_line_and_78(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("prot: 1\n")

    assert main(["config", "show", str(path)]) == 78
    assert capsys.readouterr().err.startswith(f"agentd: {path}:1:1: prot: no such key")


def test_schema_is_json(capsys: Out) -> None:
    assert main(["config", "schema"]) == 0

    assert json.loads(capsys.readouterr().out)["$ref"] == "#/$defs/ServerConfig"
