"""Transitions: n-step batches read from a replay ring.

A transition is two rows that ``next`` joins. The n-step return is computed when a batch is read,
so n can change without touching the ring. ``discount`` is 0 where the episode terminated; where it
was truncated or cut, the value is bootstrapped as usual.

Shapes: C slots of the ring, B rows of a batch, D features of an observation, A actions over all
branches, N branches, n steps.
"""

from collections.abc import Callable
from math import copysign
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import (
    MID,
    TERMINATED,
    ReplayError,
    RowFormat,
    Rows,
    chosen_by,
    inputs,
)
from agentd.engine.replay.scratch import Scratch


class NStepTooLong(ReplayError):
    """Raised when n steps do not fit into the ring."""


class TransitionBatch(NamedTuple):
    """A batch of transitions in host memory, valid until the next read.

    x            (2B, D) float32: the observations at t-1, then those at t (n steps later)
    action_tm1   (B, N) int32
    reward_t     (B,) float32, the discounted rewards of the steps between
    discount_t   (B,) float32, γ^steps, or 0 where the episode terminated
    mask         (2B, A) uint8 in the order of ``x``, or None when everything is legal
    slot         (2B,) int64, where the rows of ``x`` lie in the ring
    by           (B,) uint8, who chose the action, see `engine.replay.rows.chosen_by`; None where
                 that makes no difference
    """

    x: NDArray[np.float32]
    action_tm1: NDArray[np.int32]
    reward_t: NDArray[np.float32]
    discount_t: NDArray[np.float32]
    mask: NDArray[np.uint8] | None
    slot: NDArray[np.int64]
    by: NDArray[np.uint8] | None = None


class TransitionReader:
    """Reads n-step transitions from given starts into buffers of its own.

    Sutton & Barto 2018, equation 7.1: rewards of up to n steps, discounted by γ; the walk along
    ``next`` stops at the episode's end and before ``hi``, and bootstraps from where it stopped.
    With a γ below 0 every other reward counts negatively: two sides move in turn. Where rows say
    how long they took, a reward is discounted by |γ| to the power of the nominal steps before it,
    and the value by those of all steps (a semi-Markov process: Sutton, Precup & Singh 1999).

    ``observes`` False leaves ``x`` unwritten, for a caller that has the observations and needs
    ``slot`` only. With ``sees_by`` the walk stops also where another one chooses the next action,
    and after ``demonstrated`` steps where it was not the agent that chose the first; with
    ``tells_by`` batches say who did.
    """

    def __init__(
        self,
        format: RowFormat,
        batch: int,
        n_step: int,
        gamma: float,
        shape_reward: Callable[[NDArray[np.float32]], None] | None = None,
        demonstrated: int = 1,
    ) -> None:
        self._format, self._batch, self._n_step = format, batch, n_step
        self._shape_reward, self._demonstrated = shape_reward, demonstrated
        self.observes = True
        self.sees_by = self.tells_by = False
        self._gamma = gamma
        self._power = (gamma ** np.arange(max(n_step, demonstrated) + 1)).astype(np.float32)
        self._scratch, self._masks = Scratch(), _MaskReader(format.n_actions)
        self._make(batch)

    @property
    def steps(self) -> NDArray[np.intp]:
        """How many steps each transition of the last read has, (B,)."""
        return self._steps

    def read(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> TransitionBatch:
        """Return the transitions that begin at rows ``start`` (B,); valid until the next call.

        Every start must be one that `engine.replay.sampling` may draw. Raises NStepTooLong.
        """
        return self.read_all(rows, hi, start)[0]

    def read_all(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> list[TransitionBatch]:
        """Return k batches from k * B starts, the first B of them first; see ``read``."""
        check_n_step(self._n_step, rows.capacity)
        if len(self._steps) != len(start):
            self._make(len(start))
        self._walk(rows, hi, start)
        pairs = self._slots
        pairs[:, 0], pairs[:, 1] = self._first, self._slot.reshape(-1, self._batch)
        slots = pairs.reshape(-1)
        if self.observes:
            inputs(rows, slots, self._raw, self._x)
        np.take(rows.action, self._first.reshape(-1), axis=0, out=self._action, mode="clip")
        batches = self._batches
        if self.tells_by:
            by = self._by.reshape(-1, self._batch)
            batches = [b._replace(by=chose) for b, chose in zip(batches, by, strict=True)]
        mask = self._masks.read(rows.mask_bits, slots) if rows.has_masks else None
        if self._format.growth is not None:
            mask = self._format.growth.limit(mask, hi, len(slots))
        if mask is None:
            return batches
        parts = mask.reshape(len(batches), -1, mask.shape[1])
        return [b._replace(mask=m) for b, m in zip(batches, parts, strict=True)]

    def _make(self, size: int) -> None:
        """Have room for ``size`` transitions, which are k batches."""
        format, b, empty = self._format, self._batch, self._scratch.empty
        k = size // b
        self._steps = empty("steps", (size,), np.intp)
        self._first = empty("first", (k, b), np.int64)
        self._slot = empty("slot", (size,), np.int64)
        self._slots = empty("slots", (k, 2, b), np.int64)
        self._after = empty("after", (size,), np.int64)
        self._kind = empty("kind", (size,), np.uint8)
        self._by, self._limit = empty("by", (size,), np.uint8), np.zeros(0, np.int64)
        self._by.fill(0)
        self._time = np.zeros(0)
        self._one_reward = empty("one_reward", (size,), np.float32)
        self._x = empty("x", (2 * size, format.features), np.float32)
        self._action = empty("action", (size, len(format.branches)), np.int32)
        self._reward = empty("reward", (size,), np.float32)
        self._discount = empty("discount", (size,), np.float32)
        if format.is_float32:
            self._raw = self._x.view(np.uint8).reshape(-1, format.row_bytes)
        else:
            self._raw = empty("raw", (2 * size * format.stack, format.row_bytes), np.uint8)
        parts = [slice(i * b, (i + 1) * b) for i in range(k)]
        self._batches = [
            TransitionBatch(
                x, self._action[at], self._reward[at], self._discount[at], None, slots.reshape(-1)
            )
            for at, x, slots in zip(parts, np.split(self._x, k), self._slots, strict=True)
        ]

    def _walk(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> None:
        """Follow ``next`` from every start; write slots, returns and discounts in place."""
        slot, steps, first = self._slot, self._steps, self._first.reshape(-1)
        np.remainder(start, rows.capacity, out=first)
        np.take(rows.next, first, out=self._after, mode="clip")
        np.remainder(self._after, rows.capacity, out=slot)
        np.take(rows.reward, slot, out=self._reward, mode="clip")
        if self._shape_reward is not None:
            self._shape_reward(self._reward)
        np.take(rows.kind, slot, out=self._kind, mode="clip")
        steps.fill(1)
        most = self._n_step
        if self.sees_by:
            self._by = chosen_by(rows.explored[first])
            self._limit = np.where(self._by > 0, self._demonstrated, self._n_step)
            most = int(self._limit.max())
        if rows.elapsed is not None:
            self._time = rows.elapsed[slot].astype(np.float64)
        for k in range(1, most):
            self._walk_on(rows, hi, k)
        if rows.elapsed is None:
            np.take(self._power, steps, out=self._discount, mode="clip")
        else:
            self._discount[:] = self._ahead(steps)
        self._discount *= self._kind != TERMINATED

    def _walk_on(self, rows: Rows, hi: int, k: int) -> None:
        """Take step k + 1 where there is one: it leads to a row inside, in the same episode."""
        slot, after, reward = self._slot, self._after, self._one_reward
        np.take(rows.next, slot, out=after, mode="clip")
        going = (after >= 0) & (after < hi) & (self._kind <= MID) & (self._steps == k)
        if self.sees_by:
            going &= (chosen_by(rows.explored[slot]) == self._by) & (self._limit > k)
        np.copyto(slot, np.remainder(after, rows.capacity), where=going)
        np.take(rows.reward, slot, out=reward, mode="clip")
        if self._shape_reward is not None:
            self._shape_reward(reward)
        reward *= self._power[k] if rows.elapsed is None else self._ahead(k)
        np.add(self._reward, reward, out=self._reward, where=going)
        np.take(rows.kind, slot, out=self._kind, mode="clip")
        np.add(self._steps, 1, out=self._steps, where=going)
        if rows.elapsed is not None:
            np.add(self._time, rows.elapsed[slot], out=self._time, where=going)

    def _ahead(self, steps: NDArray[np.intp] | int) -> NDArray[np.float32]:
        """Return the discount of what follows so many steps, of the time that they took."""
        sign = copysign(1.0, self._gamma) ** steps
        return np.asarray(sign * abs(self._gamma) ** self._time, np.float32)


class _MaskReader:
    """Unpacks the mask bits of given slots into a buffer of its own, (B, A) uint8."""

    def __init__(self, n_actions: int) -> None:
        self._table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
        self._width, self._n_actions = (n_actions + 7) // 8, n_actions
        self._scratch = Scratch()

    def read(self, mask_bits: NDArray[np.uint8], slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the masks of slots (B,) as bytes, (B, A); valid until the next call."""
        empty, rows = self._scratch.empty, len(slots)
        bits = empty("bits", (rows, self._width), np.uint8)
        wide = empty("wide", (rows, self._width, 8), np.uint8)
        mask = empty("mask", (rows, self._n_actions), np.uint8)
        np.take(mask_bits, slots, axis=0, out=bits, mode="clip")
        np.take(self._table, bits, axis=0, out=wide, mode="clip")
        np.copyto(mask, wide.reshape(rows, -1)[:, : self._n_actions])
        mask[~bits.any(axis=1)] = 1
        return mask


def observations(rows: Rows, row: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features of rows (B,) by absolute index, (B, D) float32."""
    format = rows.format
    x = np.empty((len(row), format.features), np.float32)
    raw = np.empty((len(row) * format.stack, format.row_bytes), np.uint8)
    inputs(rows, row % rows.capacity, raw, x)
    return x


def check_n_step(n_step: int, capacity: int) -> None:
    """Raise NStepTooLong unless n steps, n + 1 rows, fit into ``capacity`` rows."""
    if n_step >= capacity:
        raise NStepTooLong(f"n_step {n_step} needs more than the ring's {capacity} rows")
