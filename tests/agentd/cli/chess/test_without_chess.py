"""Where python-chess is not installed, every chess command says so in one line."""

import subprocess
import sys

import pytest

HIDE = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "chess" else found(name, *rest)
from agentd.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HIDE, "chess", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("words", [("uci",), ("prepare", "a.pgn", "--out", "b"), ("play",)])
def test_a_command_names_what_is_missing(words: tuple[str, ...]) -> None:
    done = run(*words)

    assert done.returncode == 2
    assert done.stderr.startswith("agentd: chess needs python-chess, which is not installed; pip")
    assert done.stderr.count("\n") == 1


def test_the_commands_are_listed_all_the_same() -> None:
    done = run("--help")

    assert done.returncode == 0
    assert "uci" in done.stdout
