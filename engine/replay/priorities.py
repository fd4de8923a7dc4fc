"""Prioritised replay: starts drawn in proportion to their last error (arXiv:1511.05952).

Shapes: C slots of the ring, B rows of a batch, F children of a node.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.replay.rows import MID, NoValidStart, Rows
from agentd.engine.replay.sampling import cut_stacks, get_rng_state, set_rng_state
from agentd.engine.strictyaml import Fraction, Positive, Record

Floats = NDArray[np.float64]
Index = NDArray[np.integer[Any]]

_FAN = 32
_TOP = 1024  # nodes that are searched by their running sum at once


class SumTree:
    """Weights of C leaves; draws leaves in proportion to them, a whole batch at once.

    A node has 32 children and the top level at most 1,024 nodes, so a million leaves are three
    arrays. A node is the sum of its children, computed anew whenever one of them changes: rounding
    errors do not add up, an index that is set twice counts once, and only the leaves are state.
    """

    def __init__(self, leaves: int) -> None:
        self._levels: list[Floats] = [np.zeros(-(-leaves // _FAN) * _FAN)]
        while len(self._levels[-1]) > _TOP:
            nodes = len(self._levels[-1]) // _FAN
            more = nodes > _TOP  # this level has parents too: whole families
            self._levels.append(np.zeros(-(-nodes // _FAN) * _FAN if more else nodes))
        self._families = [level.reshape(-1, _FAN) for level in self._levels[:-1]]
        self.leaves: Floats = self._levels[0][:leaves]

    def __len__(self) -> int:
        return len(self.leaves)

    @property
    def total(self) -> float:
        """The sum of all leaves."""
        return float(self._levels[-1].sum())

    def set(self, leaf: Index, weight: Floats | float) -> None:
        """Give the leaves (B,) their weights, not negative; of equal ones the last counts."""
        self.leaves[leaf] = weight
        node = leaf
        for families, above in zip(self._families, self._levels[1:], strict=True):
            node = node // _FAN
            above[node] = np.add.reduce(families[node], 1)

    def restore(self, leaves: Floats) -> None:
        """Set all weights (C,) at once; every sum is what ``set`` would have computed."""
        self.leaves[:] = leaves
        for families, above in zip(self._families, self._levels[1:], strict=True):
            above[: len(families)] = np.add.reduce(families, 1)

    def find(self, at: Floats) -> NDArray[np.int64]:
        """Return the leaf at each place (B,) in [0, total) of the weights laid side by side.

        A leaf of weight 0 is never returned, whatever rounding did. ``total`` must not be 0.
        """
        running = np.cumsum(self._levels[-1])
        at = np.minimum(at, np.nextafter(running[-1], 0))
        node = np.searchsorted(running, at, side="right")
        at = at - np.where(node > 0, running[node - 1], 0.0)
        rows = np.arange(len(at))
        for families in reversed(self._families):
            sums = np.cumsum(families[node], 1)
            at = np.minimum(at, np.nextafter(sums[:, -1], 0))
            child = np.count_nonzero(sums <= at[:, None], 1)
            at = at - np.where(child > 0, sums[rows, child - 1], 0.0)
            node = node * _FAN + child
        return node


class PriorityConfig(Record, frozen=True, kw_only=True):
    """How errors decide what is drawn, with ``dqn.prioritized`` (arXiv:1511.05952)."""

    alpha: Annotated[float, Meta(ge=0.0, le=4.0)] = 0.6  # how much errors count; 0: not at all
    beta: Fraction = 0.4  # how much importance weights undo it at first
    beta_steps: Annotated[int, Meta(ge=0, le=2**53)] = 100_000  # updates until they undo all of it
    epsilon: Positive = 1e-6  # added to every error

    def beta_after(self, updates: int) -> float:
        """Return β after so many updates."""
        share = min(1.0, updates / self.beta_steps) if self.beta_steps else 1.0
        return self.beta + (1.0 - self.beta) * share


class PrioritizedSampler:
    """Draws starts by priority, one from each of B equal parts of the sum.

    A row gets the greatest priority so far when its next row is seen, and loses it when it leaves
    the range. ``weight`` (B,) float32 holds the importance weights of the last draw; the greatest
    is 1.
    """

    def __init__(
        self, batch: int, config: PriorityConfig, rng: np.random.Generator, stack: int = 1
    ) -> None:
        self.config = config
        self.weight = np.ones(batch, np.float32)
        self._rng, self._stack = rng, stack
        self._tree = SumTree(0)
        self._pending: NDArray[np.int64] = np.empty(0, np.int64)  # no next row yet
        self._lo = self._hi = 0
        self._greatest = 1.0
        self._draws = 0
        self._slot: NDArray[np.int64] = np.empty(0, np.int64)  # drawn last

    def draw(
        self, rows: Rows, lo: int, hi: int, given: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Return B absolute indices, the last of them those ``given``. Raises NoValidStart.

        A row that is given weighs 1, and gets a priority as all others.
        """
        self._follow(rows, lo, hi)
        own = len(self.weight) - (0 if given is None else len(given))
        start = self._draw(rows, lo, hi, own)
        self.weight.fill(1.0)
        if own:
            priority = self._tree.leaves[self._slot]
            beta = self.config.beta_after(self._draws)
            self.weight[:own] = (priority / priority.min()) ** -beta
        self._draws += 1
        if given is not None:
            start = np.concatenate([start, given])
            self._slot = start % rows.capacity
        return start

    def _draw(self, rows: Rows, lo: int, hi: int, count: int) -> NDArray[np.int64]:
        """Draw ``count`` rows by priority, one from each of as many equal parts of the sum."""
        tree, place = self._tree, np.arange(count)
        while True:
            total = tree.total
            if not total > 0:
                raise NoValidStart(f"no row of [{lo}, {hi}) starts a transition")
            slot = tree.find((place + self._rng.random(count)) * (total / max(1, count)))
            start = hi - 1 - (hi - 1 - slot) % rows.capacity
            cut = cut_stacks(rows, start, lo, self._stack)
            if not cut.any():
                break
            tree.set(slot[cut], 0.0)  # an older frame of theirs has left: none of them comes back
        self._slot = slot
        return start

    def update(self, error: NDArray[np.floating[Any]]) -> None:
        """Set the priorities of the rows drawn last from their errors (B,), not negative."""
        priority = (error.astype(np.float64) + self.config.epsilon) ** self.config.alpha
        self._tree.set(self._slot, priority)
        self._greatest = max(self._greatest, float(priority.max()))

    def get_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON values: all that the next draw depends on."""
        arrays = {"replay.priority": self._tree.leaves.copy(), "replay.pending": self._pending}
        return arrays, {
            "rng": get_rng_state(self._rng),
            "range": [self._lo, self._hi],
            "greatest": self._greatest,
            "draws": self._draws,
        }

    def set_state(self, arrays: Mapping[str, NDArray[Any]], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises KeyError."""
        leaves = arrays["replay.priority"]
        self._tree = SumTree(len(leaves))
        self._tree.restore(leaves)
        self._pending = arrays["replay.pending"].astype(np.int64)
        set_rng_state(self._rng, scalars["rng"])
        self._lo, self._hi = map(int, scalars["range"])
        self._greatest, self._draws = float(scalars["greatest"]), int(scalars["draws"])

    def _follow(self, rows: Rows, lo: int, hi: int) -> None:
        """Remove the rows below ``lo`` and add those that now have a next row."""
        if (lo, hi) == (self._lo, self._hi) and len(self._tree) == rows.capacity:
            return
        if len(self._tree) != rows.capacity or hi < self._hi or lo < self._lo:
            self._tree = SumTree(rows.capacity)  # another ring, or one that began anew
            self._pending, self._lo, self._hi = np.empty(0, np.int64), lo, lo
        gone = np.arange(self._lo, min(lo, self._hi, self._lo + rows.capacity))
        if len(gone):
            self._tree.set(gone % rows.capacity, 0.0)
        new = np.arange(max(lo, self._hi), hi)
        row = np.concatenate([self._pending[self._pending >= lo], new])
        slot = row % rows.capacity
        after, begins = rows.next[slot], rows.kind[slot] <= MID
        starts = begins & (after > row) & (after < hi)
        self._tree.set(slot, np.where(starts, self._greatest, 0.0))
        self._pending = row[begins & ~starts]
        self._lo, self._hi = lo, hi
