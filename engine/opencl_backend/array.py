"""DeviceArray: a range of a device buffer, read as a shape."""

from math import prod
from typing import Any

import numpy as np

from agentd.engine.backend import Shape
from agentd.engine.errors import ShapeError


class DeviceArray:
    """``size`` numbers of a buffer from number ``first``, row-major. Views share the buffer."""

    __slots__ = ("buffer", "dtype", "first", "shape", "size")

    def __init__(self, buffer: Any, first: int, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.buffer = buffer
        self.first = first
        self.shape = shape
        self.dtype = dtype
        self.size = prod(shape)

    @property
    def start(self) -> int:
        """The first byte's offset."""
        return self.first * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def part(self, first: int, shape: Shape) -> "DeviceArray":
        """Return the numbers from ``first`` on, as ``shape``. Raises ShapeError past the end."""
        if first < 0 or first + prod(shape) > self.size:
            raise ShapeError("view", f"at most {self.size - first} numbers", shape)
        return DeviceArray(self.buffer, self.first + first, shape, self.dtype)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"
