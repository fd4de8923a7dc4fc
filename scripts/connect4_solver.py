"""Connect Four solved: alpha-beta over boards of two integers, for what an agent is measured by.

A board has 7 columns of 6 cells and an empty bit above each: bit 7 c + r is row r of column c, from
below. Method: Pascal Pons, "Solving Connect 4: how to build a perfect AI" (2015), without his
book; only win, draw and loss are told apart.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.games.connect4 import COLUMNS, ROWS, ConnectFour

_STRIDE = ROWS + 1
_COLUMN = [((1 << ROWS) - 1) << (c * _STRIDE) for c in range(COLUMNS)]
_BOARD = sum(_COLUMN)
_BOTTOM = sum(1 << (c * _STRIDE) for c in range(COLUMNS))
_ORDER = sorted(range(COLUMNS), key=lambda c: abs(c - COLUMNS // 2))  # the middle first

Known = dict[int, tuple[int, int]]
"""Bounds of what is known of a position."""


def best_moves(position: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return the perfect moves, (7,), at a board (42,), 1 for the side that moves, row 0 on top.

    Those whose outcome, win, draw or loss, is the best there is.
    """
    mine, taken = _bits(position)
    known: Known = {}
    worth = np.full(COLUMNS, -2)
    for column in range(COLUMNS):
        move = (taken + _BOTTOM) & _BOARD & _COLUMN[column]
        if not move:
            continue
        worth[column] = (
            1 if _fours(mine, taken) & move else -_solve(mine ^ taken, taken | move, known)
        )
    found: NDArray[np.bool_] = worth == worth.max()
    return found


def random_positions(count: int, discs: int) -> NDArray[np.int8]:
    """Return ``count`` positions after random moves, (count, 42), in which nobody has won."""
    rng, game = np.random.default_rng(0), ConnectFour(count, np.random.default_rng(0))
    found = np.zeros((0, game.board.shape[1]), np.int8)
    while len(found) < count:
        positions, open_ = np.zeros((count, found.shape[1]), np.int8), np.ones(count, bool)
        for _ in range(discs):
            legal = game.moves(positions)
            actions = (rng.random(legal.shape) * legal).argmax(axis=1)
            positions, won, _ = game.outcome(positions, actions)
            open_ &= ~won
        found = np.concatenate((found, positions[open_]))
    return found[:count]


def _solve(mine: int, taken: int, known: Known, low: int = -1, high: int = 1) -> int:
    """Return 1, 0 or -1 for the side that moves, whose discs are ``mine``; nobody has four yet."""
    moves = (taken + _BOTTOM) & _BOARD
    if _fours(mine, taken) & moves:
        return 1
    threats = _fours(mine ^ taken, taken)
    if forced := moves & threats:
        if forced & (forced - 1):
            return -1  # two at once
        moves = forced
    moves &= ~(threats >> 1)  # below the other's fourth cell
    if not moves:
        return -1 if (taken + _BOTTOM) & _BOARD else 0
    if taken.bit_count() >= ROWS * COLUMNS - 2:
        return 0
    key = mine + taken
    least, most = known.get(key, (-1, 1))
    if least >= high or least == most:
        return least
    if most <= low:
        return most
    low, high = max(low, least), min(high, most)
    best, begun = -1, low
    for column in _ORDER:
        if move := moves & _COLUMN[column]:
            best = max(best, -_solve(mine ^ taken, taken | move, known, -high, -low))
            low = max(low, best)
            if low >= high:
                break
    if best <= begun:
        most = min(most, best)
    elif best >= high:
        least = max(least, best)
    else:
        least = most = best
    known[key] = least, most
    return best


def _fours(mine: int, taken: int) -> int:
    """The empty cells that make four of ``mine``."""
    found = (mine << 1) & (mine << 2) & (mine << 3)
    for step in (ROWS, ROWS + 1, ROWS + 2):
        pair = (mine << step) & (mine << 2 * step)
        found |= pair & (mine << 3 * step) | pair & (mine >> step)
        pair = (mine >> step) & (mine >> 2 * step)
        found |= pair & (mine << step) | pair & (mine >> 3 * step)
    return found & (_BOARD ^ taken)


def _bits(position: NDArray[np.int8]) -> tuple[int, int]:
    mine = taken = 0
    for cell in np.flatnonzero(position):
        row, column = divmod(int(cell), COLUMNS)
        bit = 1 << (column * _STRIDE + ROWS - 1 - row)
        taken |= bit
        if position[cell] > 0:
            mine |= bit
    return mine, taken
