"""Memory: aligned arrays, views and copies."""

from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy import add, copyto, multiply, subtract

from agentd.engine.backend import Host, Kind, Shape, Slot, Step, float_type
from agentd.engine.errors import ShapeError

Nd: TypeAlias = Any
"""An ndarray; the Protocol's ``Array`` at the border, where only the shape is promised."""

_ALIGN = 64  # one AVX-512 register, one cache line: NumPy's own 16 costs its loops up to a third


def aligned(shape: Shape, dtype: np.dtype[Any]) -> Host:
    """Return an undefined array whose first byte lies on a cache line."""
    size = prod(shape) * dtype.itemsize
    raw = np.empty(size + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + size].view(dtype).reshape(shape)


class MemoryOps:
    """Arrays of one float type, and the scalars that bound ops share."""

    name = "numpy"

    def __init__(self, dtype: Any = np.float32, *, rowwise: bool = False) -> None:
        """With ``rowwise`` a row's outputs are the same bits whatever rows stand beside it.

        That holds for the layers' forward ops, and costs time: BLAS computes small products.
        """
        self.dtype, self.rowwise = float_type(dtype), rowwise
        self._kinds: dict[Kind, np.dtype[Any]] = {
            "float": self.dtype,
            "int32": np.dtype(np.int32),
            "uint32": np.dtype(np.uint32),
            "uint8": np.dtype(np.uint8),
        }
        self._zeros: Host = self.zeros((1,))

    def empty(self, shape: Shape, kind: Kind = "float") -> Nd:
        return aligned(shape, self._kinds[kind])

    def zeros(self, shape: Shape, kind: Kind = "float") -> Nd:
        new = aligned(shape, self._kinds[kind])
        new.fill(0)
        return new

    def asarray(self, host: Host) -> Nd:
        source = np.asarray(host)
        new = aligned(source.shape, self.dtype if source.dtype.kind == "f" else source.dtype)
        copyto(new, source)
        return new

    def to_host(self, array: Nd) -> Host:
        return np.array(array)

    def write(self, array: Nd, source: Nd) -> None:
        if source.shape != array.shape:
            raise ShapeError("write", array.shape, source.shape)
        copyto(array, source, "unsafe")

    def view(self, vector: Nd, slot: Slot) -> Nd:
        return vector[slot.offset : slot.end].reshape(slot.shape)

    def rows(self, array: Nd, start: int, stop: int) -> Nd:
        return array[start:stop]

    def reshape(self, array: Nd, shape: Shape) -> Nd:
        view = array.reshape(shape)
        if array.size and not np.may_share_memory(view, array):
            raise ShapeError("reshape without a copy", array.shape, shape)
        return view

    def copy(self, x: Nd, y: Nd) -> Step:
        return lambda: copyto(y, x)

    def fill(self, y: Nd, value: float) -> Step:
        return lambda: y.fill(value)

    def add(self, x: Nd, y: Nd) -> Step:
        return lambda: add(y, x, y)

    def add_row(self, row: Nd, y: Nd) -> Step:
        return lambda: add(y, row, y)

    def multiply(self, x: Nd, y: Nd) -> Step:
        return lambda: multiply(x, y, y)

    def holds(self, nbytes: int) -> bool:
        return False

    def gather_rows(self, table: Nd, slot: Nd, out: Nd) -> Step:
        if table.dtype == out.dtype:
            return lambda: table.take(slot, 0, out, "clip")
        raw = np.empty(out.shape, table.dtype)

        def step() -> None:
            table.take(slot, 0, raw, "clip")
            copyto(out, raw)

        return step

    def blend(self, x: Nd, y: Nd, weight: float) -> Step:
        scratch, share = self.empty(y.shape), self.scalar(weight)

        def step() -> None:
            subtract(x, y, scratch)
            multiply(scratch, share, scratch)
            add(y, scratch, y)

        return step

    def scalar(self, value: float) -> Nd:
        """Return a 0-d array: NumPy converts a Python number anew on every call."""
        return np.array(value, self.dtype)

    def zeros_like(self, array: Nd) -> Nd:
        """Return zeros shared by all ops; comparing with full arrays keeps ufuncs vectorised."""
        if self._zeros.size < array.size:
            self._zeros = self.zeros((array.size,))
        return self._zeros[: array.size].reshape(array.shape)
