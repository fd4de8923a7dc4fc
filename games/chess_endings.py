"""Endings against a bare king: what tells progress where every move keeps the win."""

from __future__ import annotations

import chess

_PER_STEP, _PER_KING = 60, 20
_MOST = 6 * _PER_STEP + 14 * _PER_KING


def driven(board: chess.Board) -> float | None:
    """Return the mover's score, [0, 1], by how far a bare king is driven to a corner.

    None unless one side has its king alone and the other can mate it. A win counts from 0.55 to
    0.95: the more the nearer the bare king is to a corner and the nearer the other king is to it.
    """
    for color in chess.COLORS:
        bare, own = board.occupied_co[not color], board.occupied_co[color]
        if bare & ~board.kings or not bare or not own & board.kings or not _can_mate(board, own):
            continue
        lone, king = chess.lsb(bare), chess.lsb(own & board.kings)
        steps = _from_middle(chess.square_file(lone)) + _from_middle(chess.square_rank(lone))
        near = 14 - chess.square_manhattan_distance(lone, king)
        found = 0.55 + 0.4 * (_PER_STEP * steps + _PER_KING * near) / _MOST
        return found if board.turn == color else 1.0 - found
    return None


def _from_middle(line: int) -> int:
    """Steps of a file or rank 0 to 7 from the middle two."""
    return max(3 - line, line - 4)


def _can_mate(board: chess.Board, own: int) -> bool:
    minor = (board.knights | board.bishops) & own
    return bool((board.rooks | board.queens) & own) or minor.bit_count() > 1
