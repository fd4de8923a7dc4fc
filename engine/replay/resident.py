"""A replay ring's observations in a device's own memory: each row is copied there once."""

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend
from agentd.engine.replay.rows import RowFormat, Rows

LEAST_BYTES = 1 << 18
"""Bytes of a batch's observations above which copying them costs more than a further launch."""


class ResidentRows:
    """Mirrors a ring's observations on the device and gathers batches of them there.

    For a batch only its slots are then copied, not 2 B observations.
    """

    def __init__(self, backend: Backend, rows: Rows, batch: int) -> None:
        format = rows.format
        kind = "float" if format.is_float32 else "uint8"
        self._backend = backend
        self._table = backend.empty((rows.capacity, format.features), kind)  # type: ignore[arg-type]
        self._slot = backend.zeros((batch,), "int32")
        self._x = backend.empty((batch, format.features))
        self._gather = backend.gather_rows(self._table, self._slot, self._x)
        self._type = np.dtype(np.float32 if format.is_float32 else np.uint8)
        self._ring, self._seen = 0, 0

    @classmethod
    def of(cls, backend: Backend, rows: Rows, batch: int) -> "ResidentRows | None":
        """Return one where the backend has the room and batches are large, else None.

        The bytes of a row must be the network's input as they are.
        """
        format = rows.format
        if 4 * batch * format.features < LEAST_BYTES or not _is_plain(format):
            return None
        if not backend.holds(rows.obs.nbytes):
            return None
        return cls(backend, rows, batch)

    def take(self, rows: Rows, lo: int, hi: int, slot: NDArray[np.int64]) -> Array:
        """Return the observations (batch, D) in the slots ``slot`` (batch,) of rows [lo, hi).

        On the device, valid until the next call.
        """
        self._follow(rows, lo, hi)
        self._backend.write(self._slot, slot)
        self._gather()
        return self._x

    def _follow(self, rows: Rows, lo: int, hi: int) -> None:
        """Copy the rows written since the last call; all of them when the ring is another one."""
        ring = rows.obs.ctypes.data
        known = ring == self._ring and self._seen <= hi
        at = max(lo, self._seen) if known else lo
        while at < hi:
            slot = at % rows.capacity
            end = min(slot + hi - at, rows.capacity)
            values = rows.obs[slot:end].view(self._type)
            self._backend.write(self._backend.rows(self._table, slot, end), values)
            at += end - slot
        self._ring, self._seen = ring, hi


def _is_plain(format: RowFormat) -> bool:
    """Whether a row's bytes are a network's input as they are: floats, or one tensor of bytes.

    Where an input is made of several rows, or of actions, the host makes it.
    """
    one = len(format.tensors) == 1 and format.tensors[0].dtype == np.uint8
    return format.depth == 1 and (format.is_float32 or one)
