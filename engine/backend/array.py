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


def in_order(first: Step, second: Step) -> Step:
    """Return a step that runs ``first``, then ``second``."""

    def both() -> None:
        first()
        second()

    return both


def nothing() -> None:
    """Be a step that computes nothing."""


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


@dataclass(frozen=True, slots=True)
class Window:
    """How a kernel slides over images (B, height, width, channels).

    Pairs are (down, across): ``kernel`` its size, ``stride`` its step, ``padding`` the border of
    zeros (or of nothing, for pools) on both sides.
    """

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    @property
    def out_height(self) -> int:
        return (self.height + 2 * self.padding[0] - self.kernel[0]) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        return (self.width + 2 * self.padding[1] - self.kernel[1]) // self.stride[1] + 1

    @property
    def taps(self) -> int:
        """Numbers under one position of the kernel: K."""
        return self.kernel[0] * self.kernel[1] * self.channels


def float_type(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` if it is float32 or float64; raise ValueError otherwise."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"backend dtype: expected float32 or float64, got {kind}")
    return kind
