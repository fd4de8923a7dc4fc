"""Rows that are kept from training, so that the learner's error on rows it never saw is known.

Of every twenty blocks of 256 rows one is held out. Which one is a function of the blocks' absolute
number and the seed: nothing is stored, and no row is trained on before it is held out. The first
twenty blocks are all trained on, so that early learning loses nothing. Whole blocks, because
neighbouring rows tell of each other; and a start is not drawn when its stack or its n steps touch
a block that is held out.

Shapes: C slots of the ring, B rows of a batch.
"""

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import FIRST, MID, Rows, row_before

BLOCK = 256
"""Rows of a block."""
BLOCKS = 20
"""Of so many blocks one is held out; there is none among the first ones."""
FIRST_HELD_OUT = BLOCKS * BLOCK
"""No row below this one is held out."""
_MOST_OPEN = 1024


class HeldOut:
    """Says which rows are held out, and which starts may therefore not be drawn for training.

    It follows a ring: whether a start may be drawn is worked out once for each row, when the rows
    of its n steps come.
    """

    def __init__(self, seed: int, n_step: int, stack: int = 1) -> None:
        """A transition takes up to ``n_step`` steps; an observation ``stack`` rows."""
        self._seed, self._n_step, self._stack = seed, n_step, stack
        self._barred: NDArray[np.bool_] = np.zeros(0, np.bool_)  # (C,)
        self._seen = 0
        self._open: NDArray[np.int64] = np.zeros(0, np.int64)  # rows whose n steps may go on

    def blocks(self, lo: int, hi: int) -> list[int]:
        """Return the first rows of the held-out blocks that [lo, hi) touches."""
        groups = range(max(1, lo // FIRST_HELD_OUT), hi // FIRST_HELD_OUT + 1)
        chosen = (FIRST_HELD_OUT * group + BLOCK * self._choice(group) for group in groups)
        return [row for row in chosen if row < hi and row + BLOCK > lo]

    def barred(self, rows: Rows, lo: int, hi: int) -> NDArray[np.bool_]:
        """Return by slot (C,) which starts in [lo, hi) may not be drawn; valid until the next call.

        A row that they read is held out. What it says of other rows means nothing.
        """
        if hi != self._seen or rows.capacity != len(self._barred):
            self._follow(rows, lo, hi)
        return self._barred

    def _follow(self, rows: Rows, lo: int, hi: int) -> None:
        """Take note of the rows that have come. Only a held-out one bars those before it."""
        if rows.capacity != len(self._barred) or hi < self._seen:
            self._barred, self._seen = np.zeros(rows.capacity, np.bool_), lo  # another ring
            self._open = self._open[:0]
        new = np.arange(max(lo, self._seen), hi)
        blocks = self.blocks(max(lo, self._seen), hi)
        self._barred[new % rows.capacity] = False
        self._open = np.concatenate([self._open, new])
        if blocks or len(self._open) > _MOST_OPEN:
            self._look_ahead(rows, lo, hi)
        if self._stack > 1:
            self._look_back(rows, new, lo)
        self._seen = hi

    def _look_ahead(self, rows: Rows, lo: int, hi: int) -> None:
        """Bar the open rows whose n steps reach a held-out row; close those that end here."""
        start = at = self._open[self._open >= lo]
        barred, steps = self._held(start), np.zeros(len(start), np.intp)
        for _ in range(self._n_step):
            after = rows.next[at % rows.capacity]
            goes_on = (after > at) & (after < hi)
            at, steps = np.where(goes_on, after, at), steps + goes_on
            barred |= self._held(at)
        self._barred[start % rows.capacity] |= barred
        self._open = start[(steps < self._n_step) & (rows.kind[at % rows.capacity] <= MID)]

    def _look_back(self, rows: Rows, row: NDArray[np.int64], lo: int) -> None:
        """Bar the rows that are stacked with a held-out one."""
        at, barred = row, self._held(row)
        for _ in range(self._stack - 1):
            slot = at % rows.capacity
            before = row_before(rows, slot)
            at = np.where((rows.kind[slot] == FIRST) | (before < lo), at, before)
            barred |= self._held(at)
        self._barred[row % rows.capacity] |= barred

    def _held(self, row: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows (B,) are held out."""
        held = np.zeros(len(row), np.bool_)
        if len(row):
            for first in self.blocks(int(row.min()), int(row.max()) + 1):
                held |= (row >= first) & (row < first + BLOCK)
        return held

    def _choice(self, group: int) -> int:
        """Return which of a group's twenty blocks is held out."""
        packed = struct.pack("<QQ", self._seed, group)
        return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") % BLOCKS
