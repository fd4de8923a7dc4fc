"""Memory of a backend, and the ops that move and add numbers."""

from typing import Protocol

from agentd.engine.backend.array import Array, Host, Kind, Shape, Slot, Step


class MemoryOps(Protocol):
    """Arrays come from here; numbers enter with ``asarray`` and leave with ``to_host``."""

    def empty(self, shape: Shape, kind: Kind = "float") -> Array:
        """Return new memory with undefined contents."""

    def zeros(self, shape: Shape, kind: Kind = "float") -> Array:
        """Return new memory full of zeros."""

    def asarray(self, host: Host) -> Array:
        """Return a copy of ``host`` on the device; floats take the backend's float type."""

    def to_host(self, array: Array) -> Host:
        """Return a copy of ``array`` in host memory."""

    def write(self, array: Array, source: Array | Host) -> None:
        """Copy ``source`` of the same shape into ``array`` now, in place; numbers are cast."""

    def view(self, vector: Array, slot: Slot) -> Array:
        """Return ``slot`` of a flat vector as an array that shares its memory."""

    def rows(self, array: Array, start: int, stop: int) -> Array:
        """Return rows [start, stop) of ``array``; the memory is shared."""

    def reshape(self, array: Array, shape: Shape) -> Array:
        """Return ``array`` read as ``shape``; the memory is shared."""

    def copy(self, x: Array, y: Array) -> Step:
        """y = x."""

    def fill(self, y: Array, value: float) -> Step:
        """y = value."""

    def add(self, x: Array, y: Array) -> Step:
        """y += x, in place."""

    def add_row(self, row: Array, y: Array) -> Step:
        """y += row in every row, in place. row (E,), y (R, E)."""

    def multiply(self, x: Array, y: Array) -> Step:
        """y *= x, in place, of one shape."""

    def blend(self, x: Array, y: Array, weight: float) -> Step:
        """y += weight * (x - y), in place: a soft target update, a running mean."""

    def holds(self, nbytes: int) -> bool:
        """Return whether a table of that size belongs into memory of the device's own."""

    def gather_rows(self, table: Array, slot: Array, out: Array) -> Step:
        """out[r] = table[slot[r]]. table (C, D) float or uint8, slot (R,) int32, out (R, D) float.

        Slots are clipped into [0, C).
        """
