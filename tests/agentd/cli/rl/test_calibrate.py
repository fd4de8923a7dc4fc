"""``agentd rl calibrate`` and ``agentd chess calibrate``: marks, intervals, and what is refused."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.client import Client
from agentd.client.rollout import join
from agentd.games import make
from agentd.rl.daemon import Daemon

Run = Callable[..., subprocess.CompletedProcess[str]]
FEW = ("--probes", "1", "--probe-games", "10", "--games", "10", "--seed", "3", "--json")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an untrained agent that has met Connect Four."""
    folder = tmp_path_factory.mktemp("data")
    game = make("connect4-random", 1, 0)
    with Daemon(folder) as daemon:
        where = (daemon.host, daemon.port)
        with Client.connect(where, role="admin") as admin:
            admin.create("mine", {"learner": "none", "seed": 3})
            with join(where, "mine", game, role="eval") as client:
                frame = game.reset()
                client.step(frame.obs, frame.reward, frame.kind, frame.stream, frame.mask)
            admin.save("mine")
    return folder


def test_marks_have_a_level_a_share_and_an_interval(call: Run, kept: Path) -> None:
    agent = ("--data-dir", str(kept), "--agent", "mine", "--env", "connect4-random")

    done = call("rl", "calibrate", *agent, "--want", "60", "--want", "80", *FEW)

    assert done.returncode in (0, 1), done.stderr
    record = json.loads(done.stdout)
    assert record["interval"] == "Wilson, 95 %"
    assert [mark["want"] for mark in record["marks"]] == [60, 80]
    for mark in record["marks"]:
        assert 0 <= mark["low"] < mark["won"] <= mark["high"] <= 100
        assert (mark["games"], 0 <= mark["level"] <= 100) == (10, True)
    assert done.stderr.count("level") >= 4
    at = str(record["marks"][0]["level"])
    again = call("rl", "eval", *agent, "--level", at, "--episodes", "10", "--seed", "3", "--json")
    played = json.loads(again.stdout)
    points = sum(0.5 + each / 2 for each in played["returns"])
    assert (played["level"], 10 * points) == (float(at), record["marks"][0]["won"])


def test_a_bot_is_calibrated_against_a_bot(call: Run) -> None:
    bots = ("--model", "material", "--against", "material", "--strength", "nodes=1")
    done = call("chess", "calibrate", *bots, "--limit", "nodes=1", "--max-plies", "2", *FEW)

    assert done.returncode == 0, done.stderr
    (mark,) = json.loads(done.stdout)["marks"]
    assert (mark["want"], mark["won"], mark["games"]) == (50, 50, 10)  # all are drawn: too long


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--env", "catch"), 2, "--env catch: no game against a rival"),
        (("--env", "connect5"), 66, "--env connect5: no game against a rival"),
        (("--env", "duel-script", "--search", "2"), 2, "--search: duel-script cannot be simulated"),
        (("--env", "duel-script", "--want", "100"), 2, "--want 100: want a percentage from 1 to"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_by_name(
    call: Run, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = call("rl", "calibrate", "--data-dir", str(tmp_path), "--agent", "a", *words)

    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--env", "catch", "--level", "101"), "--level"),
        (("--level", "50", "--", "client"), "--level: a client says its level itself"),
    ],
)
def test_a_level_that_cannot_be_played_is_refused(
    call: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = call("rl", "eval", "--data-dir", str(tmp_path), "--agent", "a", *words)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
