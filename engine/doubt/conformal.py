"""Split conformal sets: the classes of which one is right in a share of rows that was asked for.

The score of a class is -ln p. Its quantile over held-out rows bounds what comes into a set (Vovk et
al. 2005; Sadinle, Lei & Wasserman 2019, arXiv:1609.00451). The promise holds on average over rows
that are exchangeable with the held-out ones, whatever the network; on other data there is none.
"""

from math import ceil

import numpy as np
from numpy.typing import NDArray

from agentd.engine.doubt.answers import Floats
from agentd.engine.errors import EngineError


class TooFewRows(EngineError):
    """Raised when so few held-out rows cannot promise the coverage."""


def set_threshold(log_p: Floats, labels: NDArray[np.int64], coverage: float) -> float:
    """Return the largest score that comes into a set: of N held-out rows the ⌈(N + 1) c⌉-th least.

    ``coverage`` c is in (0, 1). Raises TooFewRows where N < c / (1 - c).
    """
    rows = len(labels)
    rank = ceil((rows + 1) * coverage - 1e-9)  # 0.9 * 10 is 9, not a hair above
    if rank > rows:
        needed = ceil(coverage / (1 - coverage) - 1e-9)
        raise TooFewRows(f"coverage {coverage:g}: expected at least {needed} rows, got {rows}")
    scores = -log_p[np.arange(rows), labels]
    return float(np.partition(scores, rank - 1)[rank - 1])


def prediction_sets(log_p: Floats, threshold: float) -> NDArray[np.bool_]:
    """Return which classes are in each row's set, (N, K). A set may be empty: none fits well."""
    found: NDArray[np.bool_] = -log_p <= threshold
    return found
