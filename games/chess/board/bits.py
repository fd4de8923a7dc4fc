"""Bitboards by the thousand: attacks of all positions of a batch at once, as (B,) uint64 arrays.

Bit 0 is a1, bit 7 h1, bit 63 h8. A direction is a shift that loses what leaves the board; sliders
are filled by Kogge-Stone doubling: after shifts of 1, 2 and 4 steps a ray of seven is complete.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bits: TypeAlias = NDArray[np.uint64]
"""(B,) uint64, one board of 64 squares each."""

_U = np.uint64
_NOT_A, _NOT_H = _U(0xFEFEFEFEFEFEFEFE), _U(0x7F7F7F7F7F7F7F7F)
_NOT_AB, _NOT_GH = _U(0xFCFCFCFCFCFCFCFC), _U(0x3F3F3F3F3F3F3F3F)
_ALL = _U(0xFFFFFFFFFFFFFFFF)

_DIRECTIONS = {
    "n": (8, _ALL),
    "s": (-8, _ALL),
    "e": (1, _NOT_A),
    "w": (-1, _NOT_H),
    "ne": (9, _NOT_A),
    "nw": (7, _NOT_H),
    "se": (-7, _NOT_A),
    "sw": (-9, _NOT_H),
}
"""Squares that a step moves by, and where it may arrive without having left the board."""

STRAIGHT = ("n", "s", "e", "w")
SLANTED = ("ne", "nw", "se", "sw")


def _shift(bits: Bits, by: int) -> Bits:
    return bits << _U(by) if by > 0 else bits >> _U(-by)


def step(bits: Bits, direction: str) -> Bits:
    """Return ``bits`` moved by one square."""
    by, arrive = _DIRECTIONS[direction]
    return _shift(bits, by) & arrive


def slide(sliders: Bits, empty: Bits, direction: str) -> Bits:
    """Return what ``sliders`` attack in one direction, up to and with the first piece met."""
    by, arrive = _DIRECTIONS[direction]
    free = empty & arrive
    reach = sliders
    for length in (by, 2 * by, 4 * by):
        reach = reach | (free & _shift(reach, length))
        free = free & _shift(free, length)
    return _shift(reach, by) & arrive


def slides(sliders: Bits, empty: Bits, directions: tuple[str, ...]) -> Bits:
    """Return what ``sliders`` attack in all of ``directions``."""
    attacked = np.zeros_like(sliders)
    for direction in directions:
        attacked |= slide(sliders, empty, direction)
    return attacked


def pawn_attacks(pawns: Bits, forward: str) -> Bits:
    """Return the squares that pawns attack which move "n" or "s"."""
    ahead = step(pawns, forward)
    return step(ahead, "e") | step(ahead, "w")


def knight_attacks(knights: Bits) -> Bits:
    """Return the squares that knights attack."""
    one = (knights << _U(1)) & _NOT_A | (knights >> _U(1)) & _NOT_H
    two = (knights << _U(2)) & _NOT_AB | (knights >> _U(2)) & _NOT_GH
    found: Bits = one << _U(16) | one >> _U(16) | two << _U(8) | two >> _U(8)
    return found


def king_attacks(kings: Bits) -> Bits:
    """Return the squares that kings attack."""
    row = kings | step(kings, "e") | step(kings, "w")
    found: Bits = (row | step(row, "n") | step(row, "s")) & ~kings
    return found


def to_squares(bits: Bits) -> NDArray[np.uint8]:
    """Return (..., 64) of 0 and 1 for (...,) boards, a1 first."""
    octets = np.ascontiguousarray(bits, "<u8")[..., None].view(np.uint8)
    squares: NDArray[np.uint8] = np.unpackbits(octets, axis=-1, bitorder="little")
    return squares


_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)), bitorder="little")


def mirror_files(bits: Bits) -> Bits:
    """Return the boards with file a for file h."""
    octets = np.ascontiguousarray(bits, "<u8").view(np.uint8)
    mirrored: Bits = _REVERSED[octets].view(np.uint64).reshape(bits.shape)
    return mirrored
