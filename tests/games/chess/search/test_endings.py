"""Against a bare king: mates are given, nothing is thrown away, nothing comes back."""

import random

import chess
import pytest

from agentd.games.chess.search.endings import drive, faces_bare_king
from agentd.games.chess.search.tree import history


def positions(pieces: str, count: int) -> list[chess.Board]:
    """Positions of chance with White to move, its king, ``pieces`` and Black's king."""
    rng, found = random.Random(pieces), []
    while len(found) < count:
        board = chess.Board(None)
        squares = rng.sample(chess.SQUARES, len(pieces) + 2)
        for symbol, square in zip("Kk" + pieces, squares, strict=True):
            board.set_piece_at(square, chess.Piece.from_symbol(symbol))
        if board.is_valid() and faces_bare_king(board):
            found.append(board)
    return found


def defend(board: chess.Board) -> chess.Move:
    """Take what hangs, else go where it is nearest to the middle."""

    def worth(move: chess.Move) -> tuple[bool, int]:
        middle = min(chess.square_distance(move.to_square, s) for s in (27, 28, 35, 36))
        return board.is_capture(move), -middle

    return max(board.legal_moves, key=worth)


@pytest.mark.parametrize("pieces", ["Q", "R", "RR", "QP", "RB"])
def test_a_bare_king_is_mated_within_fifty_moves(pieces: str) -> None:
    for board in positions(pieces, 2):
        start = board.fen()
        while not board.is_game_over() and not board.is_repetition(3):
            move = drive(board, history(board), 2_000).move if board.turn else defend(board)
            board.push(move)

        assert board.is_checkmate(), f"{start} ended in {board.fen()}"
        assert board.turn == chess.BLACK


def test_it_says_in_how_many_plies_it_mates() -> None:
    found = drive(chess.Board("7k/8/5K2/8/8/8/8/Q7 w - - 0 1"), set(), 2_000)

    assert found.mate == 3
    assert found.depth == 3


def test_it_stops_when_told_with_one_depth_done() -> None:
    board = chess.Board("8/8/8/3k4/8/8/8/KR6 w - - 0 1")
    found = drive(board, set(), 10**6, should_stop=lambda: True)

    assert found.depth == 1
    assert found.nodes < 100


def test_it_stalemates_nobody() -> None:
    board = chess.Board("7k/8/6K1/8/8/8/8/5Q2 w - - 0 1")
    board.push(drive(board, set(), 2_000).move)

    assert not board.is_stalemate()


def test_it_leaves_no_piece_to_the_king() -> None:
    board = chess.Board("8/8/8/3k4/3R4/8/8/K7 w - - 0 1")
    board.push(drive(board, set(), 2_000).move)

    assert not any(board.is_capture(move) for move in board.legal_moves)


def test_it_goes_back_to_nothing_that_was_there() -> None:
    board = chess.Board("8/8/8/3k4/8/8/8/KR6 w - - 0 1")
    liked = drive(board, set(), 500).move
    board.push(liked)
    past = history(board)
    board.pop()

    assert drive(board, past, 500).move != liked


@pytest.mark.parametrize(
    ("fen", "told"),
    [
        ("8/8/8/4k3/8/8/8/KQ6 w - - 0 1", True),
        ("8/8/8/4k3/8/8/8/KQ6 b - - 0 1", False),
        ("8/8/8/4k3/8/8/8/KBB5 w - - 0 1", True),
        ("8/8/8/4k3/8/8/8/KB1B4 w - - 0 1", False),
        ("8/8/8/4k3/8/8/8/KBN5 w - - 0 1", True),
        ("8/8/8/4k3/8/8/8/KNN5 w - - 0 1", False),
        ("8/8/8/4k3/8/8/P7/K7 w - - 0 1", False),
        ("8/8/4p3/4k3/8/8/8/KQ6 w - - 0 1", False),
    ],
)
def test_who_can_mate_a_bare_king(fen: str, told: bool) -> None:
    assert faces_bare_king(chess.Board(fen)) is told
