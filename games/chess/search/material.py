"""Material and good squares: an evaluator without a network, the baseline to beat."""

from collections.abc import Sequence

import chess
import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.moves import N_MOVES, move_index
from agentd.games.chess.board.score import cp_to_win
from agentd.games.chess.search.captures import VALUE

_FILE_CENTRE = (-3, -1, 1, 3, 3, 1, -1, -3)
_WEIGHT = {  # centipawns per step towards the centre, per rank forward
    chess.PAWN: (2, 5),
    chess.KNIGHT: (5, 2),
    chess.BISHOP: (3, 1),
    chess.ROOK: (1, 2),
    chess.QUEEN: (1, 0),
    chess.KING: (-6, -6),
}


def _table(kind: int) -> tuple[int, ...]:
    """Centipawns of a white piece of ``kind`` on each square, a1 first."""
    centre, forward = _WEIGHT[kind]
    return tuple(
        centre * (_FILE_CENTRE[square & 7] + (0 if kind <= 1 else _FILE_CENTRE[square >> 3]))
        + forward * (square >> 3)
        for square in range(64)
    )


SQUARES = ((0,) * 64, *(_table(kind) for kind in range(1, 7)))


def evaluate_material(board: chess.Board) -> int:
    """Return the mover's material and placing less the other side's, in centipawns."""
    total = 0
    for square, piece in board.piece_map().items():
        seen = square if piece.color else square ^ 56
        value = VALUE[piece.piece_type] + SQUARES[piece.piece_type][seen]
        total += value if piece.color == board.turn else -value
    return total


class MaterialEvaluator:
    """The ``Evaluator`` of material: prefers captures, promotions and steps to better squares."""

    def evaluate(
        self, boards: Sequence[chess.Board]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits (B, 1858), float32, and expected scores (B,) of the movers."""
        logits = np.zeros((len(boards), N_MOVES), np.float32)
        wins = np.empty(len(boards), np.float32)
        for row, board in enumerate(boards):
            wins[row] = cp_to_win(evaluate_material(board))
            for move in board.legal_moves:
                logits[row, move_index(move, board.turn)] = _urge(board, move) / 100.0
        return logits, wins


def _urge(board: chess.Board, move: chess.Move) -> float:
    """How tempting a move looks, in centipawns."""
    kind = board.piece_type_at(move.from_square) or chess.PAWN
    turned = 0 if board.turn else 56
    table = SQUARES[kind]
    urge = float(table[move.to_square ^ turned] - table[move.from_square ^ turned])
    taken = board.piece_type_at(move.to_square)
    if taken and not board.is_castling(move):
        urge += VALUE[taken] / 2 - min(VALUE[kind], 1_000) / 10
    if move.promotion:
        urge += VALUE[move.promotion] / 2
    return urge
