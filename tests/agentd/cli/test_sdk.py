"""``agentd sdk``: every client is listed and written out whole, and nothing is overwritten."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from agentd.cli.completion import _words
from agentd.cli.sdk import NOT_OURS, languages

Run = Callable[..., CompletedProcess[str]]
SDK = Path(str(files("agentd") / "sdk"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` by its name there."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder): path.read_bytes() for path in paths}
    return {str(name): data for name, data in found.items() if not set(NOT_OURS) & set(name.parts)}


@pytest.mark.parametrize("language", languages())
def test_a_client_is_written_as_it_is(call: Run, tmp_path: Path, language: str) -> None:
    done = call("sdk", language, "--out", str(tmp_path / "game" / "client"), "--json")

    assert done.returncode == 0, done.stderr
    written = tree(tmp_path / "game" / "client")
    assert written == tree(SDK / language)
    assert sorted(json.loads(done.stdout)["files"]) == sorted(written)
    assert {"README", "LICENSE"} <= {Path(name).stem for name in written}


def test_the_clients_are_listed(call: Run) -> None:
    done = call("sdk")

    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == list(languages()) == list(json.loads(call("sdk", "--json").stdout)["languages"])
    assert "javascript" in names
    assert {*names} <= {*_words()["sdk"]}


def test_nothing_is_overwritten(call: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")

    done = call("sdk", "javascript", "--out", str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == f"agentd: {tmp_path}/README.md exists; choose another folder\n"
    assert tree(tmp_path) == {"README.md": b"mine"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["cobol", "--out", "x"], "no client for 'cobol'; there are "),
        (["javascript"], "javascript: want a folder to write to; agentd sdk javascript --out DIR"),
        (["--out", "x"], "--out: name the language, too; one of "),
    ],
)
def test_a_wrong_wish_is_told(call: Run, words: list[str], complaint: str) -> None:
    done = call("sdk", *words)

    assert done.returncode == 2
    assert done.stderr.startswith(f"agentd: {complaint}")
    assert "javascript" in done.stderr


def test_a_folder_that_is_a_file_is_told(call: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = call("sdk", "javascript", "--out", str(tmp_path / "file"))

    assert done.returncode == 74
    assert "file" in done.stderr
