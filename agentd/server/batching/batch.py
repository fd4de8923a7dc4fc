"""Many frames as one batch: columns joined once, so a loop turn costs few NumPy calls.

Shape letters: N rows of the whole batch, A mask width, F frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.actions import ActionCodec
from agentd.memory.played import PlayedRows
from agentd.protocol.facts import SILENT, FactColumns, check_facts
from agentd.protocol.messages import Step, Teach
from agentd.protocol.pattern import FACTS, Pattern
from agentd.protocol.rows import FIRST, StreamStates, check_rows
from agentd.protocol.schema import Schema
from agentd.server.batching.session import Frame


@dataclass(slots=True)
class Batch:
    """The rows of several frames, one after the other. Arrays are owned by the batch."""

    frames: list[Frame]
    ends: list[int]  # where each frame's rows end, (F,)
    stream: NDArray[np.int64]  # (N,) global stream slot
    local: NDArray[np.uint32]  # (N,) stream id as the client gave it
    streams: NDArray[np.int64] | int  # (N,) how many streams the row's session has
    kind: NDArray[np.uint8]  # (N,)
    reward: NDArray[np.float32]  # (N,)
    obs: NDArray[np.uint8]  # (N, row_bytes) raw
    mask: NDArray[np.uint8] | None  # (N, A); None when no frame brought one
    facts: FactColumns | None = None  # None when no frame brought any

    def __len__(self) -> int:
        return len(self.kind)

    def number(self, codec: ActionCodec) -> None:
        """Put the learned actions in place of those that games know, in masks and facts."""
        if self.mask is not None:
            self.mask = codec.spread(self.mask)
        facts = self.facts
        if facts is not None and facts.taken is not None:
            self.facts = replace(facts, taken=codec.decode(facts.taken))


def check_batch(
    schema: Schema, states: StreamStates, legal: NDArray[np.uint8] | None, batch: Batch
) -> None:
    """Raise ProtocolError for the first rule of R5, R15 or R18 that a row of the batch breaks.

    ``legal``: see `check_facts`.
    """
    check_rows(
        schema,
        states,
        stream=batch.stream,
        local=batch.local,
        streams=batch.streams,
        kind=batch.kind,
        reward=batch.reward,
        obs=batch.obs,
        mask=batch.mask,
    )
    if batch.facts is not None:
        check_facts(schema, batch.facts, batch.kind, batch.stream, legal)


class Joiner:
    """Joins step frames whose lengths have been checked.

    A batch is good until the next one: the observations of many frames lie in a buffer that all
    batches share, for memory that is new costs more than the copy.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._raw = np.empty((0, schema.row_bytes), np.uint8)

    def join(self, frames: list[Frame]) -> Batch:
        """The frames as one batch."""
        pattern = frames[0].pattern
        alike = pattern is not None and all(frame.pattern is pattern for frame in frames)
        if pattern is not None and alike and not pattern.facts:
            return self._lone(pattern, frames) if len(frames) == 1 else self._alike(pattern, frames)
        schema, steps = self._schema, [frame.step for frame in frames]
        counts = [frame.rows for frame in frames]
        ends = list(accumulate(counts))
        local = np.frombuffer(_joined([s.stream for s in steps]), np.uint32)
        kind = np.frombuffer(_joined([s.kind for s in steps]), np.uint8)
        return Batch(
            frames=frames,
            ends=ends,
            stream=_global(frames, local, counts),
            local=local,
            streams=_bounds(frames, counts),
            kind=kind,
            reward=np.frombuffer(_joined([s.reward for s in steps]), np.float32),
            obs=observations(schema, steps, ends[-1]),
            mask=_masks(schema, steps, counts),
            facts=_facts(schema, steps, counts, kind),
        )

    def _alike(self, pattern: Pattern, frames: list[Frame]) -> Batch:
        """Frames of one layout: every column is cut from all of them at once."""
        n = pattern.rows
        data = [frame.data for frame in frames]
        local = pattern.column(data, pattern.stream, np.uint32)
        return Batch(
            frames=frames,
            ends=list(range(n, n * len(frames) + 1, n)),
            stream=_global(frames, local, n),
            local=local,
            streams=_bounds(frames, n),
            kind=pattern.column(data, pattern.kind, np.uint8),
            reward=pattern.column(data, pattern.reward, np.float32),
            obs=self._observations(pattern, data, n),
            mask=pattern.mask
            and pattern.column(data, pattern.mask, np.uint8).reshape(len(local), -1),
        )

    def _lone(self, pattern: Pattern, frames: list[Frame]) -> Batch:
        """One frame of a known layout: nothing to copy where there is one tensor."""
        session, n, data = frames[0].session, pattern.rows, frames[0].data
        local = np.frombuffer(data, np.uint32, n, pattern.stream.start)
        mask, schema = pattern.mask, self._schema
        if len(schema.tensors) == 1:
            (place,) = pattern.obs.values()
            obs = np.frombuffer(data, np.uint8, n * schema.row_bytes, place.start)
            obs = obs.reshape(n, schema.row_bytes)
        else:
            obs = self._observations(pattern, [data], n)
        return Batch(
            frames=frames,
            ends=[n],
            stream=local + np.int64(session.base),
            local=local,
            streams=session.streams,
            kind=np.frombuffer(data, np.uint8, n, pattern.kind.start),
            reward=np.frombuffer(data, np.float32, n, pattern.reward.start),
            obs=obs,
            mask=mask and np.frombuffer(data[mask], np.uint8).reshape(n, -1),
        )

    def _observations(self, pattern: Pattern, data: list[bytes], n: int) -> NDArray[np.uint8]:
        rows = n * len(data)
        if rows > len(self._raw):
            self._raw = np.empty((2 * rows, self._schema.row_bytes), np.uint8)
        raw = self._raw[:rows]
        for tensor in self._schema.tensors:
            columns = slice(tensor.offset, tensor.offset + tensor.nbytes)
            pattern.stack(data, pattern.obs[tensor.name], raw[:, columns])
        return raw


def _global(
    frames: list[Frame], local: NDArray[np.uint32], counts: list[int] | int
) -> NDArray[np.int64]:
    """The agent's stream slot of every row, (N,)."""
    stream = np.repeat(np.array([frame.session.base for frame in frames]), counts)
    stream += local
    return stream


def _bounds(frames: list[Frame], counts: list[int] | int) -> NDArray[np.int64] | int:
    """How many streams the session of every row has: one number where it is the same for all."""
    streams = [frame.session.streams for frame in frames]
    first = streams[0]
    if streams.count(first) == len(streams):
        return first
    return np.repeat(np.array(streams), counts)


def _joined(parts: list[memoryview]) -> memoryview | bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def observations(schema: Schema, steps: Sequence[Step | Teach], n: int) -> NDArray[np.uint8]:
    """The raw rows (n, row_bytes) of several checked frames."""
    if len(schema.tensors) == 1:
        name = schema.tensors[0].name
        raw = np.frombuffer(_joined([s.obs[name] for s in steps]), np.uint8)
        return raw.reshape(n, schema.row_bytes)
    out = np.empty((n, schema.row_bytes), np.uint8)
    for tensor in schema.tensors:
        raw = np.frombuffer(_joined([s.obs[tensor.name] for s in steps]), np.uint8)
        out[:, tensor.offset : tensor.offset + tensor.nbytes] = raw.reshape(n, tensor.nbytes)
    return out


def _masks(schema: Schema, steps: list[Step], counts: list[int]) -> NDArray[np.uint8] | None:
    if all(s.mask is None for s in steps):
        return None
    width = schema.n_actions
    parts = [
        bytes([1]) * (n * width) if s.mask is None else s.mask
        for s, n in zip(steps, counts, strict=True)
    ]
    return np.frombuffer(_joined(parts), np.uint8).reshape(-1, width)  # type: ignore[arg-type]


def _facts(
    schema: Schema, steps: list[Step], counts: list[int], kind: NDArray[np.uint8]
) -> FactColumns | None:
    if all(getattr(step, name) is None for step in steps for name in FACTS):
        return None
    said = [step.taken is not None for step in steps]
    given = np.repeat(np.array(said), counts) & (kind != FIRST) if any(said) else None
    none = np.zeros(schema.action_width, schema.action_dtype)
    taken = _column([s.taken for s in steps], counts, none)
    by = _column([s.by for s in steps], counts, np.zeros(1, np.uint8))
    if given is not None and by is None:
        by = np.zeros((len(kind), 1), np.uint8)
    elapsed = _column([s.elapsed for s in steps], counts, np.ones(1, np.float32))
    if elapsed is not None:
        elapsed = np.where(kind[:, np.newaxis] == FIRST, np.float32(1), elapsed)
    success = _column([s.success for s in steps], counts, np.full(1, SILENT, np.uint8))
    flat = [None if column is None else column[:, 0] for column in (by, elapsed, success)]
    return FactColumns(given, taken, *flat)


def _column(
    parts: list[memoryview | None], counts: list[int], default: NDArray[Any]
) -> NDArray[Any] | None:
    """One bin of all frames, (N, len(default)); rows of frames without it get the default."""
    if all(part is None for part in parts):
        return None
    filled = [
        np.tile(default, n).tobytes() if part is None else part
        for part, n in zip(parts, counts, strict=True)
    ]
    return np.frombuffer(b"".join(filled), default.dtype).reshape(-1, len(default))


def elapsed(facts: FactColumns | None, rows: int) -> NDArray[np.float32] | None:
    """Nominal steps that led to the first ``rows`` rows of a batch, where games said it."""
    return None if facts is None or facts.elapsed is None else facts.elapsed[:rows]


def corrected(facts: FactColumns | None, rows: int) -> PlayedRows | None:
    """What was played before the first ``rows`` rows of a batch, where games said it."""
    if facts is None or facts.given is None or facts.taken is None or facts.by is None:
        return None
    row = np.flatnonzero(facts.given[:rows])
    return PlayedRows(row, facts.taken[row], facts.by[row]) if len(row) else None
