"""The ring of a learner that several daemons share: runs of rows out of their rings.

A row keeps two facts of its origin: ``session`` is the serial of the ring that it comes from, and
``seq`` its absolute index there. So how far each of them has come is committed with the rows
themselves: after a kill no row is taken twice, and none that was taken is missing.

Shapes: N rows of a run, M of them the first of their stream in it, C physical slots.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import TERMINATED
from agentd.memory.mapped_file import RingCounters
from agentd.memory.replay_ring import ReplayRing

MOST_REPLICAS = 64
"""Their streams lie between each other's: stream s of replica r is number s * 64 + r."""
COPIED = ("obs", "mask_bits", "action", "reward", "kind", "explored", "stream", "version")
"""Columns that are taken as they are, ``stream`` but for its number."""


class RowRun(NamedTuple):
    """Rows [lo, lo + N) of a replica's ring.

    columns  name -> (N, …), those of `COPIED` and ``elapsed`` where the layout has it
    before   (N,) int64: index, in the replica's ring, of the row before in its episode, or -1
    action   (M, branches) int32 and explored (M,) uint8: what was really played in the rows
             ``before`` that lie below ``lo``, in the order of the rows that follow them
    """

    lo: int
    columns: dict[str, NDArray[Any]]
    before: NDArray[np.int64]
    action: NDArray[np.int32]
    explored: NDArray[np.uint8]

    @property
    def hi(self) -> int:
        """Index of the row after the last."""
        return self.lo + len(self.before)


class SharedRing(ReplayRing):
    """The one writer of such a ring."""

    def take_up(self) -> None:
        """Continue every episode that is open in the ring: after opening it."""
        at = np.arange(self.oldest, self.head)
        if not len(at):
            return
        slot, column = at % self.physical, self.columns
        stream = column["stream"][slot].astype(np.int64)
        self.reserve_streams(int(stream.max()) + 1)
        self._last[stream] = np.where(column["kind"][slot] >= TERMINATED, -1, at)

    def append_run(self, replica: int, serial: int, run: RowRun) -> None:
        """Write and commit a run of at most ``max_append`` rows.

        A row whose predecessor is not in the ring any more begins anew, as after a cut. Raises
        StorageError when the disk is full; nothing has changed then.
        """
        n, head, column = len(run.before), self.head, self.columns
        stream = run.columns["stream"].astype(np.int64) * MOST_REPLICAS + replica
        self.reserve_streams(int(stream.max()) + 1)
        seq = np.arange(run.lo, run.hi, dtype=np.uint64)
        own: dict[str, NDArray[Any]] = {
            "stream": stream,
            "seq": seq,
            "session": np.full(n, serial, np.uint32),
        }
        for to, of in self._room(n):
            for name, values in {**run.columns, **own}.items():
                column[name][to] = values[of]
            for name in ("next", "prev")[: 1 + self.layout.backwards]:
                column[name][to] = -1
        row = head + np.arange(n)
        inside = run.before >= run.lo
        self._join(row[inside], head + run.before[inside] - run.lo)
        self._join_older(serial, run, row, stream)
        ended = run.columns["kind"] >= TERMINATED
        self._last[stream] = np.where(ended, -1, row)
        self._count_rows(n, int(ended.sum()), bool(run.columns["mask_bits"].any()))

    def _join_older(
        self, serial: int, run: RowRun, row: NDArray[np.int64], stream: NDArray[np.int64]
    ) -> None:
        """Join a run to the rows that came before it, put right by what was really played there."""
        column, outside = self.columns, (run.before >= 0) & (run.before < run.lo)
        last = self._last[stream[outside]]
        slot = last % self.physical
        same = (last >= max(0, self.head + len(row) - self.physical)) & (
            (column["seq"][slot] == run.before[outside]) & (column["session"][slot] == serial)
        )
        column["action"][slot[same]] = run.action[same]
        column["explored"][slot[same]] = run.explored[same]
        self._join(row[outside][same], last[same])

    def _join(self, row: NDArray[np.int64], before: NDArray[np.int64]) -> None:
        self.columns["next"][before % self.physical] = row
        if self.layout.backwards:
            self.columns["prev"][row % self.physical] = before

    def _count_rows(self, n: int, ended: int, masked: bool) -> None:
        c = self.counters
        since = c.head if c.masks_since < 0 and masked else c.masks_since
        self._counters = RingCounters(
            c.head + n, c.env_steps + n - ended, c.episodes + ended, c.return_sum, since
        )
        self._file.commit.write(self._counters)
