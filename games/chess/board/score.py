"""What a chess score means: win probability, centipawns, mates, and how one becomes another.

The conversion is lichess's, fitted to rated games: win = 1 / (1 + exp(-0.00368208 · centipawns)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOPE = 0.00368208
"""Of the logistic curve, per centipawn (lichess.org/page/accuracy)."""
MAX_CP = 2_000
"""Centipawns that a win probability of 0 or 1 stands for."""


def cp_to_win(cp: float) -> float:
    """Return the expected score in [0, 1] of a side that is ``cp`` centipawns ahead."""
    return 1.0 / (1.0 + math.exp(-SLOPE * max(-20_000.0, min(20_000.0, cp))))


def win_to_cp(win: float) -> float:
    """Return the centipawns of an expected score, within ±MAX_CP."""
    if win <= 0.0:
        return -MAX_CP
    if win >= 1.0:
        return MAX_CP
    return max(-MAX_CP, min(MAX_CP, math.log(win / (1.0 - win)) / SLOPE))


@dataclass(frozen=True, slots=True)
class Score:
    """A score in the mover's view: centipawns, or a mate in ``mate`` moves (negative: against)."""

    cp: int = 0
    mate: int | None = None

    @classmethod
    def of_win(cls, win: float) -> Score:
        """The centipawns of an expected score."""
        return cls(round(win_to_cp(win)))

    @classmethod
    def of_plies(cls, plies: int) -> Score:
        """A mate that the mover gives in ``plies`` half-moves; 0 or less: that it suffers."""
        return cls(mate=(plies + 1) // 2 if plies > 0 else -(-plies // 2))

    def __str__(self) -> str:
        """As UCI writes it."""
        return f"cp {self.cp}" if self.mate is None else f"mate {self.mate}"
