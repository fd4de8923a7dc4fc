"""Ops that leave most numbers alone: dropout's masks and sums of embedding rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import add, copyto, dot, greater_equal, less, multiply

from agentd.engine.backend import Shape, Step
from agentd.engine.errors import ShapeError
from agentd.engine.numpy_backend.memory import MemoryOps, Nd

_DENSE_ROWS = 4096
"""Up to so many table rows a bag is a multi-hot row, and the sum one BLAS product."""

_NONE = np.empty(0, np.intp)
_GOLDEN = 0x9E3779B9
_MIX = ((16, 0x7FEB352D), (15, 0x846CA68B))


class SparseOps(MemoryOps):
    """Masks come from a hash of position and key: the same on every backend, and replayable."""

    def __init__(self, dtype: Any = np.float32, *, rowwise: bool = False) -> None:
        super().__init__(dtype, rowwise=rowwise)
        self._touched: dict[tuple[int, Shape], Nd] = {}  # gradient tables: rows that are not zero

    def dropout(self, x: Nd, rate: float, key: Callable[[], int], y: Nd, factor: Nd) -> Step:
        start = np.arange(x.size, dtype=np.uint32) * np.uint32(_GOLDEN)
        hashed, shifted = np.empty_like(start), np.empty_like(start)
        keep, flat = np.empty(x.shape, np.bool_), hashed.reshape(x.shape)
        threshold = np.array(min(round(rate * 2**32), 2**32 - 1), np.uint32)
        scale = self.scalar(1 / (1 - rate))

        def step() -> None:
            add(start, np.uint32(key()), hashed)
            _mix(hashed, shifted)
            greater_equal(flat, threshold, keep)
            multiply(keep, scale, factor)
            multiply(x, factor, y)

        return step

    def embedding_bag(self, index: Nd, table: Nd, y: Nd) -> Step:
        rows = len(table)
        if rows <= _DENSE_ROWS:
            hot, set_hot = self._multi_hot(index, rows)

            def dense() -> None:
                set_hot()
                dot(hot, table, y)

            return dense
        parts = self.empty((index.shape[1], *y.shape))
        at, off = np.empty(index.shape[::-1], np.intp), np.empty(index.shape[::-1], np.bool_)
        take, reduce = table.take, add.reduce

        def gather() -> None:
            _check_index(index, rows)
            less(index.T, 0, off)
            copyto(at, index.T)
            take(at, 0, parts, "wrap")
            copyto(parts, 0, where=off[:, :, None])
            reduce(parts, 0, None, y)

        return gather

    def embedding_bag_backward(self, index: Nd, dy: Nd, dtable: Nd) -> Step:
        rows = len(dtable)
        if rows <= _DENSE_ROWS:
            hot, set_hot = self._multi_hot(index, rows)
            left = hot.T

            def dense() -> None:
                set_hot()
                dot(left, dy, dtable)

            return dense
        touched, place = self._touched, (dtable.ctypes.data, dtable.shape)
        owner = np.repeat(np.arange(len(index)), index.shape[1])

        def scatter() -> None:
            dtable[touched.pop(place, _NONE)] = 0
            flat = index.reshape(-1)
            order = np.argsort(flat, kind="stable")
            order = order[np.searchsorted(flat[order], 0) :]
            if not order.size:
                return
            hit = flat[order]
            starts = np.flatnonzero(np.diff(hit, prepend=-1))
            touched[place] = hit[starts].astype(np.intp)
            dtable[touched[place]] = add.reduceat(dy[owner[order]], starts, 0)

        return scatter

    def _multi_hot(self, index: Nd, rows: int) -> tuple[Nd, Step]:
        """Return H (B, V) and the step that sets H[b, v] to how often v is in bag b."""
        hot = self.zeros((len(index), rows + 1))  # the last column takes the negative indices
        base = np.arange(len(index))[:, None] * (rows + 1)
        at, flat, one = np.empty(index.shape, np.intp), hot.reshape(-1), self.scalar(1)
        negative = np.empty(index.shape, np.bool_)
        columns = [at[:, n] for n in range(index.shape[1])]

        def step() -> None:
            _check_index(index, rows)
            hot.fill(0)
            copyto(at, index)
            less(index, 0, negative)
            copyto(at, rows, where=negative)
            add(at, base, at)
            for column in columns:  # one index of each bag at a time: no duplicates within a call
                flat[column] += one

        return hot[:, :rows], step


def _mix(h: Nd, t: Nd) -> None:
    """Scramble uint32 numbers, in place; ``t`` is scratch (Wellons' lowbias32)."""
    for shift, factor in _MIX:
        np.right_shift(h, np.uint32(shift), t)
        np.bitwise_xor(h, t, h)
        multiply(h, np.uint32(factor), h)
    np.right_shift(h, np.uint32(16), t)
    np.bitwise_xor(h, t, h)


def _check_index(index: Nd, rows: int) -> None:
    top = index.max(initial=-1)
    if top >= rows:
        raise ShapeError("embedding index", f"below {rows}", int(top))
