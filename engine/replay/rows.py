"""Replay: what a ring of rows looks like, and how a batch of transitions is read from it.

The ring holds one row per observation of a stream; a transition is two rows joined by ``next``.
Rows have absolute indices that grow for ever; row i lies in slot ``i % C``. The n-step return is
computed when a batch is read, so n can change without touching the ring, and an episode's end is
``discount`` 0 where it terminated, an ordinary bootstrap where it was truncated or cut.

Shapes: C slots of the ring, B rows of a batch, D features of an observation, A actions over all
branches, N branches, n steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
"""Row kinds, as the wire numbers them."""


class ReplayError(ValueError):
    """Root of what can be wrong with reading a batch."""


class NoValidStart(ReplayError):
    """Raised when no row of the range can start a transition."""


class NStepTooLong(ReplayError):
    """Raised when n steps do not fit into the ring."""


@dataclass(frozen=True, slots=True)
class TensorFormat:
    """One tensor of a raw row: ``nbytes`` bytes from ``offset``, little-endian, C order."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    nbytes: int

    @property
    def features(self) -> int:
        """How many numbers the tensor holds."""
        return self.nbytes // self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How an observation's bytes become D float32 features, and what actions there are.

    ``branches`` holds the number of actions of each branch; a discrete agent has one branch. With
    ``stack`` K above 1 the features are those of the stream's last K rows, oldest first: side by
    side, or, where a row is one image (H, W, C), as K times as many channels (H, W, K C).
    """

    tensors: tuple[TensorFormat, ...]
    branches: tuple[int, ...]
    stack: int = 1
    row_bytes: int = field(init=False)
    features: int = field(init=False)
    n_actions: int = field(init=False)
    is_float32: bool = field(init=False)

    def __post_init__(self) -> None:
        if not self.tensors or not self.branches:
            raise ValueError("want at least one tensor and one branch")
        at = 0
        for tensor in self.tensors:
            if tensor.offset != at or tensor.nbytes != tensor.dtype.itemsize * _size(tensor.shape):
                raise ValueError(f"tensor {tensor.name!r} does not follow the one before it")
            at += tensor.nbytes
        set_field = object.__setattr__
        set_field(self, "row_bytes", at)
        set_field(self, "features", self.stack * sum(t.features for t in self.tensors))
        set_field(self, "n_actions", sum(self.branches))
        floats = all(t.dtype == np.dtype("<f4") for t in self.tensors)
        set_field(self, "is_float32", floats and not (self.stack > 1 and self._is_image))

    @property
    def _is_image(self) -> bool:
        return len(self.tensors) == 1 and len(self.tensors[0].shape) == 3

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What a network sees: an image (H, W, K C) where a row is one, all else flat (D,)."""
        if not self._is_image:
            return (self.features,)
        height, width, channels = self.tensors[0].shape
        return (height, width, self.stack * channels)

    def decode(self, raw: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Write the features of B inputs into ``out``, in place.

        raw (B K, row_bytes) uint8, the K rows of an input in order; out (B, D) float32,
        C-contiguous. Integers keep their value.
        """
        if self.is_float32:
            np.copyto(out.view(np.uint8).reshape(raw.shape), raw)
            return
        width = self.features // self.stack
        frames = out.reshape(len(raw), width)  # (B K, features of a row)
        if self.stack > 1 and self._is_image:
            channels = self.tensors[0].shape[2]
            pixels = out.reshape(len(out), -1, self.stack, channels)
            values = raw.view(self.tensors[0].dtype).reshape(len(out), self.stack, -1, channels)
            np.copyto(pixels, values.swapaxes(1, 2), casting="unsafe")
            return
        at = 0
        for t in self.tensors:
            values = raw[:, t.offset : t.offset + t.nbytes].view(t.dtype)
            frames[:, at : at + t.features] = values
            at += t.features


@dataclass(slots=True)
class Rows:
    """A ring's columns, each indexed by slot; views of the mapped files, nothing is copied.

    obs        (C, row_bytes) uint8, see `RowFormat`
    mask_bits  (C, ceil(A / 8)) uint8, first action in the highest bit (``np.packbits``); a row
               of zeros carries no mask: all of its actions are legal
    action     (C, N) int32, numbered from 0 within the branch; -1 on a row that ends an episode
    reward     (C,) float32, for the action that led to this row; unused on a first row
    kind       (C,) uint8: 0 first, 1 mid, 2 terminated, 3 truncated
    next       (C,) int64, absolute index of the same stream's next row of the same episode, or -1
    explored   (C,) uint8, 1 where the action was an exploratory one
    stream     (C,) uint32, which stream the row is of
    version    (C,) uint64, updates behind the weights that chose the action
    has_masks  False while no row carries a mask: ``mask_bits`` is then not read at all
    prev       (C,) int64, absolute index of the row before, or -1; kept only for stacks of rows
    """

    format: RowFormat
    obs: NDArray[np.uint8]
    mask_bits: NDArray[np.uint8]
    action: NDArray[np.int32]
    reward: NDArray[np.float32]
    kind: NDArray[np.uint8]
    next: NDArray[np.int64]
    explored: NDArray[np.uint8]
    stream: NDArray[np.uint32]
    version: NDArray[np.uint64]
    has_masks: bool = False
    prev: NDArray[np.int64] | None = None

    @property
    def capacity(self) -> int:
        """C, the slots of the ring."""
        return len(self.kind)

    def check_valid(self, lo: int, hi: int) -> None:
        """Raise ReplayError unless rows [lo, hi) keep the promises that reading relies on."""
        if not 0 <= hi - lo <= self.capacity:
            raise ReplayError(f"rows [{lo}, {hi}) do not fit into {self.capacity} slots")
        row = np.arange(lo, hi)
        kind, after = self.kind[row % self.capacity], self.next[row % self.capacity]
        linked = after >= 0
        if (after[linked] <= row[linked]).any():
            raise ReplayError("a row's next row is not later than itself")
        if linked[kind >= TERMINATED].any():
            raise ReplayError("a row follows the end of an episode")
        inside = after[linked & (after < hi)]
        if len(np.unique(inside)) != len(inside):
            raise ReplayError("two rows share one next row")
        if (self.kind[inside % self.capacity] == FIRST).any():
            raise ReplayError("a first row follows another row")


class Batch(NamedTuple):
    """A batch of transitions in host memory, valid until the next read.

    x            (2B, D) float32: the observations at t-1, then those at t (n steps later)
    action_tm1   (B, N) int32
    reward_t     (B,) float32, the discounted rewards of the steps between
    discount_t   (B,) float32, γ^steps, or 0 where the episode terminated
    mask         (2B, A) uint8 in the order of ``x``, or None when everything is legal
    slot         (2B,) int64, where the rows of ``x`` lie in the ring
    """

    x: NDArray[np.float32]
    action_tm1: NDArray[np.int32]
    reward_t: NDArray[np.float32]
    discount_t: NDArray[np.float32]
    mask: NDArray[np.uint8] | None
    slot: NDArray[np.int64]


class TransitionReader:
    """Reads n-step transitions from given starts into buffers of its own.

    Sutton & Barto 2018, equation 7.1: rewards of up to n steps, discounted by γ; the walk along
    ``next`` stops at the episode's end and before ``hi``, and bootstraps from where it stopped.
    With a γ below 0 every other row counts against the first one: two sides move in turn.
    Several batches may be read at once: NumPy's calls then cost little for each of them.
    ``observes`` False leaves ``x`` alone: someone else has the observations, and looks at ``slot``.
    """

    def __init__(
        self,
        format: RowFormat,
        batch: int,
        n_step: int,
        gamma: float,
        shape_reward: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> None:
        self._format, self._batch, self._n_step = format, batch, n_step
        self._shape_reward = shape_reward
        self.observes = True
        self._power = (gamma ** np.arange(n_step + 1)).astype(np.float32)
        self._make(batch)

    def read(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> Batch:
        """Return the transitions that begin at rows ``start`` (B,); valid until the next call.

        Every start must be one that `engine.replay.sampling` may draw. Raises NStepTooLong.
        """
        return self.read_all(rows, hi, start)[0]

    def read_all(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> list[Batch]:
        """Return k batches from k * B starts, the first B of them first; see ``read``."""
        check_n_step(self._n_step, rows.capacity)
        if len(self._steps) != len(start):
            self._make(len(start))
        self._walk(rows, hi, start)
        pairs = self._slots
        pairs[:, 0], pairs[:, 1] = self._first, self._slot.reshape(-1, self._batch)
        slots = pairs.reshape(-1)
        if self.observes:
            self._observe(rows, slots)
        np.take(rows.action, self._first.reshape(-1), axis=0, out=self._action, mode="clip")
        if not rows.has_masks:
            return self._batches
        mask = self._masks.read(rows.mask_bits, slots)
        parts = mask.reshape(len(self._batches), -1, mask.shape[1])
        return [b._replace(mask=m) for b, m in zip(self._batches, parts, strict=True)]

    def _observe(self, rows: Rows, slots: NDArray[np.int64]) -> None:
        frames = slots if self._format.stack == 1 else stacked(rows, slots, self._format.stack)
        np.take(rows.obs, frames, axis=0, out=self._raw, mode="clip")
        if not self._format.is_float32:
            self._format.decode(self._raw, self._x)

    def _make(self, size: int) -> None:
        """Make room for ``size`` transitions: k batches, one after the other."""
        format, b = self._format, self._batch
        k = size // b
        self._steps = np.empty(size, np.intp)
        self._first = np.empty((k, b), np.int64)
        self._slot = np.empty(size, np.int64)
        self._slots = np.empty((k, 2, b), np.int64)
        self._after = np.empty(size, np.int64)
        self._kind = np.empty(size, np.uint8)
        self._one_reward = np.empty(size, np.float32)
        self._x = np.empty((2 * size, format.features), np.float32)
        self._action = np.empty((size, len(format.branches)), np.int32)
        self._reward = np.empty(size, np.float32)
        self._discount = np.empty(size, np.float32)
        self._masks = _MaskReader(2 * size, format.n_actions)
        if format.is_float32:
            self._raw = self._x.view(np.uint8).reshape(-1, format.row_bytes)
        else:
            self._raw = np.empty((2 * size * format.stack, format.row_bytes), np.uint8)
        parts = [slice(i * b, (i + 1) * b) for i in range(k)]
        self._batches = [
            Batch(
                x, self._action[at], self._reward[at], self._discount[at], None, slots.reshape(-1)
            )
            for at, x, slots in zip(parts, np.split(self._x, k), self._slots, strict=True)
        ]

    def _walk(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> None:
        """Follow ``next`` from every start; leave slots, returns and discounts, in place."""
        slot, steps, first = self._slot, self._steps, self._first.reshape(-1)
        np.remainder(start, rows.capacity, out=first)
        np.take(rows.next, first, out=self._after, mode="clip")
        np.remainder(self._after, rows.capacity, out=slot)
        np.take(rows.reward, slot, out=self._reward, mode="clip")
        if self._shape_reward is not None:
            self._shape_reward(self._reward)
        np.take(rows.kind, slot, out=self._kind, mode="clip")
        steps.fill(1)
        for k in range(1, self._n_step):
            self._walk_on(rows, hi, k)
        np.take(self._power, steps, out=self._discount, mode="clip")
        self._discount *= self._kind != TERMINATED

    def _walk_on(self, rows: Rows, hi: int, k: int) -> None:
        """Take step k + 1 where there is one: it leads to a row inside, in the same episode."""
        slot, after, reward = self._slot, self._after, self._one_reward
        np.take(rows.next, slot, out=after, mode="clip")
        going = (after >= 0) & (after < hi) & (self._kind <= MID) & (self._steps == k)
        np.copyto(slot, np.remainder(after, rows.capacity), where=going)
        np.take(rows.reward, slot, out=reward, mode="clip")
        if self._shape_reward is not None:
            self._shape_reward(reward)
        reward *= self._power[k]
        np.add(self._reward, reward, out=self._reward, where=going)
        np.take(rows.kind, slot, out=self._kind, mode="clip")
        np.add(self._steps, 1, out=self._steps, where=going)


class _MaskReader:
    """Unpacks the mask bits of given slots into a buffer of its own, (B, A) uint8."""

    def __init__(self, batch: int, n_actions: int) -> None:
        width = (n_actions + 7) // 8
        self._table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
        self._bits = np.empty((batch, width), np.uint8)
        self._wide = np.empty((batch, width, 8), np.uint8)
        self._mask = np.empty((batch, n_actions), np.uint8)

    def read(self, mask_bits: NDArray[np.uint8], slots: NDArray[np.int64]) -> NDArray[np.uint8]:
        np.take(mask_bits, slots, axis=0, out=self._bits, mode="clip")
        np.take(self._table, self._bits, axis=0, out=self._wide, mode="clip")
        wide = self._wide.reshape(len(slots), -1)
        np.copyto(self._mask, wide[:, : self._mask.shape[1]])
        self._mask[~self._bits.any(axis=1)] = 1
        return self._mask


def observations(rows: Rows, row: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the features of rows (B,) by absolute index, (B, D) float32."""
    format, slots = rows.format, row % rows.capacity
    frames = slots if format.stack == 1 else stacked(rows, slots, format.stack)
    x = np.empty((len(row), format.features), np.float32)
    format.decode(rows.obs[frames], x)
    return x


def stacked(rows: Rows, slots: NDArray[np.int64], stack: int) -> NDArray[np.int64]:
    """Return the slots of each row's last ``stack`` rows, oldest first, (B stack,).

    Before the first row of an episode there is none: the first one takes their place.
    """
    found = np.empty((len(slots), stack), np.int64)
    found[:, -1] = slots
    for k in reversed(range(stack - 1)):
        before = row_before(rows, found[:, k + 1])
        found[:, k] = np.where(before >= 0, before % rows.capacity, found[:, k + 1])
    return found.reshape(-1)


def row_before(rows: Rows, slot: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the absolute index of the row before each slot's in its episode, or -1."""
    if rows.prev is None:
        raise ReplayError("rows are to be stacked and the ring does not say which comes before")
    before: NDArray[np.int64] = np.where(rows.kind[slot] == FIRST, -1, rows.prev[slot])
    return before


def check_n_step(n_step: int, capacity: int) -> None:
    """Raise NStepTooLong unless n steps, n + 1 rows, fit into ``capacity`` rows."""
    if n_step >= capacity:
        raise NStepTooLong(f"n_step {n_step} needs more than the ring's {capacity} rows")


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
