"""A chess position as 56 bytes, seen from the side that moves: what shards hold and networks read.

Everything is turned so that the mover is White: a position and its mirror (colours swapped, board
upside down) are the same bytes. ``pack`` is bit arithmetic on python-chess's own bitboards.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import chess
import numpy as np
from numpy.typing import NDArray

POSITION = np.dtype(
    [
        ("planes", "<u8", (4,)),  # bit planes of each square's code: see ``pack_board``
        ("past", "<u2", (4,)),  # the last half-moves, newest first: see ``past_code``; 0 none
        ("move", "<u2"),  # number of the move played; NO_MOVE
        ("eval", "<i2"),  # engine's evaluation before the move: centipawns, mover's view; NO_EVAL
        ("after", "<i2"),  # the same after the move, still in this mover's view
        ("mover_rating", "<u2"),  # 0 unknown
        ("other_rating", "<u2"),
        ("clock", "<u2"),  # seconds the mover has left; NO_CLOCK
        ("result", "i1"),  # +1 the mover won, 0 drawn, -1 lost
        ("castling", "u1"),  # bits: mover's king side, queen side, the other's king, queen side
        ("ep", "u1"),  # file + 1 of a pawn that may be taken in passing, 0 none
        ("halfmove", "u1"),  # half-moves since a capture or a pawn's move, at most 255
    ]
)
"""One position. Little-endian, no padding."""

NO_MOVE = 0xFFFF
NO_EVAL = -0x8000
NO_CLOCK = 0xFFFF
MATE = 32_000
"""An evaluation of MATE - n is a mate in n moves for the mover, n - MATE one against the mover."""
PAST = 4
"""Half-moves of history that a position carries."""

Positions: TypeAlias = NDArray[np.void]
"""(B,) of dtype POSITION."""

_MADE = 0x8000


def pack_board(board: chess.Board, row: Any) -> None:
    """Write the board into ``row``: planes, castling, en passant and the fifty-move counter.

    Each square's code has four bits: the piece's kind (pawn 1 to king 6, 0 none) in planes 0 to 2,
    and whether it is the other side's in plane 3. Bit 0 is a1, after turning.
    """
    theirs = board.occupied_co[not board.turn]
    low = board.pawns | board.bishops | board.queens
    middle = board.knights | board.bishops | board.kings
    high = board.rooks | board.queens | board.kings
    rights = board.castling_rights
    if board.turn:
        mine, other = rights & chess.BB_RANK_1, rights >> 56
        row["planes"] = (low, middle, high, theirs)
    else:
        flip = chess.flip_vertical
        mine, other = rights >> 56, rights & chess.BB_RANK_1
        row["planes"] = (flip(low), flip(middle), flip(high), flip(theirs))
    row["castling"] = _sides(mine) | _sides(other) << 2
    row["ep"] = 0 if board.ep_square is None else (board.ep_square & 7) + 1
    row["halfmove"] = min(board.halfmove_clock, 255)


def _sides(rooks: int) -> int:
    return (1 if rooks & chess.BB_H1 else 0) | (2 if rooks & chess.BB_A1 else 0)


def past_code(move: chess.Move, captured: int, white: bool) -> int:
    """Return 16 bits for a half-move made, seen from White's or from Black's side.

    Bits 0-5 origin, 6-11 target, 12-14 kind of the piece captured (0 none), 15 set.
    """
    turn = 0 if white else 56
    return (move.from_square ^ turn) | (move.to_square ^ turn) << 6 | captured << 12 | _MADE


def turn_past(code: int) -> int:
    """Return the half-move as the other side sees it."""
    return code ^ (56 | 56 << 6) if code else 0


def captured_kind(board: chess.Board, move: chess.Move) -> int:
    """Return the kind of piece that ``move`` captures on ``board``, 0 for none."""
    kind = board.piece_type_at(move.to_square)
    if kind is None:
        return chess.PAWN if board.is_en_passant(move) else 0
    return 0 if board.is_castling(move) else kind


def encode_boards(
    boards: Sequence[chess.Board], mover_rating: int = 0, other_rating: int = 0
) -> Positions:
    """Return (B,) positions of ``boards`` with what their move stacks tell of the past."""
    rows = np.zeros(len(boards), POSITION)
    rows["move"], rows["eval"], rows["after"] = NO_MOVE, NO_EVAL, NO_EVAL
    rows["clock"] = NO_CLOCK
    rows["mover_rating"], rows["other_rating"] = mover_rating, other_rating
    for board, row in zip(boards, rows, strict=True):
        pack_board(board, row)
        row["past"] = _past(board)
    return rows


def _past(board: chess.Board) -> list[int]:
    """Return the codes of the last half-moves, newest first, in the mover's view.

    python-chess keeps the state before each move on its stack, so nothing has to be taken back.
    """
    codes = [0] * PAST
    for back in range(1, min(PAST, len(board.move_stack)) + 1):
        move, before = board.move_stack[-back], board._stack[-back]
        if not move:
            break
        codes[back - 1] = past_code(move, _captured_before(before, move), board.turn)
    return codes


def _captured_before(before: Any, move: chess.Move) -> int:
    """Return the kind that ``move`` captured, from the state before it."""
    origin, target = chess.BB_SQUARES[move.from_square], chess.BB_SQUARES[move.to_square]
    own = before.occupied_w if before.turn else before.occupied_b
    if own & target:  # castling in Chess960's way of writing
        return 0
    if before.occupied & target:
        kinds = (before.pawns, before.knights, before.bishops, before.rooks, before.queens)
        return next((kind for kind, at in enumerate(kinds, 1) if at & target), chess.KING)
    slanted = move.from_square & 7 != move.to_square & 7
    return chess.PAWN if before.pawns & origin and slanted else 0


def unpack(row: Any) -> chess.Board:
    """Return the board of one position, with the mover as White and an empty move stack."""
    low, middle, high, theirs = (int(plane) for plane in row["planes"])
    board = chess.Board(None)
    for square in chess.scan_forward(low | middle | high):
        bit = chess.BB_SQUARES[square]
        kind = bool(low & bit) | bool(middle & bit) << 1 | bool(high & bit) << 2
        board.set_piece_at(square, chess.Piece(kind, not theirs & bit))
    corners = (chess.BB_H1, chess.BB_A1, chess.BB_H8, chess.BB_A8)
    castling = int(row["castling"])
    board.castling_rights = sum(c for n, c in enumerate(corners) if castling >> n & 1)
    if row["ep"]:
        board.ep_square = 40 + int(row["ep"]) - 1
    board.halfmove_clock = int(row["halfmove"])
    return board
