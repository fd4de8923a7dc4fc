"""``agentd doctor``, ``devices``, ``version``: true on this machine, and loud where it is bad."""

import json
import socket
from pathlib import Path

import pytest

from agentd import __version__
from agentd.cli import main
from agentd.cli.daemon import doctor
from agentd.cli.daemon.doctor import Finding, examine

Out = pytest.CaptureFixture[str]


def findings(data_dir: Path | None = None) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(data_dir)}


def test_version_says_what_is_spoken(capsys: Out) -> None:
    assert main(["version", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {
        "version": __version__,
        "protocol": [1, 2],
        "checkpoint_format": 1,
    }


def test_the_cpu_is_always_a_device(capsys: Out) -> None:
    assert main(["devices", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["devices"][0]["device"] == "cpu"


def test_without_opencl_there_is_a_hint(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)

    assert main(["devices"]) == 0

    assert "pip install 'pyopencl[pocl]'" in capsys.readouterr().out
    assert findings()["opencl"].verdict == "note"


def test_doctor_reports_on_everything(tmp_path: Path, capsys: Out) -> None:
    assert main(["doctor", "--json", "--data-dir", str(tmp_path)]) == 0

    told = {finding["name"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert told >= {"python", "numpy", "uvloop", "opencl", "data dir", "game port", "open files"}


def test_doctor_reads_well(tmp_path: Path, capsys: Out) -> None:
    assert main(["doctor", "--data-dir", str(tmp_path)]) == 0

    assert "✓ python" in capsys.readouterr().out


def test_a_data_directory_that_cannot_be_is_bad(tmp_path: Path, capsys: Out) -> None:
    (tmp_path / "file").write_text("")

    assert main(["doctor", "--data-dir", str(tmp_path / "file/data")]) == 1
    out, err = capsys.readouterr()
    assert "✗ data dir" in out
    assert "choose another: --data-dir D" in out
    assert err.strip() == "agentd: agentd will not run well here: data dir"


def test_a_data_directory_to_be_made_is_fine(tmp_path: Path) -> None:
    assert findings(tmp_path / "a/b/c")["data dir"].verdict == "ok"


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = doctor.look_at_port("game port", taken.getsockname()[1])

    assert found.verdict == "note"
    assert "is in use" in found.value
    assert "--port" in found.hint


@pytest.mark.parametrize(("hard", "verdict"), [(1024, "note"), (65536, "ok"), (-1, "ok")])
def test_few_open_files_are_noted(hard: int, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda which: (256, hard))

    assert findings()["open files"].verdict == verdict
