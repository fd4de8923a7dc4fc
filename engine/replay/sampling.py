"""Which rows start the transitions of a batch, each equally likely; and generators' states.

Shapes: C slots of the ring, B rows of a batch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.held_out import HeldOut
from agentd.engine.replay.rows import FIRST, MID, NoValidStart, Rows, row_before
from agentd.engine.replay.scratch import Scratch

_REDRAWS = 32
"""Rounds of rejection before the valid rows are listed instead; 2^-32 with half of them valid."""


class _Draws:
    """Rows that are drawn at once, (B,) each, in memory that is kept.

    unit in [0, 1), index absolute, slot, next and kind of the ring; bad: what starts nothing; also
    is for what else makes it so.
    """

    def __init__(self) -> None:
        self._scratch, self.size = Scratch(), 0

    def resize(self, size: int) -> None:
        """Have room for ``size`` rows."""
        if size == self.size:
            return
        empty, shape, self.size = self._scratch.empty, (size,), size
        self.unit: NDArray[np.float64] = empty("unit", shape, np.float64)
        self.index: NDArray[np.int64] = empty("index", shape, np.int64)
        self.slot: NDArray[np.int64] = empty("slot", shape, np.int64)
        self.next: NDArray[np.int64] = empty("next", shape, np.int64)
        self.kind: NDArray[np.uint8] = empty("kind", shape, np.uint8)
        self.bad: NDArray[np.bool_] = empty("bad", shape, np.bool_)
        self.also: NDArray[np.bool_] = empty("also", shape, np.bool_)


class UniformSampler:
    """Draws the starts of transitions, each valid one equally likely, with replacement.

    A start is a first or mid row i of [lo, hi) whose next row lies in (i, hi), so the newest row of
    a stream is none. With ``stack`` the rows that its input is made of lie in the range too. With
    ``held_out`` no start touches a row that is. The draws depend on the generator's state, the
    range and the rows, and on nothing else.
    """

    def __init__(
        self,
        batch: int,
        rng: np.random.Generator,
        stack: int = 1,
        held_out: HeldOut | None = None,
    ) -> None:
        self._rng, self._batch, self._stack, self._lo = rng, batch, stack, 0
        self._held_out = held_out
        self._draws, self._redraws = _Draws(), _Draws()

    def draw(self, rows: Rows, lo: int, hi: int, batches: int = 1) -> NDArray[np.int64]:
        """Return ``batches`` * B absolute indices, valid until the next call.

        Raises NoValidStart.
        """
        if hi <= lo:
            raise NoValidStart(f"no rows in [{lo}, {hi})")
        self._lo, draws, again = lo, self._draws, self._redraws
        draws.resize(batches * self._batch)
        self._draw(rows, hi, draws)
        for _ in range(_REDRAWS):
            wrong = np.flatnonzero(draws.bad)
            if not len(wrong):
                return draws.index
            again.resize(len(wrong))
            self._draw(rows, hi, again)
            draws.index[wrong], draws.bad[wrong] = again.index, again.bad
        return self._draw_listed(rows, lo, hi)

    def get_state(self) -> dict[str, Any]:
        """Return the generator's state, see `get_rng_state`."""
        return get_rng_state(self._rng)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken."""
        set_rng_state(self._rng, state)

    def _draw(self, rows: Rows, hi: int, draws: _Draws) -> None:
        """Draw rows, and mark in place every one that is no start."""
        index, slot, after, bad = draws.index, draws.slot, draws.next, draws.bad
        self._rng.random(out=draws.unit)
        draws.unit *= hi - self._lo
        np.copyto(index, draws.unit, casting="unsafe")  # floor, as nothing is negative
        index += self._lo
        np.remainder(index, rows.capacity, out=slot)
        np.take(rows.next, slot, out=after, mode="clip")
        np.take(rows.kind, slot, out=draws.kind, mode="clip")
        np.less_equal(after, index, out=bad)
        bad |= np.greater_equal(after, hi, out=draws.also)
        bad |= np.greater(draws.kind, MID, out=draws.also)
        if self._stack > 1:
            bad |= cut_stacks(rows, index, self._lo, self._stack)
        if self._held_out is not None:
            barred = self._held_out.barred(rows, self._lo, hi)
            bad |= np.take(barred, slot, out=draws.also, mode="clip")

    def _may_be_drawn(self, rows: Rows, row: NDArray[np.int64], hi: int) -> NDArray[np.bool_]:
        """Return which rows (B,) start a transition that is not held out: what `_draw` leaves."""
        may = is_start(rows, row, self._lo, hi, self._stack)
        if self._held_out is not None:
            may &= ~self._held_out.barred(rows, self._lo, hi)[row % rows.capacity]
        return may

    def _draw_listed(self, rows: Rows, lo: int, hi: int) -> NDArray[np.int64]:
        """Draw from the list of all valid starts: for ranges where few rows are valid."""
        row = np.arange(lo, hi)
        starts = row[self._may_be_drawn(rows, row, hi)]
        if not len(starts):
            raise NoValidStart(f"no row of [{lo}, {hi}) starts a transition")
        draws = self._draws
        self._rng.random(out=draws.unit)
        np.take(starts, (draws.unit * len(starts)).astype(np.int64), out=draws.index)
        return draws.index


def is_start(rows: Rows, row: NDArray[np.int64], lo: int, hi: int, stack: int) -> NDArray[np.bool_]:
    """Return which rows (B,) of [lo, hi) start a transition that lies in the range."""
    slot = row % rows.capacity
    after = rows.next[slot]
    starts: NDArray[np.bool_] = (rows.kind[slot] <= MID) & (after > row) & (after < hi)
    return starts & ~cut_stacks(rows, row, lo, stack)


def cut_stacks(rows: Rows, row: NDArray[np.int64], lo: int, stack: int) -> NDArray[np.bool_]:
    """Return which rows (B,) cannot be stacked: a row before them is below ``lo`` or lost."""
    cut = np.zeros(len(row), np.bool_)
    at = row
    for _ in range(stack - 1):
        slot = at % rows.capacity
        before = row_before(rows, slot)
        begins = rows.kind[slot] == FIRST
        cut |= ~begins & (before < lo)
        at = np.where(begins | (before < lo), at, before)
    return cut


def sampler_rng(seed: int) -> np.random.Generator:
    """Return the generator that draws a learner's batches; independent of the weights' one."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))))


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


def set_rng_state(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Set a PCG64 generator to a state of `get_rng_state`. Raises ValueError on another kind."""
    rng.bit_generator.state = {
        "bit_generator": state["bit_generator"],
        "state": {"state": int(state["state"], 16), "inc": int(state["inc"], 16)},
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }
