"""Matches as a user runs them; the rival engine is our own, so that nothing must be installed."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chess
import chess.pgn
import pytest

from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.screen.terminal import Terminal

COMMAND = [sys.executable, "-m", "agentd", "chess", "match"]
OURS = f"{sys.executable} -m agentd chess uci --model material"
QUICK = ("--model", "material", "--strength", "nodes=2", "--limit", "nodes=2", "--max-plies", "12")


def run(*words: str) -> tuple[int, str, str]:
    """The exit code, output and errors of the verb, run here; the players have processes."""
    out, err = io.StringIO(), io.StringIO()
    code = boundary.run(app, ["chess", "match", *words], Terminal(out, err))
    return code, out.getvalue(), err.getvalue()


def result(folder: Path, *words: str) -> dict[str, Any]:
    code, out, err = run("--out", str(folder), "--json", *words)
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_match_against_a_model_is_scored_kept_and_gone_on_with(tmp_path: Path) -> None:
    words = (*QUICK, "--against", "material")
    first = result(tmp_path, *words, "--games", "4")
    longer = result(tmp_path, *words, "--games", "6")

    assert (first["games"], longer["games"]) == (4, 6)
    assert longer["wins"] + longer["draws"] + longer["losses"] == 6
    assert 0 < longer["error"] < 1
    assert longer["forfeits"] == 0
    assert 0 < longer["seconds_per_move"] <= longer["slowest_move"]
    with Path(longer["pgn"]).open() as file:
        games = [chess.pgn.read_game(file) for _ in range(6)]
    assert [game.headers["Round"] for game in games if game] == [str(n + 1) for n in range(6)]
    fens = [game.headers["FEN"] for game in games if game]
    assert fens[0::2] == fens[1::2]  # each opening twice
    assert len(set(fens)) == 3
    white = [game.headers["White"] for game in games if game]
    assert white[0] == white[1] == "agentd material nodes=2"
    assert all(game and not game.errors for game in games)


def test_the_same_match_is_the_same_games(tmp_path: Path) -> None:
    words = (*QUICK, "--against", "material", "--games", "2", "--temperature", "1")
    for name, jobs in (("a", "1"), ("b", "2")):
        result(tmp_path / name, *words, "--jobs", jobs)
    moves = [
        {game["game"]: game["moves"] for game in map(json.loads, lines)}
        for lines in ((tmp_path / name / "games.jsonl").read_text().splitlines() for name in "ab")
    ]

    assert moves[0] == moves[1]


def test_a_killed_match_loses_no_finished_game(tmp_path: Path) -> None:
    words = (*QUICK, "--against", "material", "--limit", "nodes=40", "--games", "6", "--jobs", "1")
    ledger = tmp_path / "games.jsonl"
    process = subprocess.Popen(
        [*COMMAND, "--out", str(tmp_path), *words], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 90
    while not (ledger.exists() and ledger.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(kept) + b'{"game": 5, "fe')  # a line that was being written

    found = result(tmp_path, *words)

    assert found["games"] == 6
    assert ledger.read_bytes().startswith(b"".join(kept))


def test_an_engine_plays_with_its_options(tmp_path: Path) -> None:
    found = result(
        tmp_path,
        *("--engine", OURS, "--option", "Move Overhead=7"),
        *(*QUICK, "--games", "2", "--jobs", "1"),
    )

    assert found["games"] == 2
    assert found["rival"].endswith("Move Overhead=7 nodes=2")
    assert found["forfeits"] == 0


def engine_that_dies(folder: Path, times: int) -> str:
    """The command of an engine that dies at its third move, the first ``times`` that it runs."""
    script = folder / "fragile.py"
    script.write_text(
        "import pathlib, sys\n"
        "import chess\n"
        f"count = pathlib.Path({str(folder / 'deaths')!r})\n"
        "deaths = int(count.read_text()) if count.exists() else 0\n"
        "moves = 0\n"
        "for line in sys.stdin:\n"
        "    words = line.split()\n"
        "    if words[0] == 'uci': print('uciok', flush=True)\n"
        "    if words[0] == 'isready': print('readyok', flush=True)\n"
        "    if words[0] == 'position':\n"
        "        board = chess.Board(' '.join(words[2:8]))\n"
        "        for move in words[words.index('moves') + 1:] if 'moves' in words else ():\n"
        "            board.push_uci(move)\n"
        "    if words[0] == 'go':\n"
        "        moves += 1\n"
        f"        if moves == 3 and deaths < {times}:\n"
        "            count.write_text(str(deaths + 1))\n"
        "            sys.exit(9)\n"
        "        print('bestmove', next(iter(board.legal_moves)).uci(), flush=True)\n"
        "    if words[0] == 'quit': break\n"
    )
    return f"{sys.executable} {script}"


def test_an_engine_that_died_is_started_anew_and_the_game_is_counted(tmp_path: Path) -> None:
    engine = ("--engine", engine_that_dies(tmp_path, 1), *QUICK, "--games", "4", "--jobs", "1")
    code, out, _ = run("--out", str(tmp_path / "m"), *engine)

    assert code == 0
    assert "1 forfeited: forfeit: Black failed: engine process died" in out
    lines = (tmp_path / "m/games.jsonl").read_text().splitlines()
    reasons = [json.loads(line)["reason"] for line in lines]
    assert [reason.startswith("forfeit: ") for reason in reasons] == [True, False, False, False]
    assert "engine process died unexpectedly (exit code: 9)" in reasons[0]


def test_too_many_forfeits_fail_the_match(tmp_path: Path) -> None:
    engine = engine_that_dies(tmp_path, 99)
    words = ("--out", str(tmp_path / "m"), "--engine", engine, *QUICK, "--games", "6", "--jobs")
    for _ in range(2):  # the second time nothing is played
        code, out, err = run(*words, "1")

        assert code == 1
        assert "the match tells nothing: 2 of 2 games were forfeited" in err
        assert "exit code: 9" in err
        assert "Elo" not in out
        assert (tmp_path / "m/games.pgn").read_text().count("[Event ") == 2


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        ((), 2, "a match needs a rival"),
        (("--against", "material", "--option", "a=b"), 2, "--option is for an engine"),
        (("--engine", "x", "--option", "Threads"), 2, "expected NAME=VALUE"),
        (("--against", "material", "--limit", "nodes=0"), 2, "expected nodes=N"),
        (("--against", "/no/model"), 66, "no chess model /no/model"),
        (("--engine", "/no/engine"), 66, "cannot start the engine '/no/engine'"),
        (("--engine", "true"), 2, "does not speak UCI"),
        (("--against", "material", "--openings", "/no/list"), 66, "no openings /no/list"),
    ],
)
def test_what_cannot_be_played_is_one_line(
    tmp_path: Path, words: tuple[str, ...], status: int, reason: str
) -> None:
    code, _, err = run("--out", str(tmp_path / "m"), "--model", "material", *words)

    assert code == status, err
    assert reason in err
    assert err.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_another_match_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    words = (*QUICK, "--against", "material", "--games", "1")
    result(tmp_path, *words)

    code, _, err = run("--out", str(tmp_path), *words, "--seed", "9")

    assert code == 2
    assert "holds a match with seed 0, not 9" in err

    (tmp_path / "games.jsonl").write_bytes(b"{}\n{}\n")
    code, _, err = run("--out", str(tmp_path), *words)
    assert code == 74
    assert "line 1 is damaged" in err
