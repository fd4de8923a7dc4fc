"""How well a number ranks rows by doubt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def auroc(low: NDArray[Any], high: NDArray[Any]) -> float | None:
    """Return how often a number of ``high`` (M,) is above one of ``low`` (N,); a tie counts half.

    That is the area under the curve of true against false alarms. 0.5 ranks nothing. None where
    either is empty.
    """
    if not len(low) or not len(high):
        return None
    _, at, counts = np.unique(np.concatenate([low, high]), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of equal numbers, from 1
    found = ranks[at[len(low) :]].sum() - len(high) * (len(high) + 1) / 2
    return float(found / (len(low) * len(high)))


def accuracy_kept(
    right: NDArray[np.bool_], doubt: NDArray[Any], shares: Sequence[float]
) -> list[float]:
    """Return the accuracy over each share of the rows, those with the most doubt left out.

    right, doubt (N,), N at least 1; shares in (0, 1], at least one row of each is kept.
    """
    sums = np.cumsum(right[np.argsort(doubt, kind="stable")])
    kept = [max(1, round(share * len(right))) for share in shares]
    return [float(sums[n - 1] / n) for n in kept]
