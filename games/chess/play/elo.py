"""The score of a match: points, error bar and Elo difference."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

NORMAL_95 = 1.96
"""Standard errors on either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class MatchScore:
    """Games counted from one player's view, and by pairs that shared an opening."""

    wins: int
    draws: int
    losses: int
    error: float
    """Half the 95 % interval of ``score``."""

    @property
    def games(self) -> int:
        return self.wins + self.draws + self.losses

    @property
    def score(self) -> float:
        """Points a game, [0, 1]; NaN of no games."""
        return (self.wins + 0.5 * self.draws) / self.games if self.games else math.nan

    @property
    def elo(self) -> tuple[float, float, float]:
        """Elo difference and the ends of its 95 % interval; infinite where all is won or lost."""
        low, high = max(0.0, self.score - self.error), min(1.0, self.score + self.error)
        return elo(self.score), elo(low), elo(high)


def match_score(points: Iterable[tuple[int, float]]) -> MatchScore:
    """Count (opening, points) of games; the error bar is that of the openings' mean scores.

    Two games from one opening are not independent, so a pair counts as one measurement. With one
    opening, or with one result for all games, the bar is Wilson's for a share, which is never 0.
    """
    scores: dict[int, list[float]] = {}
    for opening, point in points:
        scores.setdefault(opening, []).append(point)
    every = [point for pair in scores.values() for point in pair]
    wins, draws, losses = (every.count(value) for value in (1.0, 0.5, 0.0))
    return MatchScore(wins, draws, losses, _error(list(scores.values()), every))


def _error(pairs: list[list[float]], every: list[float]) -> float:
    if not every:
        return math.nan
    mean = sum(every) / len(every)
    spread = sum((sum(pair) - mean * len(pair)) ** 2 for pair in pairs)
    if len(pairs) > 1 and spread > 0:
        # Cluster-robust variance of a mean, each opening a cluster.
        variance = spread * len(pairs) / (len(pairs) - 1) / len(every) ** 2
        return NORMAL_95 * math.sqrt(variance)
    z2 = NORMAL_95**2
    inside = mean * (1 - mean) / len(every) + z2 / (4 * len(every) ** 2)
    return NORMAL_95 * math.sqrt(inside) / (1 + z2 / len(every))


def elo(score: float) -> float:
    """Return the Elo difference that a mean score stands for; NaN of NaN."""
    if math.isnan(score):
        return math.nan
    if score <= 0.0:
        return -math.inf
    if score >= 1.0:
        return math.inf
    return -400.0 * math.log10(1.0 / score - 1.0)
