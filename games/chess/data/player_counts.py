"""How many games of each player were kept, in bounded memory: a count-min sketch.

Cormode & Muthukrishnan 2005: two rows of counters, each name counted in one of each; the smaller
is never less than the truth, and more only where both collide.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.data.blocks import Games, ParsedBlock
from agentd.games.chess.data.filter import CODE

BITS = 22


class PlayerCounts:
    """Counts of kept games by player; ``counters`` (2, 2**22) u2 is all its state, 16 MiB."""

    def __init__(self, counters: NDArray[np.uint16] | None = None) -> None:
        self.counters = np.zeros((2, 2**BITS), np.uint16) if counters is None else counters

    def cap(self, block: ParsedBlock, limit: int) -> ParsedBlock:
        """Return ``block`` less the games of players that have ``limit``; count the others."""
        games = block.games.copy()
        cells = _cells(games)
        stays = np.ones(len(games), bool)
        for n in np.flatnonzero(games["reason"] == 0):
            first, second = cells[0, n], cells[1, n]  # (2,) each: both players
            counts = np.minimum(self.counters[0, first], self.counters[1, second])
            if (counts >= limit).any():
                stays[n] = False
            else:
                self._count(first, second, 1)
        rows = block.rows[np.repeat(stays, games["rows"])]
        for name in ("rows", "opening", "low_clock"):
            games[name][~stays] = 0
        games["reason"][~stays] = CODE["player cap"]
        return ParsedBlock(games, rows)

    def before(self, games: Games) -> NDArray[np.uint16]:
        """Return the counters as they were before the kept ones of ``games`` were counted."""
        earlier = PlayerCounts(self.counters.copy())
        kept = games[games["reason"] == 0]
        for first, second in zip(*_cells(kept), strict=True):
            earlier._count(first, second, -1)
        return earlier.counters

    def _count(self, first: NDArray[np.uint64], second: NDArray[np.uint64], by: int) -> None:
        np.add.at(self.counters[0], first, np.array(by).astype(np.uint16))
        np.add.at(self.counters[1], second, np.array(by).astype(np.uint16))


def _cells(games: Games) -> NDArray[np.uint64]:
    """Return (2, G, 2): each row's counter of each player of each game."""
    names = games["players"]
    mask = np.uint64(2**BITS - 1)
    return np.stack([names & mask, names >> np.uint64(BITS) & mask])
