"""Fresh rows of a ring as transitions, in order, joined into fragments of their streams.

A fragment is a run of consecutive rows of one stream and one episode whose actions the same one of
agent, person and script chose. A transition belongs to the window of rows in which it *ends*, and
to no other. So no transition is lost between two windows, however slow its stream is, as long as
its first row is still in the ring.

Shapes: M transitions, B rows of a block, D features, A actions over all branches, N branches.
"""

from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.replay.rows import MID, ReplayError, RowFormat, Rows, chosen_by, inputs
from agentd.engine.rules.traces import policy_lag

Index = NDArray[np.int64]


class FragmentTooLong(ReplayError):
    """Raised when a window of fresh rows does not fit into the ring."""


class Transitions(NamedTuple):
    """Transitions in the order of the rows that ended them.

    start, end   (M,) absolute indices of the rows at t-1 and at t
    after        (M,) index of the transition that starts where this one ends, a later one, or -1
    """

    start: Index
    end: Index
    after: NDArray[np.intp]


LagBound: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)] | None
"""The most updates by which the weights that chose an action may be behind; None for any."""


class Lag(NamedTuple):
    """How old the weights were that acted, in updates, and how many rows were dropped for it."""

    mean: float
    most: int
    dropped: int


NO_LAG = Lag(0.0, 0, 0)


def check_fragment(window: int, capacity: int) -> None:
    """Raise FragmentTooLong unless ``window`` fresh rows fit into ``capacity`` rows."""
    if window > capacity:
        raise FragmentTooLong(
            f"fragments of {window} fresh rows need more than the ring's {capacity} rows"
        )


def fresh_transitions(rows: Rows, lo: int, hi: int, window: int) -> tuple[Index, Index]:
    """Return starts and ends, (M,) each, of transitions that end in rows [hi - window, hi).

    They start in rows [lo, hi) and are sorted by their ends. The result depends on the rows alone.
    """
    first, count = lo % rows.capacity, max(0, hi - lo)
    after = rows.next[first : first + count]
    if len(after) < count:
        after = np.concatenate([after, rows.next[: count - len(after)]])
    place = np.flatnonzero((after >= hi - window) & (after < hi))
    start, end = place + lo, after[place]
    sound = (end > start) & (rows.kind[start % rows.capacity] <= MID)
    order = np.argsort(end[sound], kind="stable")
    return start[sound][order], end[sound][order]


def drop_stale(
    rows: Rows, start: Index, end: Index, updates: int, bound: int | None
) -> tuple[Index, Index, Lag]:
    """Return the transitions whose action came from weights at most ``bound`` updates old.

    The `Lag` covers the dropped ones too. With ``bound`` None nothing is dropped.
    """
    if not len(start):
        return start, end, NO_LAG
    lag = policy_lag(updates, rows.version[start % rows.capacity])
    keep = np.ones(len(lag), np.bool_) if bound is None else lag <= bound
    found = Lag(float(lag.mean()), int(lag.max()), int(np.count_nonzero(~keep)))
    return start[keep], end[keep], found


def join(rows: Rows, start: Index, end: Index) -> Transitions:
    """Return the transitions, each linked to the one that follows it.

    Where another one (agent, person, script) chooses the next action, nothing follows.
    """
    if not len(start):
        return Transitions(start, end, np.empty(0, np.intp))
    order = np.argsort(start, kind="stable")
    place = np.searchsorted(start[order], end)
    after = order[np.minimum(place, len(start) - 1)]
    by = chosen_by(rows.explored[start % rows.capacity])
    follows = (start[after] == end) & (by[after] == by)
    return Transitions(start, end, np.where(follows, after, -1))


class RowReader:
    """Reads the observations and masks of up to ``batch`` given rows into buffers of its own."""

    def __init__(self, format: RowFormat, batch: int, input_shape: tuple[int, ...]) -> None:
        self._format, self._shape = format, input_shape
        self._x = np.empty((batch, format.features), np.float32)
        self._raw = np.empty((batch * format.stack, format.row_bytes), np.uint8)

    def read(
        self, rows: Rows, index: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Return x (B, *input_shape) and the mask (B, A), None where everything is legal.

        ``index`` (B,) holds absolute indices. Valid until the next call.
        """
        slot, n = index % rows.capacity, len(index)
        inputs(rows, slot, self._raw[: n * self._format.stack], self._x[:n])
        mask = self._mask(rows.mask_bits[slot]) if rows.has_masks else None
        return self._x[:n].reshape(n, *self._shape), mask

    def _mask(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        mask = np.unpackbits(bits, axis=1, count=self._format.n_actions)
        mask[~bits.any(axis=1)] = 1
        return mask
