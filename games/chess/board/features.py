"""What a network sees of a chess position: planes of 64 squares, and a few numbers.

A plane is a bitboard (see ``games.chess.board.bits``), so some 400 NumPy calls turn a batch of any
size into inputs. Beside the pieces a network sees what each kind of piece attacks: attacks of
bishops, rooks and queens depend on every square between, which a dense layer would have to learn
square by square.

    planes      0-11   my pawns ... king, their pawns ... king
               12-23   squares attacked by my pawns ... king, by theirs
               24-28   my pawns ... queens that hang: attacked by less, or attacked and not defended
               29-33   theirs
               34-41   origin and target of the last four half-moves, newest first
                  42   target of the last half-move if it captured
                  43   square behind a pawn that may be taken in passing
    numbers     0-3    castling rights: mine to the king's side, the queen's side, theirs
                4-15   my rating, 12 classes of 200 points from 600; all 0 if unknown
               16-27   their rating
                  28   whether I am in check
               29-32   whether 8, 20, 40, 80 half-moves went by without capture or pawn's move
    planes      0-12  about both kings, see ``games.chess.board.kings``

Every input is 0 or 1, and about 130 of 3,681 are 1. Networks that see all but the last planes read
the first 2,849.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board import bits as bb
from agentd.games.chess.board.bits import Bits
from agentd.games.chess.board.kings import N_KING_PLANES, king_planes
from agentd.games.chess.board.moves import MOVES, NUMBER
from agentd.games.chess.board.position import PAST, Positions

N_PLANES = 44
N_NUMBERS = 33
N_PLAIN = 64 * N_PLANES + N_NUMBERS
"""Length of an input without the planes about the kings."""
N_FEATURES = N_PLAIN + 64 * N_KING_PLANES
"""Length of one input."""
BOARD_CHANNELS = N_PLANES + N_NUMBERS + N_KING_PLANES
"""Channels of the same input as an image of 8 x 8 squares, see ``as_board``."""

_KINDS = 6
_VALUES = (1, 3, 3, 5, 9, 100)
_RATINGS = 12
_LOWEST, _RATING_STEP = 600, 200
_QUIET = np.array((8, 20, 40, 80), np.uint8)
_ONE = np.uint64(1)
_SQUARE, _KIND = np.uint16(63), np.uint16(7)


def planes(rows: Positions) -> Bits:
    """Return the planes (B, N_PLANES + N_KING_PLANES) uint64 of positions (B,)."""
    out = np.zeros((len(rows), N_PLANES + N_KING_PLANES), np.uint64)
    mine, theirs = pieces(rows)
    occupied = np.bitwise_or.reduce(mine) | np.bitwise_or.reduce(theirs)
    my_reach, their_reach = attacks(mine, ~occupied, "n"), attacks(theirs, ~occupied, "s")
    columns = [*mine, *theirs, *my_reach, *their_reach]
    columns += hanging(mine, their_reach, my_reach)
    columns += hanging(theirs, my_reach, their_reach)
    columns += _history(rows["past"])
    ep = rows["ep"].astype(np.uint64)
    columns.append(np.where(ep > 0, _ONE << (ep + np.uint64(39)), np.uint64(0)))
    columns += king_planes(mine, theirs, my_reach, their_reach)
    for number, column in enumerate(columns):
        out[:, number] = column
    return out


def pieces(rows: Positions) -> tuple[list[Bits], list[Bits]]:
    """Return the bitboards of the mover's pawn ... king and of the other side's."""
    low, middle, high, other = rows["planes"].T
    kinds = []
    for kind in range(1, _KINDS + 1):
        bits = low if kind & 1 else ~low
        bits = bits & (middle if kind & 2 else ~middle)
        kinds.append(bits & (high if kind & 4 else ~high))
    return [bits & ~other for bits in kinds], [bits & other for bits in kinds]


def attacks(kinds: Sequence[Bits], empty: Bits, forward: str) -> list[Bits]:
    """Return the squares attacked by pawns ... king of one side, one bitboard a kind."""
    pawns, knights, bishops, rooks, queens, kings = kinds
    return [
        bb.pawn_attacks(pawns, forward),
        bb.knight_attacks(knights),
        bb.slides(bishops, empty, bb.SLANTED),
        bb.slides(rooks, empty, bb.STRAIGHT),
        bb.slides(queens, empty, bb.STRAIGHT + bb.SLANTED),
        bb.king_attacks(kings),
    ]


def hanging(own: Sequence[Bits], foes: Sequence[Bits], friends: Sequence[Bits]) -> list[Bits]:
    """Return which of a side's pawns ... queens hang, one bitboard a kind.

    A piece hangs if something of less value attacks it, or if it is attacked and not defended.
    ``foes`` and ``friends`` are the attacks of the other side and of its own.
    """
    attacked, defended = np.bitwise_or.reduce(foes), np.bitwise_or.reduce(friends)
    loose = attacked & ~defended
    found = []
    for kind in range(_KINDS - 1):
        lesser = np.zeros_like(attacked)
        for foe in range(kind):
            if _VALUES[foe] < _VALUES[kind]:
                lesser = lesser | foes[foe]
        found.append(own[kind] & (loose | lesser))
    return found


def _history(past: NDArray[np.uint16]) -> list[Bits]:
    """Return origin and target of each half-move, and the target of the newest capture."""
    found: list[Bits] = []
    for back in range(PAST):
        code = past[:, back]
        made = (code >> np.uint16(15)).astype(np.uint64)
        for square in (code & _SQUARE, code >> np.uint16(6) & _SQUARE):
            found.append(made << square.astype(np.uint64))
    taken = (past[:, 0] >> np.uint16(12) & _KIND) > 0
    return [*found, np.where(taken, found[1], np.uint64(0))]


def numbers(rows: Positions, boards: Bits) -> NDArray[np.float32]:
    """Return the numbers (B, N_NUMBERS) of positions; ``boards`` are their planes."""
    out = np.zeros((len(rows), N_NUMBERS), np.float32)
    out[:, :4] = rows["castling"][:, None] >> np.arange(4) & 1
    for start, name in ((4, "mover_rating"), (4 + _RATINGS, "other_rating")):
        rating = rows[name].astype(np.int64)
        place = np.clip((rating - _LOWEST) // _RATING_STEP, 0, _RATINGS - 1)
        known = np.flatnonzero(rating)
        out[known, start + place[known]] = 1
    out[:, 28] = (boards[:, 5] & np.bitwise_or.reduce(boards[:, 18:24], axis=1)) > 0
    out[:, 29:] = rows["halfmove"][:, None] >= _QUIET
    return out


def features(
    rows: Positions,
    mirrored: NDArray[np.bool_] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the inputs (B, N_FEATURES) of positions (B,); a plane is 64 of them, a1 to h8.

    ``mirrored`` (B,) marks those to be shown with file a for file h, which is legal where nobody
    may castle (see ``may_mirror``).
    """
    boards = planes(rows)
    if out is None:
        out = np.empty((len(rows), N_FEATURES), np.float32)
    out[:, 64 * N_PLANES : N_PLAIN] = numbers(rows, boards)
    if mirrored is not None:
        boards[mirrored] = bb.mirror_files(boards[mirrored])
    out[:, : 64 * N_PLANES] = bb.to_squares(boards[:, :N_PLANES]).reshape(len(rows), -1)
    out[:, N_PLAIN:] = bb.to_squares(boards[:, N_PLANES:]).reshape(len(rows), -1)
    return out


def may_mirror(rows: Positions) -> NDArray[np.bool_]:
    """Return for which positions (B,) the mirror image along the files is as legal."""
    return np.asarray(rows["castling"] == 0)


def _mirrored_moves() -> NDArray[np.int16]:
    return np.array([NUMBER[o ^ 7, t ^ 7, piece] for o, t, piece in MOVES], np.int16)


MIRRORED_MOVE = _mirrored_moves()
"""The number of each move's mirror image along the files, (1858,)."""


def as_board(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return inputs (B, N_FEATURES) as images (B, 64 * BOARD_CHANNELS): 8 ranks, 8 files, channels.

    The numbers are the same on every square; they come after the planes.
    """
    out = np.empty((len(inputs), 64, BOARD_CHANNELS), np.float32)
    first, last = inputs[:, : 64 * N_PLANES], inputs[:, N_PLAIN:]
    out[:, :, :N_PLANES] = first.reshape(len(inputs), N_PLANES, 64).swapaxes(1, 2)
    kings = last.reshape(len(inputs), N_KING_PLANES, 64).swapaxes(1, 2)
    out[:, :, N_PLANES : N_PLANES + N_KING_PLANES] = kings
    out[:, :, N_PLANES + N_KING_PLANES :] = inputs[:, None, 64 * N_PLANES : N_PLAIN]
    return out.reshape(len(inputs), -1)
