"""Running mean and variance of everything seen so far.

Shapes: B rows, D features.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.errors import ShapeError

Floats = NDArray[np.float64]

FAR = 1e3
"""A number counts at most so many times what its feature usually is, and never under 1 times."""
LARGEST = 1e18
"""No number counts for more: its square is a finite float32."""


class RunningMoments:
    """Count, mean and sum of squared deviations of rows, merged batch by batch in float64.

    Welford 1962; batches are merged by Chan, Golub & LeVeque 1979, equations 2.1: the result does
    not depend on how the rows were cut into batches, but for rounding, and for numbers that are
    ``FAR`` away. Those are cut, so that a few of them cannot hide all others for ever; a feature
    that grows for good is followed, since what is usual grows with it.
    """

    def __init__(self, features: int) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(features)
        self.squares: Floats = np.zeros(features)

    @property
    def variance(self) -> Floats:
        """The population variance (D,); 1 before there are two rows."""
        return self.squares / self.count if self.count > 1 else np.ones_like(self.mean)

    def merge(self, x: NDArray[Any]) -> None:
        """Take in the rows x (B, D), those with NaN left out. Raises ShapeError."""
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ShapeError("rows to normalise", ("B", len(self.mean)), x.shape)
        if x.size and not np.abs(x).max() <= FAR:
            x = self._cut(x)
        if not len(x):
            return
        mean = x.mean(axis=0, dtype=np.float64)
        away = x - mean
        gap, total = mean - self.mean, self.count + len(x)
        self.squares += np.einsum("bd,bd->d", away, away)
        self.squares += gap * gap * (self.count * len(x) / total)
        self.mean += gap * (len(x) / total)
        self.count = total

    def _cut(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the rows without NaN, and no number beyond ``FAR`` times what is usual."""
        x = x[~np.isnan(x).any(axis=1)].astype(np.float64)
        if not len(x):
            return x
        usual = np.median(np.abs(x), axis=0)
        if self.count:
            usual = np.sqrt(self.squares / self.count + self.mean * self.mean)
        limit = np.minimum(FAR * np.maximum(usual, 1), LARGEST)
        cut: Floats = np.clip(x, -limit, limit)
        return cut

    def get_state(self) -> tuple[Floats, int]:
        """Return (2, D), the mean over the sum of squared deviations, and the count."""
        return np.stack([self.mean, self.squares]), self.count

    def set_state(self, moments: NDArray[Any], count: int) -> None:
        """Continue where ``get_state`` was called. Raises ShapeError."""
        if moments.shape != (2, len(self.mean)):
            raise ShapeError("running moments", (2, len(self.mean)), moments.shape)
        self.mean, self.squares = moments.astype(np.float64)
        self.count = int(count)
