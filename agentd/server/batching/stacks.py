"""The last rows of every stream, for agents that see several of them as one input.

Shapes: N rows of a batch, K rows of a stack; streams are global slots.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.rows import FIRST


class Stacks:
    """What each stream showed last: K - 1 raw rows, oldest first.

    A learner finds the same rows in the ring by itself (`engine.replay.rows.stacked`).
    """

    def __init__(self, stack: int, row_bytes: int) -> None:
        self.stack = stack
        self._rows: NDArray[np.uint8] = np.zeros((64, stack - 1, row_bytes), np.uint8)

    def grow(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        have, kept, width = self._rows.shape
        if slots > have:
            more = np.zeros((max(slots, 2 * have) - have, kept, width), np.uint8)
            self._rows = np.concatenate([self._rows, more])

    def push(
        self, stream: NDArray[np.int64], kind: NDArray[np.uint8], obs: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Take in rows obs (N, row_bytes); return the stacks that they end, (N K, row_bytes).

        An episode's first row stands for those before it. Of a stream that ends and begins again
        in one batch the later row counts.
        """
        n, width = obs.shape
        stacks = np.empty((n, self.stack, width), np.uint8)
        stacks[:, :-1] = self._rows[stream]
        first = kind == FIRST
        stacks[first, :-1] = obs[first, np.newaxis]
        stacks[:, -1] = obs
        self._rows[stream] = stacks[:, 1:]
        return stacks.reshape(-1, width)

    def restore(self, base: int, rows: NDArray[np.uint8]) -> None:
        """Put back what the slots from ``base`` on showed last, (streams, K - 1, row_bytes)."""
        self._rows[base : base + len(rows)] = rows
