"""Lessons: the best move on the position that was judged, nothing of what is measured on."""

from pathlib import Path

import chess
import numpy as np
import pytest

from agentd.games.chess.board.moves import index_move
from agentd.games.chess.board.position import MATE, Positions, unpack
from agentd.games.chess.data.lessons import (
    BEST,
    apart,
    held_places,
    judged_rows,
    puzzle_rows,
    read_judgements,
)
from agentd.games.chess.data.pgn_reader import PythonChessReader
from agentd.games.chess.data.puzzles import Puzzle

GAME = """[Event "Rated Rapid game"]
[Site "https://lichess.org/{name}"]
[Result "1-0"]

1. e4 {{ [%eval 0.3] }} e5 {{ [%eval 0.2] }} 2. Nf3 {{ [%eval 0.25] }} f6 {{ [%eval 1.1] }}
3. Bc4 {{ [%eval 0.9] }} Ne7 {{ [%eval 1.0] }} 4. h3 {{ [%eval 0.3] }} 1-0

"""
HEAD = "game_id\tply\tmover_rating\tkind\tplayed_san\tbest_uci\teval_before\teval_after\n"
FORK = Puzzle("f", "4k3/8/8/8/8/8/8/4K3 w - - 0 1", ("e1d1", "e8d8"), 900, False, 400)
MATES = Puzzle("m", "k7/8/1K6/8/8/8/8/6QR b - - 0 1", ("a8b8", "h1h8"), 1500, True)


def judged(tmp_path: Path, lines: str) -> Positions:
    (tmp_path / "j.tsv").write_text(HEAD + lines)
    (tmp_path / "g.pgn").write_text(GAME.format(name="aaa") + GAME.format(name="bbb"))
    found = read_judgements(tmp_path / "j.tsv")
    return np.concatenate(list(judged_rows(tmp_path / "g.pgn", PythonChessReader(), found)))


def test_a_judgement_teaches_the_best_move_where_another_was_made(tmp_path: Path):
    rows = judged(
        tmp_path,
        "aaa\t4\t1500\tMistake\tf6\tb8c6\t0.25\t1.1\n"
        "aaa\t7\t1500\tInaccuracy\th3\te1h1\t1.0\t0.3\n"
        "zzz\t1\t1500\tMistake\te4\td2d4\t0\t0\n",
    )
    assert [unpack(row).board_fen() for row in rows] == [
        _turned("rnbqkbnr/pppp1ppp/8/4p3/4P3/5N2/PPPP1PPP/RNBQKB1R b KQkq - 1 2"),
        "rnbqkb1r/ppppn1pp/5p2/4p3/2B1P3/5N2/PPPP1PPP/RNBQK2R",
    ]
    moves = [index_move(int(row["move"]), unpack(row)).uci() for row in rows]
    assert moves == ["b1c3", "e1g1"]  # as its mover sees it; castling as the king's step
    assert rows["eval"].tolist() == rows["after"].tolist() == [-25, 100]
    assert (rows["mover_rating"] == BEST).all()
    for row, move in zip(rows, moves, strict=True):
        assert chess.Move.from_uci(move) in unpack(row).legal_moves


def _turned(fen: str) -> str:
    return chess.Board(fen).mirror().board_fen()


def test_a_judgement_that_does_not_fit_its_game_is_left_out(tmp_path: Path):
    rows = judged(
        tmp_path,
        "bbb\t4\t1500\tMistake\tf6\te4e5\t0\t0\n"  # nothing of Black's stands there
        "bbb\t40\t1500\tMistake\tf6\te4e5\t0\t0\n",  # nor has it so many moves
    )
    assert len(rows) == 0


@pytest.mark.parametrize("line", ["aaa\tx\t1\tk\tf6\tb8c6\t0\t0", "aaa\t4\t1\tk\tf6\tb9\t0\t0"])
def test_a_wrong_judgement_is_named(tmp_path: Path, line: str):
    (tmp_path / "j.tsv").write_text(HEAD + line + "\n")
    with pytest.raises(ValueError, match=r"j\.tsv, line 2"):
        read_judgements(tmp_path / "j.tsv")


def test_puzzles_teach_their_solver_moves():
    (rows,) = puzzle_rows([FORK, MATES])
    assert [index_move(int(row["move"]), unpack(row)).uci() for row in rows] == ["e1d1", "h1h8"]
    assert rows["eval"].tolist() == [400, MATE - 1]
    assert (rows["other_rating"] == BEST).all()
    assert rows["past"][0, 0]  # the move that led there is known


def test_what_is_measured_on_is_kept_apart():
    (rows,) = puzzle_rows([FORK, MATES])
    rows["halfmove"], rows["move"] = 7, 0  # not what makes a position another one
    left = apart(rows, held_places([MATES]))
    assert left["eval"].tolist() == [400]
