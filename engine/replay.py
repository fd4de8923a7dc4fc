"""Replay: what a ring of rows looks like, and how a batch of transitions is read from it.

The ring holds one row per observation of a stream; a transition is two rows joined by ``next``.
Rows have absolute indices that grow for ever; row i lies in slot ``i % C``. The n-step return is
computed when a batch is read, so n can change without touching the ring, and an episode's end is
``discount`` 0 where it terminated, an ordinary bootstrap where it was truncated or cut.

Shapes: C slots of the ring, B rows of a batch, D features of an observation, A actions over all
branches, N branches, n steps.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
"""Row kinds, as the wire numbers them."""

_REDRAWS = 32
"""Rounds of rejection before the valid rows are listed instead; 2^-32 with half of them valid."""


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

    ``branches`` holds the number of actions of each branch; a discrete agent has one branch.
    """

    tensors: tuple[TensorFormat, ...]
    branches: tuple[int, ...]
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
        set_field(self, "features", sum(t.features for t in self.tensors))
        set_field(self, "n_actions", sum(self.branches))
        set_field(self, "is_float32", all(t.dtype == np.dtype("<f4") for t in self.tensors))

    def decode(self, raw: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
        """Write the rows' features into ``out``, in place.

        raw (B, row_bytes) uint8; out (B, D) float32, C-contiguous. Integers keep their value.
        """
        if self.is_float32:
            np.copyto(out.view(np.uint8), raw)
            return
        at = 0
        for t in self.tensors:
            values = raw[:, t.offset : t.offset + t.nbytes].view(t.dtype)
            out[:, at : at + t.features] = values
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
    """

    x: NDArray[np.float32]
    action_tm1: NDArray[np.int32]
    reward_t: NDArray[np.float32]
    discount_t: NDArray[np.float32]
    mask: NDArray[np.uint8] | None


class UniformSampler:
    """Draws the starts of transitions, each valid one equally likely, with replacement.

    A start is a first or mid row i of [lo, hi) whose next row lies in (i, hi): the newest row of
    a stream is not one yet. The draws depend on the generator's state, the range and the rows,
    and on nothing else.
    """

    def __init__(self, batch: int, rng: np.random.Generator) -> None:
        self._rng, self._batch = rng, batch
        self._make(batch)

    def draw(self, rows: Rows, lo: int, hi: int, batches: int = 1) -> NDArray[np.int64]:
        """Return ``batches`` * B absolute indices, valid until the next call.

        Raises NoValidStart.
        """
        if hi <= lo:
            raise NoValidStart(f"no rows in [{lo}, {hi})")
        if len(self._index) != batches * self._batch:
            self._make(batches * self._batch)
        index, bad = self._index, self._bad
        self._rng.random(out=self._unit)
        self._unit *= hi - lo
        np.copyto(index, self._unit, casting="unsafe")  # floor, as nothing is negative
        index += lo
        self._reject(rows, hi)
        for _ in range(_REDRAWS):
            wrong = np.count_nonzero(bad)
            if not wrong:
                return index
            index[bad] = (self._rng.random(wrong) * (hi - lo)).astype(np.int64) + lo
            self._reject(rows, hi)
        return self._draw_listed(rows, lo, hi)

    def get_state(self) -> dict[str, Any]:
        """Return the generator's state, see `get_rng_state`."""
        return get_rng_state(self._rng)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken."""
        set_rng_state(self._rng, state)

    def _make(self, size: int) -> None:
        self._unit = np.empty(size)
        self._index = np.empty(size, np.int64)
        self._slot = np.empty(size, np.int64)
        self._next = np.empty(size, np.int64)
        self._kind = np.empty(size, np.uint8)
        self._bad = np.empty(size, np.bool_)
        self._also = np.empty(size, np.bool_)

    def _reject(self, rows: Rows, hi: int) -> None:
        """Mark every drawn row that is no start, in place."""
        slot, after, bad = self._slot, self._next, self._bad
        np.remainder(self._index, rows.capacity, out=slot)
        np.take(rows.next, slot, out=after, mode="clip")
        np.take(rows.kind, slot, out=self._kind, mode="clip")
        np.less_equal(after, self._index, out=bad)
        bad |= np.greater_equal(after, hi, out=self._also)
        bad |= np.greater(self._kind, MID, out=self._also)

    def _draw_listed(self, rows: Rows, lo: int, hi: int) -> NDArray[np.int64]:
        """Draw from the list of all valid starts: for ranges where few rows are valid."""
        row = np.arange(lo, hi)
        slot = row % rows.capacity
        after = rows.next[slot]
        starts = row[(rows.kind[slot] <= MID) & (after > row) & (after < hi)]
        if not len(starts):
            raise NoValidStart(f"no row of [{lo}, {hi}) starts a transition")
        self._rng.random(out=self._unit)
        np.take(starts, (self._unit * len(starts)).astype(np.int64), out=self._index)
        return self._index


class TransitionReader:
    """Reads n-step transitions from given starts into buffers of its own.

    Sutton & Barto 2018, equation 7.1: rewards of up to n steps, discounted by γ; the walk along
    ``next`` stops at the episode's end and before ``hi``, and bootstraps from where it stopped.
    Several batches may be read at once: NumPy's calls then cost little for each of them.
    """

    def __init__(self, format: RowFormat, batch: int, n_step: int, gamma: float) -> None:
        self._format, self._batch, self._n_step = format, batch, n_step
        self._power = (gamma ** np.arange(n_step + 1)).astype(np.float32)
        self._make(batch)

    def read(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> Batch:
        """Return the transitions that begin at rows ``start`` (B,); valid until the next call.

        Every start must be one that `UniformSampler` may draw. Raises NStepTooLong.
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
        np.take(rows.obs, slots, axis=0, out=self._raw, mode="clip")
        if not self._format.is_float32:
            self._format.decode(self._raw, self._x)
        np.take(rows.action, self._first.reshape(-1), axis=0, out=self._action, mode="clip")
        if not rows.has_masks:
            return self._batches
        mask = self._masks.read(rows.mask_bits, slots)
        parts = mask.reshape(len(self._batches), -1, mask.shape[1])
        return [b._replace(mask=m) for b, m in zip(self._batches, parts, strict=True)]

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
            self._raw = self._x.view(np.uint8)
        else:
            self._raw = np.empty((2 * size, format.row_bytes), np.uint8)
        parts = [slice(i * b, (i + 1) * b) for i in range(k)]
        self._batches = [
            Batch(x, self._action[at], self._reward[at], self._discount[at], None)
            for at, x in zip(parts, np.split(self._x, k), strict=True)
        ]

    def _walk(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> None:
        """Follow ``next`` from every start; leave slots, returns and discounts, in place."""
        slot, steps, first = self._slot, self._steps, self._first.reshape(-1)
        np.remainder(start, rows.capacity, out=first)
        np.take(rows.next, first, out=self._after, mode="clip")
        np.remainder(self._after, rows.capacity, out=slot)
        np.take(rows.reward, slot, out=self._reward, mode="clip")
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


def check_n_step(n_step: int, capacity: int) -> None:
    """Raise NStepTooLong unless n steps, n + 1 rows, fit into ``capacity`` rows."""
    if n_step >= capacity:
        raise NStepTooLong(f"n_step {n_step} needs more than the ring's {capacity} rows")


def get_rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return a PCG64 generator's state as JSON values; its 128-bit words as hexadecimal text."""
    state: dict[str, Any] = rng.bit_generator.state  # type: ignore[assignment]
    return {
        "bit_generator": state["bit_generator"],
        "state": hex(state["state"]["state"]),
        "inc": hex(state["state"]["inc"]),
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }


def set_rng_state(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Set a PCG64 generator to a state of `get_rng_state`. Raises ValueError on another kind."""
    rng.bit_generator.state = {
        "bit_generator": state["bit_generator"],
        "state": {"state": int(state["state"], 16), "inc": int(state["inc"], 16)},
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
