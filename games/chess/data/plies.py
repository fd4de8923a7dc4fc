"""Half-moves of many games in columns, and their packing into positions, vectorised.

Readers of PGN fill ``Plies`` as White sees the board; ``pack_plies`` turns it to the mover's view
and adds what depends on neighbours: the past, evaluations, clocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.moves import NUMBER, STEP_NUMBER
from agentd.games.chess.board.position import MATE, NO_CLOCK, NO_EVAL, PAST, POSITION, Positions

U64 = NDArray[np.uint64]
U8 = NDArray[np.uint8]

EVAL_LIMIT = 31_000
"""Centipawns beyond it are cut: what is above tells of mates."""
UPSIDE_DOWN = 56 | 56 << 6
"""Turns origin and target of a half-move's code."""
_UNDER = np.full((64, 64, 7), -1, np.int16)
for (_origin, _target, _piece), _number in NUMBER.items():
    _UNDER[_origin, _target, _piece] = _number
assert (np.where(STEP_NUMBER < 0, -1, _UNDER[:, :, 0]) == STEP_NUMBER).all()


@dataclass(frozen=True, slots=True)
class Plies:
    """N half-moves of G games, one game after the other, as White sees the board before each.

    low, middle, high  (N,) u8 bitboards: bits 0, 1, 2 of each piece's kind
    white              (N,) u8 bitboard of White's pieces
    white_moves        (N,) bool
    castling           (N,) bits: White's king side, queen side, Black's
    ep                 (N,) file + 1 of a pawn that has just made two steps, 0 none
    halfmove           (N,) the fifty-move counter
    origin, target     (N,) squares; ``promotion`` kind of piece, 0 none
    evaluation         (N,) i2 after the move, White's view; NO_EVAL
    clock              (N,) u2 seconds that the mover had left after the move; NO_CLOCK
    count              (G,) half-moves of each game
    mated              (G,) bool: the last move mates
    """

    low: U64
    middle: U64
    high: U64
    white: U64
    white_moves: NDArray[np.bool_]
    castling: U8
    ep: U8
    halfmove: U8
    origin: U8
    target: U8
    promotion: U8
    evaluation: NDArray[np.int16]
    clock: NDArray[np.uint16]
    count: NDArray[np.int64]
    mated: NDArray[np.bool_]


_OF_GAMES = ("count", "mated")


def interleave(parts: Sequence[Plies], games: Sequence[NDArray[np.int64]]) -> Plies:
    """Return the half-moves of several readings as one; ``games`` (G,) numbers each part's games.

    The numbers of all parts together are 0, 1, 2 and so on, each once.
    """
    order = np.argsort(np.concatenate(games))
    count = np.concatenate([part.count for part in parts])
    starts = (np.cumsum(count) - count)[order]
    count = count[order]
    taken = np.repeat(starts - (np.cumsum(count) - count), count) + np.arange(count.sum())
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])[
            order if field.name in _OF_GAMES else taken
        ]
        for field in fields(Plies)
    }
    return Plies(**columns)


@dataclass(frozen=True, slots=True)
class TagColumns:
    """What the tags of G games say: results (G,) i1 in White's view, ratings (G,) u2, 0 unknown,
    and start (G,) u2, the seconds a player begins with, or NO_CLOCK."""

    result: NDArray[np.int8]
    white_rating: NDArray[np.uint16]
    black_rating: NDArray[np.uint16]
    start: NDArray[np.uint16]


def pack_plies(plies: Plies, tags: TagColumns) -> Positions:
    """Return (N,) positions, one a half-move."""
    white = plies.white_moves
    game = np.repeat(np.arange(len(plies.count)), plies.count)
    ply = np.arange(len(white)) - np.repeat(np.cumsum(plies.count) - plies.count, plies.count)
    rows = np.zeros(len(white), POSITION)
    occupied = plies.low | plies.middle | plies.high
    theirs = np.where(white, occupied & ~plies.white, plies.white)
    for n, plane in enumerate((plies.low, plies.middle, plies.high, theirs)):
        rows["planes"][:, n] = np.where(white, plane, plane.byteswap())
    rows["castling"] = np.where(
        white, plies.castling, (plies.castling << 2 | plies.castling >> 2) & 15
    )
    rows["ep"], rows["halfmove"] = plies.ep, plies.halfmove
    rows["move"] = _moves(plies)
    rows["past"] = _past(plies, ply)
    rows["eval"], rows["after"] = _evaluations(plies, ply)
    ratings = tags.white_rating[game], tags.black_rating[game]
    rows["mover_rating"] = np.where(white, *ratings)
    rows["other_rating"] = np.where(white, *ratings[::-1])
    rows["result"] = np.where(white, tags.result[game], -tags.result[game])
    rows["clock"] = _clocks(plies, tags, game, ply)
    return rows


def _back(values: NDArray[Any], steps: int, ply: NDArray[np.int64], none: int) -> NDArray[Any]:
    """Return (N,) what ``values`` was ``steps`` half-moves before; ``none`` before the game."""
    found = np.roll(values, steps)
    found[ply < steps] = none
    return found


def _moves(plies: Plies) -> NDArray[np.int16]:
    turn = np.where(plies.white_moves, 0, 56).astype(np.uint8)
    piece = np.where(plies.promotion == 5, 0, plies.promotion)
    number: NDArray[np.int16] = _UNDER[plies.origin ^ turn, plies.target ^ turn, piece]
    assert (number >= 0).all(), "a move without a number"
    return number


def _past(plies: Plies, ply: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return (N, PAST) the codes of ``games.chess.board.position.past_code``, newest first."""
    at = plies.target.astype(np.uint64)
    one, kind = np.uint64(1), np.zeros(len(at), np.uint16)
    for n, plane in enumerate((plies.low, plies.middle, plies.high)):
        kind |= (plane >> at & one).astype(np.uint16) << np.uint16(n)
    low, other = plies.low & ~plies.middle & ~plies.high, plies.origin.astype(np.uint64)
    pawn = (low >> other & one).astype(bool)
    kind[pawn & (kind == 0) & ((plies.origin ^ plies.target) & 7 != 0)] = 1  # in passing
    codes = plies.origin | plies.target.astype(np.uint16) << 6 | kind << 12 | 0x8000
    past = np.stack([_back(codes, n, ply, 0) for n in range(1, PAST + 1)], axis=1)
    turned = np.where(past != 0, past ^ UPSIDE_DOWN, 0)
    return np.where(plies.white_moves[:, None], past, turned).astype(np.uint16)


def _evaluations(
    plies: Plies, ply: NDArray[np.int64]
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return (N,) before and after each half-move, in its mover's view.

    A mating move has no evaluation in a dump: it is MATE where the position before it has one.
    """
    after = plies.evaluation
    before = _back(after, 1, ply, NO_EVAL)
    sign = np.where(plies.white_moves, 1, -1).astype(np.int16)
    mover = [np.where(side == NO_EVAL, NO_EVAL, side * sign) for side in (before, after)]
    last = (np.cumsum(plies.count) - 1)[plies.mated]
    mover[1][last] = np.where(before[last] == NO_EVAL, mover[1][last], MATE)
    return mover[0].astype(np.int16), mover[1].astype(np.int16)


def _clocks(
    plies: Plies, tags: TagColumns, game: NDArray[np.int64], ply: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """Return (N,) the seconds each mover has to think with: what his last move left him."""
    clock = _back(plies.clock, 2, ply, NO_CLOCK).astype(np.uint16)
    first = ply < 2
    known = plies.clock[first] != NO_CLOCK
    clock[first] = np.where(known, tags.start[game[first]], NO_CLOCK)
    return clock


@lru_cache(maxsize=1 << 14)
def evaluation_code(text: str) -> int:
    """Return the i2 of ``%eval``'s text, ``0.24``, ``#-3`` or either with ``,depth``."""
    value = text.partition(",")[0]
    if value.startswith("#"):
        moves = min(abs(int(value[1:])), MATE - EVAL_LIMIT - 1)
        return moves - MATE if value[1] == "-" else MATE - moves
    return max(-EVAL_LIMIT, min(EVAL_LIMIT, round(float(value) * 100)))
