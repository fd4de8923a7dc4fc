import chess
import numpy as np
import pytest

from agentd.games.chess.search.captures import VALUE, exchange_gain, material

KING = VALUE[chess.KING]


def brute(board: chess.Board, plies: int) -> int:
    """The same value by plain minimax over every legal capture, nothing pruned."""
    if plies == 0:
        return 0
    best = 0
    for move in list(board.legal_moves):
        taken = board.piece_type_at(move.to_square) or 0
        if not taken or move.promotion:
            continue
        board.push(move)
        best = max(best, VALUE[taken] - brute(board, plies - 1))
        board.pop()
    return best


@pytest.mark.parametrize(
    ("fen", "gain"),
    [
        ("4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1", 900),  # a queen for nothing
        ("4k3/8/2p5/3p4/8/8/8/3QK3 w - - 0 1", 0),  # a pawn that a pawn guards
        ("4k3/3r4/8/3p4/8/8/3R4/3RK3 w - - 0 1", 100),  # two rooks against one: the pawn falls
        ("3rk3/3r4/8/3p4/8/8/3R4/3RK3 w - - 0 1", 0),  # two against two
        ("4k3/P7/8/8/8/8/8/4K3 w - - 0 1", 800),  # a pawn becomes a queen
        ("1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", 1120),  # and takes a knight on the way
        ("4k3/8/8/8/8/8/4r3/4K2R w - - 0 1", 500),  # in check: the king takes the rook
        ("k7/8/8/8/8/8/5q2/4K2R w - - 0 1", 900),  # in check: the king takes the queen
        ("7k/8/8/8/8/8/1r4PP/r6K w - - 0 1", -KING),  # mated
        ("4k3/8/8/8/4q3/8/8/1N2K3 b - - 0 1", 320),
    ],
)
def test_known_exchanges(fen: str, gain: int) -> None:
    board = chess.Board(fen)

    assert exchange_gain(board) == gain
    assert board.fen() == fen
    assert exchange_gain(board.mirror()) == gain


def test_the_mover_in_check_cannot_stand_still() -> None:
    """Black forks king and rook: whatever White answers, the rook is lost."""
    board = chess.Board("4k3/8/8/8/8/8/2n5/R3K3 w - - 0 1")

    assert exchange_gain(board) == -500


def test_pruning_hardly_ever_changes_the_value() -> None:
    rng = np.random.default_rng(7)
    """Pieces offered to a pawn's guard are left out: a few centipawns, seldom."""
    looked = apart = 0
    while looked < 40:
        board = chess.Board()
        for _ in range(int(rng.integers(60, 160))):
            moves = list(board.legal_moves)
            if not moves:
                break
            board.push(moves[int(rng.integers(len(moves)))])
        ready = board.pawns & (chess.BB_RANK_2 | chess.BB_RANK_7)
        if board.is_check() or not any(board.legal_moves) or len(board.piece_map()) > 14 or ready:
            continue
        looked += 1
        apart += abs(exchange_gain(board) - brute(board, 8)) > 20
    assert apart <= 1


def test_material_is_the_movers_less_the_others() -> None:
    board = chess.Board("4k3/8/8/3q4/8/8/PP6/4K2R w - - 0 1")

    assert material(board) == 200 + 500 - 900
    board.turn = chess.BLACK
    assert material(board) == 900 - 700
