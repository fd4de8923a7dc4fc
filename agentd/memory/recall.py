"""What a ring's rows say about sessions and episodes, after the process that wrote them is gone.

Each function reads the columns of a replay (or teach) ring, (C, …) by slot, between the absolute
rows ``oldest`` and ``head``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import FIRST, TERMINATED

Columns = Mapping[str, NDArray[Any]]


class Answer(NamedTuple):
    """What was answered to a frame, as the ring holds it; arrays are copies, n rows.

    action (n, branches) int32, kind (n,) uint8, explored (n,) uint8, stream (n,) int64 global
    slots, version: of the weights that chose.
    """

    action: NDArray[np.int32]
    kind: NDArray[np.uint8]
    explored: NDArray[np.uint8]
    stream: NDArray[np.int64]
    version: int


class OpenEpisodes(NamedTuple):
    """Streams whose episode is under way, n of them: stream, row (n,) int64; total (n,) float64.

    stream: global slot; row: absolute index of its newest row; total: its return so far.
    """

    stream: NDArray[np.int64]
    row: NDArray[np.int64]
    total: NDArray[np.float64]


def last_seqs(columns: Columns, oldest: int, head: int) -> dict[int, int]:
    """Return the newest seq of every session that has rows."""
    slot = np.arange(head - 1, oldest - 1, -1) % len(columns["seq"])
    sessions, newest = np.unique(columns["session"][slot], return_index=True)
    seqs = columns["seq"][slot[newest]]
    return dict(zip(sessions.tolist(), seqs.tolist(), strict=True))


def find_answer(columns: Columns, oldest: int, head: int, session: int, seq: int) -> Answer | None:
    """Return what was answered to a frame, or None when there is no row of it."""
    slot = np.flatnonzero((columns["seq"] == seq) & (columns["session"] == session))
    age = (head - 1 - slot) % len(columns["seq"])  # rows since; slots are not in order of time
    order = np.argsort(-age)
    slot = slot[order][age[order] < head - oldest]
    return _answer_at(columns, slot) if len(slot) else None


def newest_answers(
    columns: Columns, oldest: int, head: int, session: int, count: int
) -> dict[int, Answer]:
    """Return what was answered to the last ``count`` frames of a session, by seq."""
    slot = np.arange(oldest, head) % len(columns["seq"])
    slot = slot[columns["session"][slot] == session]
    seq = columns["seq"][slot]
    first = np.flatnonzero(np.append(True, seq[1:] != seq[:-1])[: len(seq)])[-count:]
    parts = np.split(slot, first)[1:]
    return {int(columns["seq"][part[0]]): _answer_at(columns, part) for part in parts}


def _answer_at(columns: Columns, slot: NDArray[np.int64]) -> Answer:
    return Answer(
        action=columns["action"][slot].astype(np.int32),
        kind=columns["kind"][slot],
        explored=columns["explored"][slot] & np.uint8(1),
        stream=columns["stream"][slot].astype(np.int64),
        version=int(columns["version"][slot[0]]),
    )


def open_episodes(
    columns: Columns, oldest: int, head: int, session: int, streams: slice
) -> OpenEpisodes:
    """Return the episodes of a session's ``streams`` whose newest row did not end them."""
    row, slot, stream = _own_rows(columns, oldest, head, session, streams)
    kind = columns["kind"][slot]
    newest = np.append(stream[1:] != stream[:-1], True)[: len(stream)]
    going = newest & (kind < TERMINATED)
    total = _returns(stream, kind, columns["reward"][slot])
    return OpenEpisodes(stream[going], row[going], total[going])


def newest_rows(
    columns: Columns, oldest: int, head: int, session: int, streams: slice, count: int
) -> NDArray[np.int64]:
    """Return the newest ``count`` rows of each of a session's S ``streams``, (S, count).

    Absolute indices, newest first; -1 where the newest row's episode has no more.
    """
    row, _, stream = _own_rows(columns, oldest, head, session, streams)
    found = np.full((streams.stop - streams.start, count), -1, np.int64)
    age = np.searchsorted(stream, stream, side="right") - 1 - np.arange(len(stream))
    near = age < count
    found[stream[near] - streams.start, age[near]] = row[near]
    begun = columns["kind"][found % len(columns["seq"])] == FIRST
    past = np.cumsum(begun, axis=1) - begun > 0  # rows before the one that began the episode
    found[past] = -1
    return found


def _own_rows(
    columns: Columns, oldest: int, head: int, session: int, streams: slice
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return index, slot and stream of a session's rows, (n,) each: by stream, then in order."""
    row = np.arange(oldest, head)
    slot = row % len(columns["seq"])
    own = columns["session"][slot] == session
    own &= (columns["stream"][slot] >= streams.start) & (columns["stream"][slot] < streams.stop)
    row, slot = row[own], slot[own]
    stream = columns["stream"][slot].astype(np.int64)
    order = np.argsort(stream, kind="stable")
    return row[order], slot[order], stream[order]


def _returns(
    stream: NDArray[np.int64], kind: NDArray[np.uint8], reward: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the sum of rewards since the episode began, for rows sorted by stream, then time."""
    at = np.arange(len(stream))
    begins = (kind == FIRST) | np.append(True, stream[1:] != stream[:-1])[: len(stream)]
    total = np.cumsum(reward, dtype=np.float64)
    origin = np.maximum.accumulate(np.where(begins, at, 0))
    sums: NDArray[np.float64] = total - total[origin] + reward[origin] * (kind[origin] != FIRST)
    return sums
