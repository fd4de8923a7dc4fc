"""Temperature scaling, and how far probabilities are from what happens (Guo et al. 2017).

On Calibration of Modern Neural Networks, arXiv:1706.04599.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.engine.doubt.answers import Floats

COLDEST, HOTTEST = 1e-2, 1e2
_HALVINGS = 60


def soften(logits: Floats, temperature: float) -> Floats:
    """Return the logarithms (N, K) of softmax(logits / T)."""
    z = logits / temperature
    z = z - z.max(axis=1, keepdims=True)
    softened: Floats = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return softened


def find_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """Return the temperature in [0.01, 100] that makes ``labels`` (N,) likeliest, N at least 1.

    The likelihood is concave in 1 / T; its slope Σ z_label - E[z] is halved to 0.
    """
    told = logits[np.arange(len(labels)), labels].sum()
    low, high = np.log(COLDEST), np.log(HOTTEST)  # of T: the slope falls as 1 / T grows
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        softened = soften(logits, float(np.exp(middle)))
        with np.errstate(invalid="ignore"):
            expected = np.exp(softened) * logits
        if told > np.where(softened == -np.inf, 0, expected).sum():
            high = middle
        else:
            low = middle
    return float(np.exp((low + high) / 2))


def calibration_error(log_p: Floats, labels: NDArray[np.int64], bins: int = 15) -> float:
    """Return the expected calibration error in [0, 1]: |accuracy - confidence|, row by row in bins.

    Rows fall into ``bins`` equal parts of (0, 1] by their highest probability (equation 3).
    """
    confidence = np.exp(log_p.max(axis=1))
    right = log_p.argmax(axis=1) == labels
    at = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(at, right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))
