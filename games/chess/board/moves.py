"""Chess moves as numbers: 1,858 of them, always seen from the side that moves.

Black's moves are turned upside down (rank 1 for rank 8), so that a network that has learned
something as White knows it as Black. The numbers: every queen's or knight's step from each square,
ordered by origin and target (1,792; a promotion to a queen is the plain step), and then the
promotions to knight, bishop and rook (66). Castling is the king's step of two files.
"""

from collections.abc import Iterator

import chess
import numpy as np
from numpy.typing import NDArray

N_MOVES = 1858
"""How many numbers there are."""

UNDERPROMOTIONS = (chess.KNIGHT, chess.BISHOP, chess.ROOK)
_LAST_RANK = 56


def _steps() -> Iterator[tuple[int, int]]:
    """Yield (origin, target) of every move that a queen or a knight could make."""
    for origin in range(64):
        reach = chess.BB_DIAG_ATTACKS[origin][0] | chess.BB_RANK_ATTACKS[origin][0]
        reach |= chess.BB_FILE_ATTACKS[origin][0] | chess.BB_KNIGHT_ATTACKS[origin]
        for target in chess.scan_forward(reach):
            yield origin, target


def _promotions() -> Iterator[tuple[int, int, int]]:
    """Yield (origin, target, piece) of every promotion to less than a queen."""
    for origin in range(48, 56):
        for target in (origin + 7, origin + 8, origin + 9):
            if abs(target % 8 - origin % 8) <= 1:
                for piece in UNDERPROMOTIONS:
                    yield origin, target, piece


MOVES: tuple[tuple[int, int, int], ...] = (
    *((origin, target, 0) for origin, target in _steps()),
    *_promotions(),
)
"""(origin, target, promotion) of each number; promotion is 0 or one of ``UNDERPROMOTIONS``."""

NUMBER: dict[tuple[int, int, int], int] = {move: n for n, move in enumerate(MOVES)}

STEP_NUMBER: NDArray[np.int16] = np.full((64, 64), -1, np.int16)
"""The number of the plain step from an origin to a target, -1 where there is none, (64, 64)."""
for _n, (_origin, _target, _piece) in enumerate(MOVES):
    if not _piece:
        STEP_NUMBER[_origin, _target] = _n


def move_index(move: chess.Move, white: bool) -> int:
    """Return the number of ``move``, made by White or by Black. Raises KeyError for a null move."""
    turn = 0 if white else _LAST_RANK
    piece = move.promotion or 0
    if piece == chess.QUEEN:
        piece = 0
    return NUMBER[move.from_square ^ turn, move.to_square ^ turn, piece]


def index_move(index: int, board: chess.Board) -> chess.Move:
    """Return the move that ``index`` is on ``board``, legal or not. Raises IndexError."""
    if not 0 <= index < N_MOVES:
        raise IndexError(f"move number: expected 0 to {N_MOVES - 1}, got {index}")
    origin, target, piece = MOVES[index]
    turn = 0 if board.turn else _LAST_RANK
    origin, target = origin ^ turn, target ^ turn
    if not piece and target >> 3 in (0, 7) and board.piece_type_at(origin) == chess.PAWN:
        piece = chess.QUEEN
    return chess.Move(origin, target, piece or None)


def legal_indices(board: chess.Board) -> tuple[list[chess.Move], NDArray[np.int16]]:
    """Return the legal moves and their numbers (M,), in the same order."""
    moves = list(board.legal_moves)
    white = board.turn
    return moves, np.array([move_index(move, white) for move in moves], np.int16)


def legal_mask(board: chess.Board) -> NDArray[np.uint8]:
    """Return (1858,), 1 at the number of every legal move."""
    mask = np.zeros(N_MOVES, np.uint8)
    mask[legal_indices(board)[1]] = 1
    return mask
