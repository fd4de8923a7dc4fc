"""Rows of a replay ring: their columns and how an observation's bytes lie in them.

The ring holds one row per observation of a stream; ``next`` links a row to the next one of the
same episode. Rows have absolute indices that grow for ever; row i lies in slot ``i % C``.

Shapes: C slots of the ring, B rows of a batch, D features of an observation, A actions over all
branches, N branches, K rows of a stack, L last actions.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
"""Row kinds, as the wire numbers them."""


class ReplayError(ValueError):
    """Root of what can be wrong with reading a batch."""


class NoValidStart(ReplayError):
    """Raised when no row of the range can start a transition."""


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
class BinGrowth:
    """When each action begins to exist, where the bins of numbers grow finer with time.

    Seyde et al. 2024 (Growing Q-networks, arXiv:2404.04253), with a schedule: a level lasts
    ``every`` rows. level (A,) of each action, 0 from the first row on.
    """

    every: int
    level: tuple[int, ...]

    def legal(self, rows: int) -> NDArray[np.uint8] | None:
        """Return 1 for the actions that there are after so many rows, (A,); None for all."""
        now = rows // self.every
        return None if now >= max(self.level) else (np.array(self.level) <= now).astype(np.uint8)

    def limit(self, mask: NDArray[np.uint8] | None, rows: int, n: int) -> NDArray[np.uint8] | None:
        """Return the mask (n, A) of those actions of ``mask`` that there are; None for all."""
        legal = self.legal(rows)
        if legal is None:
            return mask
        return np.tile(legal, (n, 1)) if mask is None else mask & legal


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How an observation's bytes become D float32 features, and what actions there are.

    ``branches`` holds the number of actions of each branch; a discrete agent has one branch. With
    ``stack`` K above 1 the features are those of the stream's last K rows, oldest first: side by
    side, or, where a row is one image (H, W, C), as K times as many channels (H, W, K C).

    With ``last_actions`` L above 0 the L actions that were played before the row follow, oldest
    first: A numbers each, 1 for the action of each branch, all 0 before the episode's first action;
    beside an image they are A planes each, (H, W, K C + L A). ``numbers``: some branches stand for
    numbers, a bin an action, which come one after the other where there is a ``growth``.
    """

    tensors: tuple[TensorFormat, ...]
    branches: tuple[int, ...]
    stack: int = 1
    last_actions: int = 0
    numbers: bool = False
    growth: BinGrowth | None = None
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
        set_field(self, "n_actions", sum(self.branches))
        set_field(self, "features", int(np.prod(self.input_shape, dtype=np.int64)))
        floats = all(t.dtype == np.dtype("<f4") for t in self.tensors)
        as_they_are = not self.last_actions and not (self.stack > 1 and self._is_image)
        set_field(self, "is_float32", floats and as_they_are)

    @property
    def _is_image(self) -> bool:
        return len(self.tensors) == 1 and len(self.tensors[0].shape) == 3

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What a network sees: an image, its channels last, where a row is one; all else flat."""
        actions = self.last_actions * self.n_actions
        if not self._is_image:
            return (self.stack * sum(t.features for t in self.tensors) + actions,)
        height, width, channels = self.tensors[0].shape
        return (height, width, self.stack * channels + actions)

    @property
    def depth(self) -> int:
        """How many rows of a stream an input is made of, the newest one included."""
        return max(self.stack, self.last_actions + 1)

    def decode(
        self,
        raw: NDArray[np.uint8],
        out: NDArray[np.float32],
        played: NDArray[np.int32] | None = None,
    ) -> None:
        """Write the features of B inputs into ``out``, in place.

        raw (B K, row_bytes) uint8, the K rows of an input in order; out (B, D) float32,
        C-contiguous; played (B, L, N) int32, the last actions, oldest first and -1 for none,
        needed with ``last_actions``. Integers keep their value.
        """
        if self.last_actions:
            if played is None:
                raise ValueError("last actions are features and none were given")
            self._decode_with_actions(raw, out, played)
            return
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

    def _decode_with_actions(
        self, raw: NDArray[np.uint8], out: NDArray[np.float32], played: NDArray[np.int32]
    ) -> None:
        """``decode`` where the last actions follow the rows: side by side, or as planes."""
        places, n, at = out.reshape(len(out), -1, self.input_shape[-1]), len(out), 0
        for k in range(self.stack):
            row = raw[k :: self.stack]
            for t in self.tensors:
                values = row[:, t.offset : t.offset + t.nbytes].view(t.dtype)
                values = values.reshape(n, places.shape[1], -1)
                places[:, :, at : at + values.shape[2]] = values
                at += values.shape[2]
        for i in range(self.last_actions):
            for b, width in enumerate(self.branches):
                one = played[:, i, b, np.newaxis, np.newaxis] == np.arange(width)
                places[:, :, at : at + width] = one
                at += width


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
    explored   (C,) uint8, bit 0: the action was an exploratory one; bits 1-2: who chose it, see
               `chosen_by`; bit 3: it was held over from the row before
    stream     (C,) uint32, which stream the row is of
    version    (C,) uint64, updates behind the weights that chose the action
    has_masks  False while no row carries a mask: ``mask_bits`` is then not read at all
    prev       (C,) int64, absolute index of the row before, or -1; kept only where an input is made
               of several rows
    elapsed    (C,) float32, nominal steps that led to this row, above 0; kept only where time
               counts, elsewhere every row takes one
    memory     (C, S) float32, what a network that remembers left behind the row; kept only for one
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
    elapsed: NDArray[np.float32] | None = None
    memory: NDArray[np.float32] | None = None

    @property
    def capacity(self) -> int:
        """C, the slots of the ring."""
        return len(self.kind)


def chosen_by(explored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return who chose each action, from rows' ``explored``: 0 agent, 1 person, 2 script."""
    by: NDArray[np.uint8] = np.bitwise_and(explored >> np.uint8(1), np.uint8(3))
    return by


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


def played_before(rows: Rows, slots: NDArray[np.int64], count: int) -> NDArray[np.int32]:
    """Return the last ``count`` actions played before each slot's row, (B, count, N).

    Oldest first, as the ring holds them: what was played, whoever chose it. -1 for none: before
    the episode's first action.
    """
    found = np.full((len(slots), count, rows.action.shape[1]), -1, np.int32)
    at = slots
    for k in reversed(range(count)):
        before = row_before(rows, at)
        there = before >= 0
        at = np.where(there, before % rows.capacity, at)
        found[there, k] = rows.action[at[there]]
    return found


def inputs(
    rows: Rows, slots: NDArray[np.int64], raw: NDArray[np.uint8], x: NDArray[np.float32]
) -> None:
    """Write what a network sees of the rows in ``slots`` (B,) into ``x`` (B, D), in place.

    ``raw`` (B K, row_bytes) takes their observations; it may share the memory of ``x`` where the
    format ``is_float32``.
    """
    format = rows.format
    frames = slots if format.stack == 1 else stacked(rows, slots, format.stack)
    np.take(rows.obs, frames, axis=0, out=raw, mode="clip")
    if format.last_actions:
        format.decode(raw, x, played_before(rows, slots, format.last_actions))
    elif not np.may_share_memory(raw, x):
        format.decode(raw, x)


def row_before(rows: Rows, slot: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the absolute index of the row before each slot's in its episode, or -1."""
    if rows.prev is None:
        raise ReplayError("inputs of several rows: the ring does not say which comes before")
    before: NDArray[np.int64] = np.where(rows.kind[slot] == FIRST, -1, rows.prev[slot])
    return before


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
