"""The table where a person plays: the board, its commands, and how games end."""

import io
from collections.abc import Iterable
from pathlib import Path

import chess
import chess.pgn
import pytest
from rich.color import Color

from agentd.chess.play.opponents import Advice
from agentd.cli.chess import board_view
from agentd.cli.chess.board_view import draw_board
from agentd.cli.chess.table import Table


class Scripted:
    """Plays the moves that it is given, and remembers what it was told."""

    name = "script"

    def __init__(self, *moves: str, win: float = 0.5) -> None:
        self._moves, self._win = list(moves), win
        self.told: list[object] = []

    def choose(self, board: chess.Board) -> Advice:
        return Advice(board.parse_san(self._moves.pop(0)), self._win)

    def advise(self, board: chess.Board) -> Advice:
        move = next(iter(board.legal_moves))
        return Advice(move, self._win, (move,), "cp 12")

    def taken_back(self) -> None:
        self.told.append("taken back")

    def ended(self, board: chess.Board, score: float | None) -> None:
        self.told.append(score)

    def close(self) -> None:
        self.told.append("closed")


def sit(policy: Scripted, lines: Iterable[str], **seat) -> tuple[Table, list[str]]:
    """Play ``lines`` against ``policy``; the table after it, and what was shown but boards."""
    shown: list[str] = []
    rest = iter(lines)
    table = Table(
        policy, lambda prompt: next(rest, None), lambda what: shown.append(str(what)), **seat
    )
    table.play()
    return table, [text for text in shown if "a  b  c" not in text and "c  b  a" not in text]


def test_a_board_is_drawn_from_either_side():
    board = chess.Board()
    board.push_san("e4")

    plain = draw_board(board, ascii_only=True).plain.splitlines()
    assert len(plain) == 10
    assert plain[0].split() == list("abcdefgh")
    assert plain[1] == " 8  r  n  b  q  k  b  n  r  8"
    assert plain[5] == " 4     .     . [P] .     .  4"
    assert "[ ]" in plain[7]
    flipped = draw_board(board, flip=True).plain.splitlines()
    assert flipped[0].split() == list("hgfedcba")
    assert flipped[1].split()[:2] == ["1", "♖"]
    assert board.fen() == "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR b KQkq - 0 1"


def test_a_king_in_check_is_marked_and_coloured():
    text = draw_board(chess.Board("4k3/8/8/8/8/8/8/4R2K b - - 0 1"), ascii_only=True)

    assert "!k!" in text.plain
    assert any("red" in str(span.style) for span in text.spans)


def test_a_lost_game_is_told_and_kept(tmp_path):
    policy = Scripted("e5", "Qh4#")

    table, shown = sit(policy, ["f3", "g4"], save_to=tmp_path / "game.pgn")

    assert table.result == "0-1"
    assert shown[-1] == "0-1  checkmate, Black wins"
    assert policy.told == [1.0]
    assert "2. g4 Qh4# 0-1" in (tmp_path / "game.pgn").read_text()


def test_refusals_and_commands():
    policy = Scripted("e5", "Nc6", "d6", win=0.4)

    table, shown = sit(
        policy,
        ["e5", "hnt", "e4", "hint", "eval", "draw", "fen", "Nf3", "undo", "moves", "Nf3", "board"],
    )

    assert shown[0] == "no pawn of yours can go to e5"
    assert shown[1].endswith("or hint?")
    assert shown[3:7] == [
        "hint: Nh3",
        "White to move scores 40% (cp 12)  2. Nh3",
        "no rule gives you a draw yet, and the bot plays on",
        "rnbqkbnr/pppp1ppp/8/4p3/4P3/8/PPPP1PPP/RNBQKBNR w KQkq - 0 2",
    ]
    assert "1. e4 e5" in shown
    assert [str(move) for move in table.board.move_stack] == ["e2e4", "e7e5", "g1f3", "d7d6"]
    assert policy.told == ["taken back", None]


def test_a_draw_is_claimed_offered_and_counted():
    knights = ["Nf3", "Ng1", "Nf3", "Ng1", "draw"]
    table, shown = sit(Scripted("Nf6", "Ng8", "Nf6", "Ng8"), knights)
    assert table.result == "1/2-1/2"
    assert "draw claimed: the position comes about three times" in shown[-1]

    table, shown = sit(policy := Scripted("e5", win=0.5), ["e4", "draw"])
    assert shown[-1] == "1/2-1/2  draw agreed"
    assert policy.told == [0.0]


def test_a_game_goes_on_from_a_file_and_from_a_position(tmp_path):
    first, _ = sit(Scripted("e5", "Nc6"), ["e4", "Nf3", f"save {tmp_path / 'a.pgn'}"])

    table, shown = sit(
        Scripted("a6"),
        [
            f"load {tmp_path / 'a.pgn'}",
            "Bb5",
            "load nowhere.pgn",
            "fen rubbish",
            "fen 4k3/8/4K3/8/8/8/8/7R w - - 0 1",
            "Rh8",
            "new",
            "resign",
            "e4",
        ],
    )

    assert first.board.fullmove_number == 3
    assert "nowhere.pgn: No such file or directory" in shown
    assert any(text.startswith("no FEN") for text in shown)
    assert "1-0  checkmate, White wins" in shown
    assert shown[-2:] == ["0-1  you resign", "the game is over: new, undo, save FILE or quit"]
    assert table.result == "0-1"


def test_undo_after_the_end_and_as_black():
    policy = Scripted("e4", "d4", "d4")
    table, shown = sit(policy, ["undo", "e5", "resign", "undo", "c5"], human=chess.BLACK)

    assert shown[1] == "there is no move of yours to take back"
    assert "1-0  you resign" in shown
    assert [str(move) for move in table.board.move_stack] == ["e2e4", "c7c5", "d2d4"]
    assert policy.told == [1.0, "taken back", None]


def luminance(name: str) -> float:
    """Relative luminance of a colour, after WCAG 2."""
    parts = (value / 255 for value in Color.parse(name).get_truecolor())
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("square", ["LIGHT", "DARK", "LAST", "CHECK"])
@pytest.mark.parametrize("piece", ["WHITE", "BLACK"])
def test_pieces_can_be_read_on_every_square(square: str, piece: str) -> None:
    behind = luminance(getattr(board_view, square).removeprefix("on "))
    before = luminance(getattr(board_view, piece).removeprefix("bold "))

    assert (max(behind, before) + 0.05) / (min(behind, before) + 0.05) >= 3  # WCAG: graphics


def games_in(path: Path) -> list[str]:
    """The moves of each game of a PGN file, and its result."""
    file, found = io.StringIO(path.read_text()), []
    while (game := chess.pgn.read_game(file)) is not None:
        found.append(
            f"{game.board().variation_san(game.mainline_moves())} {game.headers['Result']}"
        )
    return found


def test_a_game_is_kept_as_it_grows_and_the_next_one_after_it(tmp_path: Path) -> None:
    kept, seen = tmp_path / "kept.pgn", []

    def ask(prompt: str) -> str | None:
        seen.append(games_in(kept) if kept.exists() else [])
        if not lines:
            raise KeyboardInterrupt
        return lines.pop(0)

    lines = ["e4", "undo", "d4", "new", "f3", "g4"]
    table = Table(Scripted("e5", "d5", "e5", "Qh4#"), ask, lambda what: None, save_to=kept)
    with pytest.raises(KeyboardInterrupt):
        table.play()

    assert seen[1] == ["1. e4 e5 *"]
    assert seen[3] == ["1. d4 d5 *"]
    assert games_in(kept) == ["1. d4 d5 *", "1. f3 e5 2. g4 Qh4# 0-1"]


def test_a_game_that_cannot_be_kept_there_goes_on_and_is_kept_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bad, spare = tmp_path / "file" / "a.pgn", tmp_path / "spare.pgn"

    table, shown = sit(Scripted("e5", "d5"), ["e4", f"save {bad}", "d4"], save_to=bad, spare=spare)

    assert games_in(spare) == ["1. e4 e5 2. d4 d5 *"]
    assert sum("the game cannot be kept" in text for text in shown) == 1
    assert any(text.startswith(str(tmp_path / "file")) for text in shown)
    assert table.fault is not None


def test_saving_overwrites_nothing_unasked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "old.pgn").write_text("precious")

    lines = ["e4", "save ~/old.pgn", "save ~/new.pgn", "d4", "save ~/new.pgn", "new", "save! x"]
    _, shown = sit(Scripted("e5", "d5", "e5"), [*lines, "f3", "save ~/new.pgn"])

    assert (tmp_path / "old.pgn").read_text() == "precious"
    assert "~/old.pgn is there already: `save! ~/old.pgn` writes over it" in shown
    assert games_in(tmp_path / "new.pgn") == ["1. e4 e5 2. d4 d5 *"]
    assert shown[-1].startswith("~/new.pgn is there already")
    _, shown = sit(Scripted("e5"), ["e4", "save! ~/old.pgn", "load ~/old.pgn"])
    assert games_in(tmp_path / "old.pgn") == ["1. e4 e5 *"]
