"""Matches as a user runs them; the rival engine is our own, so that nothing must be installed."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chess
import chess.pgn
import pytest

from agentd.chess.play.players import (
    BotPlayer,
    EnginePlayer,
    Limit,
    Side,
    open_player,
    parse_limit,
    play_game,
)
from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.screen.terminal import Terminal
from agentd.errors import MissingInput, UsageError

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


class Script:
    """A player that answers from a list."""

    def __init__(self, *moves: str) -> None:
        self._moves = list(moves)

    def new_game(self, seed: int) -> None:
        pass

    def choose(self, board: chess.Board) -> chess.Move | None:
        return chess.Move.from_uci(self._moves.pop(0)) if self._moves else None

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("first", "second", "white", "ended"),
    [
        (("e2e4", "d1h5", "f1c4", "h5f7"), ("e7e5", "b8c6", "g8f6"), True, ("1-0", 1.0)),
        (("f7f6", "g7g5"), ("e2e4", "d2d4", "d1h5"), False, ("1-0", 0.0)),
        (("e2e5",), (), True, ("0-1", 0.0)),
        (("e2e4",), (), True, ("1-0", 1.0)),  # no answer
        (("g1f3", "f3g1") * 3, ("g8f6", "f6g8") * 3, True, ("1/2-1/2", 0.5)),
        (("g1f3", "f3g1") * 2, ("g8f6", "f6g8", "g8f6"), True, ("1-0", 1.0)),  # could, does not
    ],
)
def test_games_end_by_the_rules_and_forfeits_lose(
    first: tuple[str, ...], second: tuple[str, ...], white: bool, ended: tuple[str, float]
) -> None:
    game = play_game(0, chess.STARTING_FEN, white, (Script(*first), Script(*second)), 50)

    assert (game.result, game.points) == ended


def test_a_game_too_long_is_a_draw() -> None:
    pair = (Script("e2e4", "d2d4"), Script("e7e5", "d7d5"))

    game = play_game(0, chess.STARTING_FEN, True, pair, 4)

    assert (game.result, game.reason) == ("1/2-1/2", "too long")


def test_limits_are_read_and_shown() -> None:
    assert parse_limit("depth=5") == Limit(depth=5)
    assert str(parse_limit("nodes=7,time=0.5")) == "nodes=7,time=0.5"
    for wrong in ("", "depth", "depth=x", "hours=3", "time=-1"):
        with pytest.raises(UsageError, match="expected nodes=N"):
            parse_limit(wrong)


def test_players_are_opened_as_they_are_written_down() -> None:
    bot = open_player(Side(Limit(nodes=2), model="material"))
    assert isinstance(bot, BotPlayer)
    with pytest.raises(MissingInput, match="no chess model"):
        open_player(Side(Limit(nodes=2), model="/no/where"))
    with pytest.raises(MissingInput, match="cannot start"):
        open_player(Side(Limit(nodes=2), engine=""))


STOCKFISH = shutil.which("stockfish") or shutil.which("/usr/games/stockfish")


@pytest.mark.skipif(STOCKFISH is None, reason="needs stockfish")
def test_a_real_engine_and_an_option_that_it_lacks() -> None:
    side = Side(Limit(nodes=50), engine=STOCKFISH, options={"Skill Level": "0"})
    player = open_player(side)
    assert isinstance(player, EnginePlayer)
    try:
        assert player.choose(chess.Board()) in chess.Board().legal_moves
    finally:
        player.close()
    with pytest.raises(UsageError, match="Skil"):
        open_player(Side(Limit(nodes=50), engine=STOCKFISH, options={"Skil": "0"}))
