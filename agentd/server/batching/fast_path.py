"""Plain frames, answered without a batch: what games send nearly all the time.

A frame is plain when it brings ``mid`` rows of a session that plays and asks for nothing but the
action, on the same streams as the session's last frame, after which all of these were open
(``Session.open_streams``), in a layout that is known and bare: no mask, no fact. Comparing bytes
then checks what a batch checks with a dozen NumPy calls, and the rows are written where the network
reads them. What is not plain, or breaks a rule, is left to the batch, with nothing changed.

Shape letters: F frames of n rows each.
"""

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.actions import ActionCodec
from agentd.protocol.pattern import encode_acts
from agentd.protocol.rows import MID
from agentd.protocol.schema import Schema
from agentd.server.batching.actor import Actor
from agentd.server.batching.session import Frame

MOST_NUMBERS = 1 << 16
"""Numbers in the rows of several frames up to which this is quicker than a batch."""

MOST_ROWS = 64
"""Rows of a frame whose rewards are looked at one by one."""

MOST_BUFFERS = 64
"""Pairs of frames and rows whose buffers are kept."""


class _Buffer:
    """Where F * n rows are put and checked.

    x       (F * n, *input) float32, the network's input
    raw     its bytes
    finite  a byte a number, 0 where ``check`` found x not to be finite
    kind    the kinds of a frame whose rows are all ``mid``
    """

    __slots__ = ("check", "finite", "kind", "raw", "x")

    def __init__(self, x: NDArray[np.float32], rows: int) -> None:
        self.x = x
        self.raw = x.data.cast("B")
        self.finite = bytearray(x.size)
        flags = np.frombuffer(self.finite, np.bool_).reshape(x.shape)
        self.check = partial(np.isfinite, x, flags)
        self.kind = bytes([MID]) * rows


class FastPath:
    """Answers plain frames of an agent whose rows are one float32 tensor and one branch."""

    def __init__(self, schema: Schema, actor: Actor, codec: ActionCodec | None) -> None:
        self._actor, self._codec = actor, codec
        self._tensor, self._row_bytes = schema.tensors[0].name, schema.row_bytes
        self._most_rows = MOST_NUMBERS // schema.features
        self._buffers: dict[tuple[int, int], _Buffer] = {}

    @staticmethod
    def fits(schema: Schema, actor: Actor, codec: ActionCodec | None) -> bool:
        """Whether an agent's rows and network are of the one kind that is handled here."""
        branches = schema.branches if codec is None else codec.branches
        one = len(schema.tensors) == len(branches) == 1
        plain = one and schema.tensors[0].dtype == np.float32 and actor.growth is None
        return plain and actor.reads_rows

    def answers(self, group: list[Frame]) -> list[bytes] | None:
        """The ``act`` frames of a group, in its order; None when it must be a batch."""
        if not group[0].session.plain:
            return None
        pattern, rows = None, group[0].rows
        buffer = self._buffers.get((len(group), rows)) or self._new_buffer(len(group), rows)
        if buffer is None:
            return None
        at, width = 0, rows * self._row_bytes
        for frame in group:
            if frame.pattern is not pattern or pattern is None:
                pattern = frame.pattern
                if pattern is None or not pattern.bare or frame.rows != rows:
                    return None
                stream, kind, obs = pattern.stream, pattern.kind, pattern.obs[self._tensor]
            session, data = frame.session, frame.data
            if (
                data[stream] != session.open_streams
                or data[kind] != buffer.kind
                or not session.plain
            ):
                return None
            if not math.isfinite(sum(pattern.rewards(data))):
                return None
            buffer.raw[at : at + width] = data[obs]
            at += width
        buffer.check()
        if 0 in buffer.finite:
            return None
        action: NDArray[Any] = self._actor.best(buffer.x)
        if self._codec is not None:
            action = self._codec.encode(action[:, np.newaxis])
        return encode_acts([frame.seq for frame in group], action.tobytes(), self._actor.version)

    def _new_buffer(self, frames: int, rows: int) -> _Buffer | None:
        if not 0 < rows <= MOST_ROWS or frames * rows > self._most_rows:
            return None
        if len(self._buffers) >= MOST_BUFFERS:
            self._buffers.clear()
        buffer = self._buffers[frames, rows] = _Buffer(self._actor.input(frames * rows), rows)
        return buffer
