"""Running normalisation: mean and variance of everything seen so far, and who keeps them.

The statistics of a network's input live behind its trainable parameters, where the ``normalize``
layer reads them: they are published, saved and exported with the weights, so that whoever acts
normalises exactly as the learner does. Their exact float64 originals are the learner's.

Shapes: B rows, D features.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host
from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import Normalize
from agentd.engine.layers.layer import tag_of
from agentd.engine.network.network import Network

Floats = NDArray[np.float64]

FAR = 1e3
"""A number counts at most so many times what its feature usually is, and never under 1 times."""
LARGEST = 1e18
"""No number counts for more: its square is a finite float32."""
_MOST = float(np.finfo(np.float32).max)


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


def refuse_normalize(network: Network) -> None:
    """Raise ModelError for a ``normalize`` layer where nobody would move its statistics."""
    if any(isinstance(layer, Normalize) for layer in network.specs):
        raise ModelError(
            "normalize: only learners of games keep its statistics; training from data normalises "
            "the data itself"
        )


class InputStatistics:
    """Keeps a network's ``normalize`` layer up to date with the observations that were seen.

    Does nothing, and is False, for a network without one.
    """

    def __init__(self, network: Network, backend: Backend) -> None:
        self._backend = backend
        slots = [slot for slot in network.slots if f".{tag_of(Normalize())}." in slot.name]
        self._slots = slots[:2]
        self._moments = RunningMoments(slots[0].size if slots else 0)
        self._host = np.stack([self._moments.mean, self._moments.variance]).astype(np.float32)

    def __bool__(self) -> bool:
        return bool(self._slots)

    def observe(self, params: Array, x: Host) -> None:
        """Take in observations x (B, ...); move the layer's statistics in ``params``, in place."""
        if not self._slots or not len(x):
            return
        self._moments.merge(x.reshape(-1, len(self._moments.mean)))
        self._host[0] = np.clip(self._moments.mean, -_MOST, _MOST)
        self._host[1] = np.minimum(self._moments.variance, _MOST)  # what an older agent may hold
        self.write(params)

    def write(self, params: Array) -> None:
        """Put the statistics of the last ``observe`` into other parameters, in place."""
        for slot, values in zip(self._slots, self._host, strict=True):
            self._backend.write(self._backend.view(params, slot), values)

    def get_state(self) -> tuple[dict[str, Host], dict[str, Any]]:
        """Return arrays and JSON values to keep; none without a ``normalize`` layer."""
        if not self._slots:
            return {}, {}
        moments, count = self._moments.get_state()
        return {"input.moments": moments}, {"observed": count}

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue where ``get_state`` was called. Raises KeyError, ShapeError."""
        if self._slots:
            self._moments.set_state(arrays["input.moments"], scalars["observed"])
