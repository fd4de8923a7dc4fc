"""The conversation of one GUI, without a process: what is answered, and when models are read."""

from pathlib import Path

import chess
import pytest

from agentd.chess.model.bots import open_bot
from agentd.chess.model.model import NotAModel
from agentd.chess.play.uci import UciSession
from agentd.games.chess.search.settings import Evaluator


class Talk:
    """A session on material, and everything that it said."""

    def __init__(self, model: str | None = "material") -> None:
        self.said: list[str] = []
        self.loaded: list[str | None] = []
        self.session = UciSession(self.said.append, self.load, model)

    def load(self, model: str | None, rating: int | None) -> Evaluator:
        self.loaded.append(model)
        return open_bot(model, rating)

    def ask(self, *lines: str) -> list[str]:
        """Say ``lines``, wait for the search that they began, and return what was answered."""
        before = len(self.said)
        for line in lines:
            self.session.answer(line)
        if self.session._run is not None:
            self.session._run._thread.join(60)
        return self.said[before:]

    def best(self, *lines: str) -> str:
        return self.ask(*lines)[-1].split()[1]


def test_uci_is_answered_before_a_model_is_read() -> None:
    talk = Talk()

    assert talk.ask("uci")[-1] == "uciok"
    assert talk.loaded == []
    talk.ask("isready")
    assert talk.loaded == ["material"]


def test_isready_is_answered_where_the_model_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no model")
    talk = Talk()
    talk.ask("isready")

    for name in (tmp_path / "bad", tmp_path / "missing"):
        told = talk.ask(f"setoption name Model value {name}", "isready")
        assert told[0] == "readyok"
        assert "no chess model" in told[1]
        assert talk.ask("ucinewgame", "isready")[-2] == "readyok"
        assert "bestmove (none)" in talk.ask("go nodes 3")
    assert talk.ask("setoption name Model value material", "isready") == ["readyok"]


def test_a_command_that_names_no_model_ends_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"no model")
    talk = Talk(str(tmp_path / "bad"))
    talk.ask("uci")

    with pytest.raises(NotAModel, match="no chess model"):
        talk.ask("isready")
    assert "readyok" in talk.said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Threads", "4"),
        ("Hash", "512"),
        ("SyzygyPath", "./syzygy/"),
        ("UCI_ShowWDL", "true"),
        ("UCI_AnalyseMode", "true"),
        ("UCI_Opponent", "none none computer x"),
    ],
)
def test_what_programs_set_unasked_is_taken_and_said_to_be_ignored(name: str, value: str) -> None:
    talk = Talk()

    assert any(line.startswith(f"option name {name} type ") for line in talk.ask("uci"))
    (told,) = talk.ask(f"setoption name {name} value {value}")
    assert told.startswith(f"info string option {name} is ignored: ")


def openings(*options: str, go: str, plies: int) -> set[str]:
    """The first moves of five games, each begun by ``ucinewgame``."""
    talk, games = Talk(), set()
    talk.ask(*(f"setoption name {option}" for option in options))
    for _ in range(5):
        moves: list[str] = []
        talk.ask("ucinewgame")
        for _ in range(plies):
            moves.append(talk.best(f"position startpos moves {' '.join(moves)}", go))
        games.add(" ".join(moves))
    return games


def test_games_differ_unless_a_seed_is_asked_for() -> None:
    varied = "Temperature value 100", "OwnBook value false"
    assert len(openings(*varied, go="go nodes 8", plies=4)) > 1
    assert len(openings(*varied, "Seed value 0", go="go nodes 8", plies=4)) == 1


def test_at_full_strength_games_differ_by_their_openings() -> None:
    go = "go wtime 2000 btime 2000"
    assert len(openings(go=go, plies=3)) > 1
    assert len(openings("Seed value 3", go=go, plies=3)) == 1


@pytest.mark.parametrize("go", ["nodes 5", "depth 1", "movetime 1", "wtime 99 searchmoves a2a3"])
def test_the_book_is_for_games_on_the_clock(go: str) -> None:
    told = Talk().ask("position startpos", f"go {go}")

    assert not any("book" in line for line in told)
    assert chess.Board().is_legal(chess.Move.from_uci(told[-1].split()[1]))


@pytest.mark.parametrize("go", ["depth 0", "nodes 0", "nodes -1", "depth 0.3", "mate 0"])
def test_the_least_search_has_a_move(go: str) -> None:
    assert Talk().best("position startpos", f"go {go}") != "(none)"
