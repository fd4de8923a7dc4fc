"""Which level of strength wins a wanted share of the games against a rival, and how sure that is.

The share is that of the points: a draw is half a win. It rises with the level; its logit is taken
to be linear near the level that is looked for. A series of probes closes in on that level: each is
played where the line through all probes so far, near ones counted most, says that it lies. So a
probe is never thrown away, as bisection throws away all but its last. Then the level is played
anew, for an interval that no search has seen.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agentd.engine.rules.dial import BEST

PlayGames = Callable[[float, int, int], Sequence[float]]
"""``play(level, games, seed)``: the points of so many games, 1, 0.5 or 0 each."""

NORMAL_95 = 1.96
"""Standard errors on either side that hold 95 % of a normal distribution."""
REACH = 20.0
"""Levels away from which a probe counts exp(-1/2) as much as one on the spot."""
SLOPE, SLOPE_ERROR = 0.05, 0.03
"""What is expected of the logit's rise for each level before anything was played."""
STEP = 30.0
"""Most levels from one estimate to the next."""


@dataclass(frozen=True)
class WinShare:
    """What was measured at a level: the share of the points, with its 95 % interval."""

    level: float
    share: float
    games: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval for a share (Wilson 1927; recommended by Brown, Cai & DasGupta 2001,
        "Interval Estimation for a Binomial Proportion"). Draws make it wider than it needs to be.
        """
        z2 = NORMAL_95**2
        middle = (self.share + z2 / (2 * self.games)) / (1 + z2 / self.games)
        inside = self.share * (1 - self.share) / self.games + z2 / (4 * self.games**2)
        half = NORMAL_95 * math.sqrt(inside) / (1 + z2 / self.games)
        return max(0.0, middle - half), min(1.0, middle + half)

    def unreachable(self, want: float) -> bool:
        """Whether no level can be expected to give ``want``: this one is the last on that side."""
        low, high = self.interval
        return (self.level <= 0 and low > want) or (self.level >= BEST and high < want)


def points_of(returns: Sequence[float]) -> list[float]:
    """Return the points of games by the sign of their returns: what one side wins the other loses.

    Returns of less than a thousandth are those of a draw.
    """
    return [0.5 if abs(each) < 1e-3 else float(each > 0) for each in returns]


def calibrate(
    play: PlayGames, wanted: Sequence[float], probes: int, probe_games: int, games: int, seed: int
) -> Iterator[WinShare]:
    """Find the level for each share of ``wanted``, in (0, 1); yield every probe as it is played.

    ``probes`` rounds, each with a probe of ``probe_games`` for each share; all shares are looked
    for with all probes. The last marks, one for each share, are of ``games`` games of their own.
    Every probe draws other games: the same again would agree with each other, and not with the
    next ones. The last ones are those of ``seed`` itself, of which no probe is. The same ``seed``
    plays the same.
    """
    found: list[WinShare] = []
    for _ in range(probes):
        for want in wanted:
            level = estimate_level(found, want)
            found.append(_mark(play, level, probe_games, seed + 1 + len(found)))
            yield found[-1]
    for want in wanted:
        yield _mark(play, estimate_level(found, want), games, seed)


def estimate_level(probes: Sequence[WinShare], want: float) -> float:
    """Return the level, to a tenth, where the share is expected to be ``want``; 50 of no probes."""
    at = BEST / 2
    for _ in range(4 if probes else 0):
        height, slope = _line(probes, at)
        step = (_logit(want) - height) / slope
        at = min(max(at + min(max(step, -STEP), STEP), 0.0), BEST)
    return round(at, 1)


def _line(probes: Sequence[WinShare], at: float) -> tuple[float, float]:
    """The logit of the share at level ``at`` and its rise for each level, most likely a posteriori.

    Logistic regression by Newton's method, with a normal prior.
    """
    x = np.array([probe.level for probe in probes]) - at
    share = np.array([probe.share for probe in probes])
    weight = np.array([probe.games for probe in probes]) * np.exp(-0.5 * (x / REACH) ** 2)
    design = np.stack((np.ones_like(x), x))
    prior, precision = np.array([0.0, SLOPE]), np.diag([0.1, SLOPE_ERROR**-2])
    line = prior.copy()
    for _ in range(8):
        guess = 1 / (1 + np.exp(-np.clip(line @ design, -30, 30)))
        pull = design @ (weight * (share - guess)) - precision @ (line - prior)
        curve = (design * (weight * guess * (1 - guess))) @ design.T + precision
        line += np.clip(np.linalg.solve(curve, pull), -2, 2)
    return float(line[0]), max(float(line[1]), SLOPE / 5)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _mark(play: PlayGames, level: float, games: int, seed: int) -> WinShare:
    points = play(level, games, seed)
    return WinShare(level, sum(points) / len(points), len(points))
