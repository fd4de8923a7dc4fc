"""What a set of returns says: mean, median, interquartile mean, and how sure one may be of it.

Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv:2108.13264): the interquartile mean (IQM) is steadier than the mean and less blind than the
median, and a percentile bootstrap says what another draw of the same size could have given.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
TRIMMED = 0.25  # share of the values that the IQM leaves out at each end


@dataclass(frozen=True)
class Scores:
    """Returns of episodes played without exploration, or one score a seed.

    Figures of no values are NaN.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean."""
        return statistics.fmean(self.values) if self.values else math.nan

    @property
    def std(self) -> float:
        """Population standard deviation."""
        return statistics.pstdev(self.values) if self.values else math.nan

    @property
    def median(self) -> float:
        """Median."""
        return statistics.median(self.values) if self.values else math.nan

    @property
    def iqm(self) -> float:
        """Interquartile mean."""
        return float(iqm(np.array([self.values]))[0]) if self.values else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the IQM's 95 % bootstrap interval; the same values give the same bounds."""
        return bootstrap(self.values)

    @property
    def record(self) -> dict[str, float | None]:
        """The figures as JSON writes them; None of no values."""
        low, high = self.interval
        figures = {
            "greedy_mean": self.mean,
            "greedy_std": self.std,
            "greedy_median": self.median,
            "greedy_iqm": self.iqm,
            "greedy_iqm_low": low,
            "greedy_iqm_high": high,
        }
        return {
            name: round(value, 4) if value == value else None for name, value in figures.items()
        }

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.std:.1f} over {len(self.values)} episodes"

    def explain(self) -> str:
        """Median, IQM and its interval in words."""
        low, high = self.interval
        return f"median {self.median:.2f}, IQM {self.iqm:.2f} [{low:.2f}, {high:.2f}]"


def iqm(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row's middle half, (R,), of ``values`` (R, n).

    A quarter of the values, rounded down, is left out at each end.
    """
    cut = int(TRIMMED * values.shape[1])
    middle: np.ndarray = np.sort(values, axis=1)[:, cut : values.shape[1] - cut]
    return np.asarray(middle.mean(axis=1))


def bootstrap(
    values: Sequence[float], resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap's bounds of the IQM; (NaN, NaN) of no values."""
    if not len(values):
        return math.nan, math.nan
    data = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    found = iqm(data[rng.integers(len(data), size=(resamples, len(data)))])
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
