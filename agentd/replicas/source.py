"""A replica's ring as its relay reads it: run after run, each row once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.memory.ring_reader import RingReader, TeachRingReader
from agentd.memory.shared_ring import COPIED, RowRun

_TAUGHT = ("obs", "target", "weight")
_NONE: NDArray[np.int32] = np.empty(0, np.int32)


class RowSource:
    """Reads a ring from ``at`` on. lost: rows that were written over before they were read."""

    def __init__(self, reader: RingReader) -> None:
        self.at = self.lost = 0
        self._reader = reader
        self._taught = isinstance(reader, TeachRingReader)
        names = _TAUGHT if self._taught else (*COPIED, "elapsed")
        self._names = [name for name in names if name in reader.columns]
        self._last: NDArray[np.int64] = np.full(64, -1, np.int64)  # newest row read of each stream

    def seek(self, at: int) -> None:
        """Go on with row ``at``; the rows before it that are there stay known.

        From 0 on it is a new ring's beginning, however old the ring is: nothing was lost.
        """
        self.at = at = at or self._reader.oldest
        self._last[:] = -1
        lo = min(self._reader.oldest, at)
        if not self._taught and lo < at and (found := self._reader.copy(lo, at, ["stream"])):
            self._note(found["stream"], np.arange(lo, at))

    def next_run(self, most: int) -> RowRun | None:
        """Return the next rows, at most ``most``; None when there are none."""
        if self.at < (oldest := self._reader.oldest):
            self.lost += oldest - self.at
            self.at = oldest
        lo, hi = self.at, min(self._reader.head, self.at + most)
        if lo >= hi:
            return None
        found = self._reader.copy(lo, hi, self._names if self._taught else [*self._names, "next"])
        if found is None:  # written over meanwhile: what is lost is counted the next time
            return None
        self.at = hi
        if self._taught:
            return RowRun(lo, found, np.full(hi - lo, -1), _NONE, _NONE.astype(np.uint8))
        return self._linked(lo, hi, found)

    def _linked(self, lo: int, hi: int, found: dict[str, NDArray[Any]]) -> RowRun:
        after, row = found.pop("next"), np.arange(lo, hi)
        before = np.full(hi - lo, -1, np.int64)
        inside = (after >= lo) & (after < hi)
        before[after[inside] - lo] = row[inside]
        stream, first = np.unique(found["stream"], return_index=True)
        self._grow(int(stream[-1]) + 1)
        last, columns = self._last[stream], self._reader.columns
        slot = last % len(columns["next"])
        joined = (last >= self._reader.oldest) & (columns["next"][slot] == lo + first)
        before[first[joined]] = last[joined]
        order = np.argsort(first[joined])  # in the order of the rows that follow
        slot = slot[joined][order]
        action, explored = columns["action"][slot], columns["explored"][slot]
        self._note(found["stream"], row)
        return RowRun(lo, found, before, action, explored)

    def _note(self, stream: NDArray[np.uint32], row: NDArray[np.int64]) -> None:
        self._grow(int(stream.max()) + 1)
        self._last[stream] = row

    def _grow(self, streams: int) -> None:
        more = streams - len(self._last)
        if more > 0:
            self._last = np.concatenate([self._last, np.full(max(more, len(self._last)), -1)])
