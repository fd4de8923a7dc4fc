"""Small waves of plain frames, answered without a batch: what a game with one plane sends.

A frame is plain when it brings one ``mid`` row of a session that neither learns nor asks for more
than the action, in a layout that is known and has no mask. For a few such frames most of a batch's
NumPy calls cost more than what they compute, so their rules (R5) are checked in Python's own
numbers. What is not plain, or breaks a rule, is left to the batch: nothing has changed then.

Shape letters: F frames of one row each, D features of a row.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from agentd.protocol.pattern import Pattern, encode_acts
from agentd.protocol.rows import MID, StreamStates
from agentd.protocol.schema import Schema
from agentd.server.acting import Actor
from agentd.server.returns import Returns
from agentd.server.session import Frame

__all__ = ["Quick"]

MOST_FRAMES = 16
"""Frames of a wave up to which this is quicker than a batch."""

_stream_at = struct.Struct("<I").unpack_from
_reward_at = struct.Struct("<f").unpack_from


class Quick:
    """Answers plain frames of an agent whose rows are one float32 tensor and one branch."""

    def __init__(
        self, schema: Schema, actor: Actor, states: StreamStates, returns: Returns
    ) -> None:
        self._actor, self._states, self._returns = actor, states, returns
        self._tensor = schema.tensors[0].name

    @staticmethod
    def fits(schema: Schema) -> bool:
        """Whether an agent's rows are of the one kind that is handled here."""
        one = len(schema.tensors) == len(schema.branches) == 1
        return one and schema.tensors[0].dtype == np.float32

    def answers(self, wave: list[Frame]) -> list[bytes] | None:
        """The ``act`` frames of a wave, in its order; None when it must be a batch."""
        pattern = wave[0].pattern
        if pattern is None or pattern.rows != 1 or pattern.mask is not None:
            return None
        rewards = []
        for frame in wave:
            if frame.pattern is not pattern or not frame.session.plain:
                return None
            slot, reward = self._read(pattern, frame)
            if slot < 0:
                return None
            rewards.append((slot, reward))
        at = pattern.obs[self._tensor]
        raw = wave[0].data[at] if len(wave) == 1 else b"".join([f.data[at] for f in wave])
        x = np.frombuffer(raw, np.float32)
        if b"\0" in np.isfinite(x).tobytes():
            return None
        action = self._actor.best(x.reshape(len(wave), -1))
        for slot, reward in rewards:
            self._returns.add_mid(slot, reward)
        return encode_acts([frame.seq for frame in wave], action.tobytes(), self._actor.version)

    def _read(self, pattern: Pattern, frame: Frame) -> tuple[int, float]:
        """Stream slot and reward of a row that breaks no rule about them; slot -1 otherwise."""
        data, session = frame.data, frame.session
        (local,) = _stream_at(data, pattern.stream.start)
        (reward,) = _reward_at(data, pattern.reward.start)
        if data[pattern.kind.start] != MID or local >= session.streams or not math.isfinite(reward):
            return -1, 0.0
        slot = session.base + local
        return (slot if self._states.open[slot] else -1), reward
