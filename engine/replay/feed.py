"""Batches drawn and read several at a time, handed out one by one.

For small rows the call overhead of NumPy exceeds the work. A learner that knows how many updates
will see the same window draws and reads their batches together: a group. The state holds where in
a group a feed was saved, and the feed then reads the same group again.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import Rows
from agentd.engine.replay.transitions import TransitionBatch, TransitionReader

GROUP_BYTES = 1 << 20
"""Most bytes of observations in a group: they should still be in the cache when they are used."""


class Sampler(Protocol):
    """Draws the starts of transitions, a number of batches at once."""

    def draw(self, rows: Rows, lo: int, hi: int, batches: int = 1) -> NDArray[np.int64]:
        """Return ``batches`` * B absolute indices, valid until the next call."""

    def get_state(self) -> dict[str, Any]:
        """Return a generator's state as JSON values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken."""


@dataclass(slots=True)
class _Group:
    """Batches of the window [lo, hi), ``used`` of ``size`` handed out; ``before``: the sampler."""

    before: dict[str, Any]
    lo: int
    hi: int
    size: int
    used: int = 0


class BatchFeed:
    """Hands out the batches that ``sampler`` draws and ``reader`` reads.

    ``batch_bytes`` is what one batch's observations take; a group has at most `GROUP_BYTES`.
    """

    def __init__(self, sampler: Sampler, reader: TransitionReader, batch_bytes: int) -> None:
        self._sampler, self._reader = sampler, reader
        self._most = max(1, GROUP_BYTES // batch_bytes)
        self._group: _Group | None = None
        self._batches: list[TransitionBatch] = []

    def next(self, rows: Rows, lo: int, hi: int, ahead: int = 1) -> TransitionBatch:
        """Return the next batch of the window [lo, hi), valid until the next call.

        ``ahead`` calls with this window are expected to come, this one included. Raises
        NoValidStart, NStepTooLong.
        """
        group = self._group
        if group is None or group.used == group.size or (group.lo, group.hi) != (lo, hi):
            self._group = None
            group = _Group(self._sampler.get_state(), lo, hi, min(ahead, self._most))
            self._read(rows, group)
            self._group = group
        elif not self._batches:
            after = self._sampler.get_state()
            self._sampler.set_state(group.before)
            self._read(rows, group)
            self._sampler.set_state(after)
        group.used += 1
        return self._batches[group.used - 1]

    def get_state(self) -> dict[str, Any]:
        """Return the sampler's state and, where one is begun, what group it was; JSON values."""
        state, group = self._sampler.get_state(), self._group
        if group is None or group.used == group.size:
            return state
        begun = {"lo": group.lo, "hi": group.hi, "size": group.size, "used": group.used}
        return {**state, "group": {**begun, "before": group.before}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken, over the same rows."""
        self._sampler.set_state(state)
        group = state.get("group")
        self._group = None if group is None else _Group(**group)
        self._batches = []

    def _read(self, rows: Rows, group: _Group) -> None:
        start = self._sampler.draw(rows, group.lo, group.hi, group.size)
        self._batches = self._reader.read_all(rows, group.hi, start)
