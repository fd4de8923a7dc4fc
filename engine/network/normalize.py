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
from agentd.engine.errors import ModelError
from agentd.engine.layers import Normalize
from agentd.engine.layers.layer import tag_of
from agentd.engine.network.network import Network
from agentd.engine.rules.moments import RunningMoments

Floats = NDArray[np.float64]

_MOST = float(np.finfo(np.float32).max)


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
