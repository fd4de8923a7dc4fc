"""Products of whole numbers in NumPy, exact: float32 holds every whole number up to 2^24.

NumPy multiplies matrices of integers one number at a time. So the whole numbers are kept in
float32, where BLAS multiplies them, in pieces of so few inputs that no sum can reach 2^24; the
pieces are added up in int32.

Shapes: B rows, K inputs, N outputs.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy import add, divide, maximum, minimum, multiply, rint, subtract
from numpy.typing import NDArray

from agentd.engine.backend import Step
from agentd.engine.quantization.rounding import Floats, Int8Matrix

LEVELS = 255
"""Inputs are whole numbers of 0 to 255, less the one that stands for 0."""
_EXACT = 1 << 24
_TINY = np.float32(1e-30)


class InputRange(NamedTuple):
    """What an input's whole numbers mean: value = (number - zero) * scale, number in 0..255."""

    scale: np.float32
    zero: int

    def round(self, x: Floats) -> None:
        """Make x what its whole numbers mean, in place."""
        x[...] = np.clip(rint(x / self.scale), -self.zero, LEVELS - self.zero) * self.scale


def range_of(low: float, high: float) -> InputRange:
    """Return the range that holds ``low`` to ``high`` and 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max((high - low) / LEVELS, float(_TINY)))
    return InputRange(scale, int(np.rint(np.float32(-low) / scale)))


class IntMatrix:
    """An int8 matrix as BLAS takes it, and where it is cut so that every sum is exact."""

    def __init__(self, matrix: Int8Matrix) -> None:
        self.ints = np.empty(matrix.ints.shape, np.float32)
        self.scale = np.empty(matrix.scale.shape, np.float32)
        self.parts: list[slice] = []
        self.load(matrix)

    def load(self, matrix: Int8Matrix) -> None:
        """Take other weights of the same shape, in place."""
        self.ints[...] = matrix.ints
        self.scale[...] = matrix.scale
        self.parts[:] = exact_parts(matrix.ints)


def exact_parts(ints: NDArray[np.int8]) -> list[slice]:
    """Return the inputs (K,) in pieces over which no output's sum can reach 2^24."""
    k, sizes = len(ints), np.abs(ints.astype(np.int64))
    parts, begun, sums = [], 0, np.zeros(ints.shape[1], np.int64)
    for at in range(k):
        sums += LEVELS * sizes[at]
        if sums.max(initial=0) >= _EXACT:
            parts.append(slice(begun, at))
            begun, sums = at, LEVELS * sizes[at]
    return [*parts, slice(begun, k)]


def bind_product(x: Any, matrix: IntMatrix, b: Any, y: Any, known: InputRange | None) -> Step:
    """Return the step that computes y = x @ matrix + b with x (B, K) rounded to 8 bits.

    ``known`` is the range of x; without one each row has its own, by its smallest and largest.
    """
    whole = np.empty(x.shape, np.float32)
    column: Any = np.empty((len(x), 1), np.float32) if known is None else known.scale
    rounding = _own_range(x, whole, column) if known is None else _one_range(x, whole, known)
    sums, piece = np.empty(y.shape, np.int32), np.empty(y.shape, np.float32)

    def step() -> None:
        rounding()
        ints, parts = matrix.ints, matrix.parts
        if len(parts) == 1:
            whole.dot(ints, y)
        else:
            sums.fill(0)
            for part in parts:
                np.dot(whole[:, part], ints[part], piece)
                add(sums, piece, sums, casting="unsafe")
            np.copyto(y, sums)
        multiply(y, column, y)
        multiply(y, matrix.scale, y)
        if b is not None:
            add(y, b, y)

    return step


def _one_range(x: Any, whole: Floats, known: InputRange) -> Step:
    scale, low, high = known.scale, np.float32(-known.zero), np.float32(LEVELS - known.zero)

    def step() -> None:
        divide(x, scale, whole)
        rint(whole, whole)
        maximum(whole, low, out=whole)
        minimum(whole, high, out=whole)

    return step


def _own_range(x: Any, whole: Floats, column: Floats) -> Step:
    low, high = np.empty_like(column), np.empty_like(column)

    def step() -> None:
        minimum.reduce(x, axis=1, out=low, keepdims=True, initial=0)
        maximum.reduce(x, axis=1, out=high, keepdims=True, initial=0)
        subtract(high, low, column)
        divide(column, np.float32(LEVELS), column)
        maximum(column, _TINY, out=column)
        divide(x, column, whole)
        rint(whole, whole)
        divide(low, column, low)
        rint(low, low)  # less the number that stands for 0
        add(low, np.float32(LEVELS), high)
        maximum(whole, low, out=whole)
        minimum(whole, high, out=whole)

    return step
