"""Many frames as one batch: columns joined once, so a loop turn costs few NumPy calls.

Shape letters: N rows of the whole batch, A mask width, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.messages import Step
from agentd.protocol.schema import Schema
from agentd.server.session import Frame, Session

__all__ = ["Batch", "Member", "join", "observations"]


@dataclass(frozen=True, slots=True)
class Member:
    """One frame and the session it came from."""

    session: Session
    frame: Frame


@dataclass(slots=True)
class Batch:
    """The rows of several frames, one after the other. Arrays are owned by the batch."""

    members: list[Member]
    ends: list[int]  # where each member's rows end, (F,)
    stream: NDArray[np.int64]  # (N,) global stream slot
    local: NDArray[np.uint32]  # (N,) stream id as the client gave it
    streams: NDArray[np.int64] | int  # (N,) how many streams the row's session has
    kind: NDArray[np.uint8]  # (N,)
    reward: NDArray[np.float32]  # (N,)
    obs: NDArray[np.uint8]  # (N, row_bytes) raw
    mask: NDArray[np.uint8] | None  # (N, A); None when no frame brought one

    def __len__(self) -> int:
        return len(self.kind)


def join(schema: Schema, members: list[Member]) -> Batch:
    """Join frames whose lengths have been checked."""
    if len(members) == 1:
        return _lone(schema, members)
    steps: list[Any] = [member.frame.message for member in members]
    counts = [member.frame.rows for member in members]
    ends = list(accumulate(counts))
    local = np.frombuffer(b"".join([s.stream for s in steps]), np.uint32)
    stream = np.repeat([m.session.base for m in members], counts)
    stream += local
    return Batch(
        members=members,
        ends=ends,
        stream=stream,
        local=local,
        streams=np.repeat([m.session.streams for m in members], counts),
        kind=np.frombuffer(b"".join([s.kind for s in steps]), np.uint8),
        reward=np.frombuffer(b"".join([s.reward for s in steps]), np.float32),
        obs=observations(schema, steps, ends[-1]),
        mask=_masks(schema, steps, counts),
    )


def _lone(schema: Schema, members: list[Member]) -> Batch:
    """One frame as a batch: nothing to copy."""
    session, n = members[0].session, members[0].frame.rows
    step: Any = members[0].frame.message
    local = np.frombuffer(step.stream, np.uint32)
    mask = step.mask
    return Batch(
        members=members,
        ends=[n],
        stream=local + np.int64(session.base),
        local=local,
        streams=session.streams,
        kind=np.frombuffer(step.kind, np.uint8),
        reward=np.frombuffer(step.reward, np.float32),
        obs=observations(schema, [step], n),
        mask=None if mask is None else np.frombuffer(mask, np.uint8).reshape(n, -1),
    )


def _joined(parts: list[memoryview]) -> memoryview | bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def observations(schema: Schema, steps: list[Any], n: int) -> NDArray[np.uint8]:
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
