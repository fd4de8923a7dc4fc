"""What the engine's two sides agree on: arrays, slots of a vector, bound ops."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
Host: TypeAlias = NDArray[Any]
"""An array in host memory."""

Step: TypeAlias = Callable[[], object]
"""A bound op: computes into the arrays it was bound to, each time it is called."""

Activation: TypeAlias = Literal[
    "identity", "relu", "leaky_relu", "sigmoid", "tanh", "softplus", "gelu", "exp"
]
Kind: TypeAlias = Literal["float", "int32", "uint32", "uint8"]


class Array(Protocol):
    """Numbers on a backend's device. Only the shape may be asked for."""

    @property
    def shape(self) -> Shape: ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A named part of a flat vector: ``size`` numbers from ``offset``, read as ``shape``."""

    name: str
    offset: int
    shape: Shape

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def end(self) -> int:
        return self.offset + self.size


def float_type(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` if it is float32 or float64; raise ValueError otherwise."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"backend dtype: expected float32 or float64, got {kind}")
    return kind
