"""The JavaScript client's games: they learn, and break no rule of the protocol."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A daemon whose agents are those of the presets."""
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--no-http", "--quiet"]
    command += ["--data-dir", str(tmp_path_factory.mktemp("presets"))]
    for name in ("catch", "cartpole"):
        command += ["--set", f"agents.{name}={{preset: {name}}}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        yield int(daemon.stdout.readline().rpartition(":")[2])
        daemon.terminate()


def program() -> str:
    """Node. Skips without it."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


def greedy(client: Path, game: str, address: str, effort: str) -> float:
    """Let an example learn; the mean return that it prints of its greedy episodes."""
    command = [program(), str(client / "examples" / game), address, effort]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    return float(re.findall(r"greedy, .* mean return (\S+)", done.stdout)[0])


def check(client: Path, game: Path, *words: str) -> set[str]:
    """The rules that ``agentd check-client`` sees a game of Node keep; it must break none."""
    command = [sys.executable, "-m", "agentd", "check-client", "--json", "--quiet", "--"]
    done = subprocess.run(
        [*command, program(), str(game), *words],
        capture_output=True,
        text=True,
        timeout=110,
        env=os.environ | {"AGENTD_CLIENT": str(client / "node.mjs")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = json.loads(done.stdout.splitlines()[-1])["rules"]
    return {rule["name"] for rule in rules if rule["outcome"] == "OK"}


@pytest.mark.parametrize(
    "scheme", [pytest.param("tcp", marks=pytest.mark.long), pytest.param("ws")]
)
def test_a_game_that_uses_all_of_the_client_breaks_no_rule(client: Path, scheme: str) -> None:
    kept = check(client, HERE / "conform.mjs", f"{scheme}://{{address}}")

    assert {"masks", "multi-discrete", "explain", "taken", "log", "elapsed", "resend"} <= kept


@pytest.mark.long
def test_the_example_breaks_no_rule(client: Path) -> None:
    check(client, client / "examples" / "catch.mjs", "{address}", "60")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "carrier", "effort", "mark"),
    [
        ("catch.mjs", "ws://", "1000", 0.9),
        pytest.param("cartpole.mjs", "", "50000", 475, marks=pytest.mark.long),
    ],
)
def test_the_examples_are_solved(
    client: Path, presets: int, game: str, carrier: str, effort: str, mark: float
) -> None:
    assert greedy(client, game, f"{carrier}127.0.0.1:{presets}", effort) >= mark
