"""The replay ring as its writer sees it: rows of many sessions in, one commit per batch.

The serving process writes, the learner process reads (`agentd.memory.ring_reader`). Row i lies in
slot ``i % physical``; of the ``physical = capacity + slack`` slots the newest ``capacity`` may be
sampled, and the slack is room for what is written while a learner still reads older rows.

Shapes: N rows of one batch, C physical slots, A mask width, streams are global slots.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import FIRST, MID, TERMINATED, TRUNCATED
from agentd.memory.layout import RingLayout, default_slack
from agentd.memory.mapped_file import RingCounters, RingFile, kept_slack
from agentd.memory.played import PlayedRows, put_right
from agentd.memory.recall import Answer, find_answer, newest_answers, newest_rows, open_episodes
from agentd.memory.ring_writer import RingWriter

log = logging.getLogger("agentd.replay")

_RECALLED = 64
"""Frames of a reopened session whose answers outlive their rows: its client may be slow to come."""
_NO_REWARDS: NDArray[np.float64] = np.empty(0)


class ReplayRing(RingWriter):
    """The one writer of a replay ring.

    `append` costs about 50 µs for 1,024 small rows. After each append, ``finished`` holds the
    returns of the episodes it ended, in no particular order.
    """

    def __init__(self, file: RingFile, layout: RingLayout, capacity: int, streams: int) -> None:
        """Use `open`."""
        super().__init__(file, capacity)
        self.layout = layout
        self.finished: NDArray[np.float64] = _NO_REWARDS
        self._last = np.full(streams, -1, np.int64)  # newest row of each open stream, or -1
        self._return = np.zeros(streams)
        self._mark = np.zeros(streams, np.int64)
        self._answers: dict[int, dict[int, Answer]] = {}  # of reopened sessions, by serial and seq
        self._count = np.arange(max(4096, self.max_append))
        width = 8 * ((layout.n_actions + 7) // 8)
        self._wide = np.zeros((1024, width), np.uint8)  # mask rows padded to whole bytes

    @classmethod
    def open(
        cls,
        path: Path,
        layout: RingLayout,
        capacity: int,
        *,
        slack: int | None = None,
        streams: int = 4096,
        begin: RingCounters | None = None,
    ) -> Self:
        """Open the ring at ``path``, or create it with counters ``begin`` (an empty one's are 0).

        ``streams`` is how many global stream slots there are room for at first. Streams are
        closed after opening: `reopen` takes up those of a session that lives on.
        Raises RingMismatch when the file holds other rows, StorageError when the disk refuses.
        """
        slack = default_slack(capacity) if slack is None else slack
        slack = kept_slack(path, slack)
        identity, rows = layout.identity(capacity, slack), capacity + slack
        begin = begin or RingCounters()
        file, created = RingFile.open(path, identity, layout.columns, rows, begin)
        if not created:
            _repair(file, capacity)
            void = _void_unsound(file, layout, capacity)
            if void:
                log.warning("replay rows void file=%s rows=%d: damaged", path, void)
        file.begin_writing()
        return cls(file, layout, capacity, streams)

    def reserve_streams(self, streams: int) -> None:
        """Make room for global stream slots below ``streams``."""
        more = streams - len(self._last)
        if more > 0:
            more = max(more, len(self._last))
            self._last = np.concatenate([self._last, np.full(more, -1, np.int64)])
            self._return = np.concatenate([self._return, np.zeros(more)])
            self._mark = np.concatenate([self._mark, np.zeros(more, np.int64)])

    def append(
        self,
        obs: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
        action: NDArray[np.int32],
        reward: NDArray[np.float32],
        kind: NDArray[np.uint8],
        explored: NDArray[np.uint8] | int,
        stream: NDArray[np.int64],
        session: NDArray[np.uint32] | int,
        seq: NDArray[np.uint64] | int,
        version: NDArray[np.uint64] | int,
        elapsed: NDArray[np.float32] | None = None,
        played: PlayedRows | None = None,
        memory: NDArray[np.float32] | None = None,
    ) -> int:
        """Write N validated rows and commit them; return the absolute index of the first.

        obs (N, row_bytes), mask (N, A) bytes 0/1 or None, action (N, branches) with -1 on rows
        that end an episode, reward, kind, stream (N,); explored, session, seq and version are
        (N,) or one number for all; elapsed (N,) nominal steps, above 0, None for one each, and
        memory (N, S), kept where the layout has them. Rows of one stream are in order. A row is
        linked to its stream's previous one unless it is ``first`` or the stream was closed in
        between; that one's action is from now on what ``played`` says. N is at most
        ``max_append``. Raises StorageError when the disk is full, and IndexError on a stream
        without room; nothing has changed then.
        """
        n, head = len(kind), self._counters.head
        took = 1.0 if elapsed is None else elapsed
        values = (action, reward, kind, explored, stream, session, seq, version, took)
        if n == 1 and mask is None and played is None and not self.layout.backwards:
            return self._append_one(obs, values)
        parts = self._room(n)
        self._mark[stream] = self._count[:n]  # the last row of a stream wins
        repeated = self._mark[stream] != self._count[:n]
        rows = (obs, None if mask is None else self._pack(mask), *values, memory)
        for to, of in parts:
            self._write(to, of, rows)
        if played is not None:
            self._put_right(stream[played.row], played, head + n)
        ended = self._link(head, stream, kind, reward, repeated)
        c = self._counters
        self._counters = RingCounters(
            head + n,
            c.env_steps + n - ended,
            c.episodes + ended,
            c.return_sum + float(self.finished.sum()) if ended else c.return_sum,
            head if c.masks_since < 0 and mask is not None else c.masks_since,
        )
        self._file.commit.write(self._counters)
        return head

    def _append_one(self, obs: NDArray[np.uint8], values: Sequence[Any]) -> int:
        """`append` of one row without a mask, in plain numbers: a third of the time."""
        action, reward, kind, explored, stream, session, seq, version, took = values
        c = self._counters
        head, at, one = c.head, int(stream[0]), int(kind[0])
        slot = head % self.physical
        last = int(self._last[at])  # raises IndexError before anything has changed
        gain = 0.0 if one == FIRST else float(reward[0])
        self._file.reserve(slot + 1)
        column = self._file.columns
        column["next"][slot] = -1
        column["obs"][slot] = obs[0]
        column["mask_bits"][slot] = 0
        column["action"][slot] = action[0]
        column["reward"][slot] = gain
        column["kind"][slot] = one
        column["stream"][slot] = at
        column["explored"][slot] = explored if isinstance(explored, int) else explored[0]
        column["session"][slot] = session if isinstance(session, int) else session[0]
        column["seq"][slot] = seq if isinstance(seq, int) else seq[0]
        column["version"][slot] = version if isinstance(version, int) else version[0]
        if self.layout.elapsed:
            column["elapsed"][slot] = took if isinstance(took, float) else took[0]
        total = gain if one == FIRST else float(self._return[at]) + gain
        if one != FIRST and last >= max(0, head + 1 - self.physical):
            column["next"][last % self.physical] = head
        ended = one >= TERMINATED
        self._last[at] = -1 if ended else head
        self._return[at] = total
        self.finished = np.array([total]) if ended else _NO_REWARDS
        self._counters = RingCounters(
            head + 1,
            c.env_steps + 1 - ended,
            c.episodes + ended,
            c.return_sum + total if ended else c.return_sum,
            c.masks_since,
        )
        self._file.commit.write(self._counters)
        return head

    def close_streams(self, streams: NDArray[np.int64] | slice) -> None:
        """Cut the open episodes of these global slots: their last rows get no next row.

        A learner takes such a row for truncated. Nothing is written; see ``since`` of `reopen`.
        """
        self._last[streams] = -1
        self._return[streams] = 0.0

    def reopen(self, base: int, streams: int, session: int, since: int = 0) -> None:
        """Continue the episodes of a session that outlived this process, see `under_way`.

        The session owns slots [base, base + streams). A stream's episode goes on when its newest
        row belongs to the session, is not an ended one and is not older than row ``since`` (the
        head when the session's streams were last closed).
        """
        self.reserve_streams(base + streams)
        columns, oldest, head = self.columns, self.oldest, self.head
        self._answers[session] = newest_answers(columns, oldest, head, session, _RECALLED)
        lo = max(oldest, since)
        streams_at = slice(base, base + streams)
        found = open_episodes(columns, lo, head, session, streams_at)
        self._last[found.stream] = found.row
        self._return[found.stream] = found.total

    def under_way(self, base: int, streams: int) -> NDArray[np.bool_]:
        """Return which of the slots [base, base + streams) have an open episode, (streams,)."""
        open_streams: NDArray[np.bool_] = self._last[base : base + streams] >= 0
        return open_streams

    def recent(self, base: int, streams: int, rows: int) -> NDArray[np.uint8]:
        """Return the newest ``rows`` observations of the slots [base, base + streams).

        (streams, rows, row_bytes), oldest first; a row that there is not is the one after it, as
        in stacks of rows. Those of a closed stream are undefined. The layout must be backwards.
        """
        column = self._file.columns
        at = np.empty((streams, rows), np.int64)
        row = np.maximum(self._last[base : base + streams], 0)
        for i in reversed(range(rows)):
            at[:, i] = row % self.physical
            before, begins = column["prev"][at[:, i]], column["kind"][at[:, i]] == FIRST
            row = np.where(begins | (before < self.oldest), row, before)
        found: NDArray[np.uint8] = column["obs"][at]
        return found

    def newest(self, base: int, streams: int, session: int, rows: int) -> NDArray[np.int64]:
        """Return the newest rows of a session's slots, see `recall.newest_rows`."""
        at = slice(base, base + streams)
        return newest_rows(self.columns, self.oldest, self.head, session, at, rows)

    def masks(self, base: int, streams: int) -> NDArray[np.uint8]:
        """Return the mask bits of the newest rows of the slots [base, base + streams).

        (streams, ceil(A / 8)); all 0 for a row without a mask and for a closed stream.
        """
        last = self._last[base : base + streams]
        bits: NDArray[np.uint8] = self._file.columns["mask_bits"][last % self.physical]
        bits[last < 0] = 0
        return bits

    def answer(self, session: int, seq: int) -> Answer | None:
        """Return what was answered to this frame, or None when the ring has no row of it."""
        found = find_answer(self.columns, self.oldest, self.head, session, seq)
        return found or self._answers.get(session, {}).get(seq)

    def _write(self, to: slice, of: slice, rows: Sequence[Any]) -> None:
        """Copy rows ``of`` the batch into the slots ``to``."""
        obs, bits, action, reward, kind, explored, stream, session, seq, version, took, kept = rows
        column = self._file.columns
        column["next"][to] = -1
        if self.layout.backwards:
            column["prev"][to] = -1
        column["obs"][to] = obs[of]
        column["mask_bits"][to] = 0 if bits is None else bits[of]
        column["action"][to] = action[of]
        column["reward"][to] = reward[of]
        column["kind"][to] = kind[of]
        column["stream"][to] = stream[of]
        each = {"explored": explored, "session": session, "seq": seq, "version": version}
        for name, value in {**each, "elapsed": took, "memory": kept}.items():
            if name in column:
                column[name][to] = value[of] if isinstance(value, np.ndarray) else value

    def _put_right(self, stream: NDArray[np.int64], played: PlayedRows, head: int) -> None:
        """Correct the newest rows of streams (M,) before the rows below ``head`` are linked."""
        last = self._last[stream]
        kept = last >= max(0, head - self.physical)
        slot = last[kept] % self.physical
        put_right(self._file.columns, slot, played.action[kept], played.by[kept])

    def _link(
        self,
        head: int,
        stream: NDArray[np.int64],
        kind: NDArray[np.uint8],
        reward: NDArray[np.float32],
        repeated: NDArray[np.bool_],
    ) -> int:
        """Join the batch's rows to their streams; return how many episodes ended."""
        n = len(kind)
        row = head + self._count[:n]
        floor = max(0, head + n - self.physical)
        done: list[NDArray[np.float64]] = []
        if not repeated.any():
            self._link_once(row, stream, kind, reward, floor, done)
        else:
            for part in self._rounds(stream, repeated):
                self._link_once(row[part], stream[part], kind[part], reward[part], floor, done)
        self.finished = np.concatenate(done) if done else _NO_REWARDS
        return len(self.finished)

    def _link_once(
        self,
        row: NDArray[np.int64],
        stream: NDArray[np.int64],
        kind: NDArray[np.uint8],
        reward: NDArray[np.float32],
        floor: int,
        done: list[NDArray[np.float64]],
    ) -> None:
        """Join rows of distinct streams; append the returns of episodes that end to ``done``."""
        last, after = self._last[stream], self._file.columns["next"]
        linked = last >= floor  # an older row's slot belongs to another row by now
        total = self._return[stream]
        total += reward
        if kind.tobytes().count(MID) == len(kind):
            self._last[stream] = row
        else:
            first, ended = kind == FIRST, kind >= TERMINATED
            linked &= ~first
            total[first] = 0.0
            self._last[stream] = np.where(ended, -1, row)
            if ended.any():
                done.append(total[ended])
            self._file.columns["reward"][row[first] % self.physical] = 0.0
        self._return[stream] = total
        if self.layout.backwards:
            self._file.columns["prev"][row % self.physical] = np.where(linked, last, -1)
        if linked.all():
            after[last % self.physical] = row
        else:
            after[last[linked] % self.physical] = row[linked]

    def _rounds(
        self, stream: NDArray[np.int64], repeated: NDArray[np.bool_]
    ) -> list[NDArray[np.int64]]:
        """Split row numbers so that each part holds a stream at most once, in order of the rows.

        ``repeated`` marks the rows whose stream comes again later in the batch.
        """
        early = np.flatnonzero(repeated)
        self._mark[stream[early]] = early
        again = self._mark[stream[early]] != early
        late = np.flatnonzero(~repeated)
        if not again.any():
            return [early, late]
        return [*(early[part] for part in self._rounds(stream[early], again)), late]

    def _pack(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the mask's bits (N, ceil(A / 8)); packing whole bytes flat is 10 times faster."""
        n, a = mask.shape
        if n > len(self._wide):
            self._wide = np.zeros((2 * n, self._wide.shape[1]), np.uint8)
        wide = self._wide[:n]
        wide[:, :a] = mask
        return np.packbits(wide.reshape(-1)).reshape(n, -1)


def _repair(file: RingFile, capacity: int) -> None:
    """Undo what a batch that was never committed, or a loss of power, left behind."""
    if file.lost_power():
        _go_back(file, capacity)
    after = file.columns["next"]
    after[after >= file.commit.read().head] = -1


def _void_unsound(file: RingFile, layout: RingLayout, capacity: int) -> int:
    """Make void what comes before the last row that nobody can have written; return how much."""
    head = file.commit.read().head
    begin = max(file.start, head - capacity)
    at = np.arange(begin, head)
    sound, slot = _sound(file, at, head), at % file.rows
    action = file.columns["action"][slot]
    sound &= ((action >= -1) & (action < layout.n_actions)).all(axis=1)
    if sound.all():
        return 0
    file.set_start(begin + int(np.flatnonzero(~sound)[-1]) + 1)
    return file.start - begin


def _sound(file: RingFile, at: NDArray[np.int64], end: Any) -> NDArray[np.bool_]:
    """Which rows ``at`` (N,) are as a writer leaves them, their links below ``end``, (N,)."""
    slot = at % file.rows
    kind, after = file.columns["kind"][slot], file.columns["next"][slot]
    linked = (after == -1) | ((after > at) & (after < end))
    if "prev" in file.columns:
        before = file.columns["prev"][slot]
        linked &= (before == -1) | ((before >= 0) & (before < at))
    if "elapsed" in file.columns:
        took = file.columns["elapsed"][slot]
        linked &= np.isfinite(took) & (took > 0)
    sound: NDArray[np.bool_] = (
        (kind <= TRUNCATED) & linked & np.isfinite(file.columns["reward"][slot])
    )
    return sound


def _go_back(file: RingFile, capacity: int) -> None:
    """After power loss: keep only rows that were on disk and were not overwritten since."""
    newest, durable = file.commit.read().head, file.durable.read()
    overwritten = newest + (file.rows - capacity) // 2 - file.rows
    start = max(file.start, overwritten, durable.head - capacity)
    at = np.arange(min(start, durable.head), durable.head)
    sound = _sound(file, at, at + file.rows)  # links to rows that are lost are not damage
    file.set_start(min(start, durable.head) if sound.all() else durable.head)
    file.commit.write(durable)
