"""What was legal in the last row of every stream: what a game may say to have played there."""

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.schema import Schema

_ALL = 0xFF


class LastMasks:
    """The mask bits of each stream slot's newest row; ``bits`` is None while there was no mask.

    bits  (slots, ceil(A / 8)) uint8, the highest bit of a byte first, as in the ring
    """

    def __init__(self, schema: Schema) -> None:
        self._width = (schema.n_actions + 7) // 8
        self._slots = 64
        self.bits: NDArray[np.uint8] | None = None

    def grow(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        if slots > self._slots:
            more = max(slots, 2 * self._slots) - self._slots
            self._slots += more
            if self.bits is not None:
                self.bits = np.concatenate([self.bits, self._all_legal(more)])

    def note(self, stream: NDArray[np.int64], mask: NDArray[np.uint8] | None) -> None:
        """Remember the masks (N, A) of rows; of a stream that comes twice the later one counts."""
        if mask is not None:
            self._made()[stream] = np.packbits(mask, axis=1)
        elif self.bits is not None:
            self.bits[stream] = _ALL

    def restore(self, base: int, bits: NDArray[np.uint8]) -> None:
        """Put back what the slots from ``base`` on had, as the ring holds it; 0 is no mask."""
        own = np.where(bits.any(axis=1, keepdims=True), bits, _ALL)
        self._made()[base : base + len(bits)] = own

    def _made(self) -> NDArray[np.uint8]:
        if self.bits is None:
            self.bits = self._all_legal(self._slots)
        return self.bits

    def _all_legal(self, slots: int) -> NDArray[np.uint8]:
        return np.full((slots, self._width), _ALL, np.uint8)
