"""Rows that a person or a script played: an agent's demonstrations, and how a batch takes of them.

The row from which an action was played says who chose it, in bits 1 and 2 of ``explored``.

Shapes: B rows of a batch, M demonstrations.
"""

from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.replay.held_out import HeldOut
from agentd.engine.replay.rows import MID, Rows, chosen_by
from agentd.engine.replay.sampling import UniformSampler, cut_stacks
from agentd.engine.strictyaml import Count, Fraction, Record


class DemonstrationConfig(Record, frozen=True, kw_only=True):
    """Learning from what a person or a script played; costs nothing while there is none of it.

    Part of each batch comes from such rows, and a margin loss there says that no other action is
    as good as the one played (arXiv:1704.03732). It fades to nothing, so that the agent may become
    better than its teacher: with a tenth of it left for ever, agents did not. For ``learner: dqn``.
    """

    share: Fraction = 0.5  # most of a batch that demonstrations fill; 0: none is set aside for them
    min_rows: Count = 200  # fewer demonstrated rows than these are learned from as any others
    full_rows: Count = 1_000  # so many would fill a whole batch, fewer their part of it
    margin: Annotated[float, Meta(ge=0, le=1e3)] = 0.1  # in deviations of the n-step targets
    weight: Annotated[float, Meta(ge=0, le=1e3)] = 1.0  # of the margin loss at first
    weight_end: Annotated[float, Meta(ge=0, le=1e3)] = 0.0  # and in the end
    weight_updates: Count = 20_000  # updates from the one to the other
    n_step: Annotated[int, Meta(ge=1, le=64)] = 10  # rewards summed after a demonstrated action

    def counts(self, rows: int) -> bool:
        """Whether so many rows of demonstrations are treated as such."""
        return rows >= self.min_rows and (self.share > 0 or self.weight > 0 or self.weight_end > 0)

    def rows_of(self, batch: int, rows: int) -> int:
        """Return how many of a batch's rows are drawn from ``rows`` demonstrations."""
        if not self.counts(rows):
            return 0
        return round(min(self.share, rows / self.full_rows) * batch)

    def weight_after(self, updates: int) -> float:
        """Return the margin loss's weight after so many updates with demonstrations."""
        gone = min(1.0, updates / self.weight_updates)
        return self.weight + (self.weight_end - self.weight) * gone


DEMONSTRATIONS = DemonstrationConfig()
"""How demonstrations are learned from where nobody says."""


class DemonstrationIndex:
    """Which rows of a window start a transition whose action a person or a script chose.

    It follows a window that moves on, at a cost of the rows that are new; what it holds depends on
    the window and the rows alone, so it is no part of a learner's state.
    """

    def __init__(self, stack: int = 1, held_out: HeldOut | None = None) -> None:
        self._stack, self._held_out = stack, held_out
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)  # (M,), sorted
        self._pending: NDArray[np.int64] = self._rows  # no next row yet
        self._lo = self._hi = self._capacity = 0

    def __len__(self) -> int:
        return len(self._rows)

    def follow(self, rows: Rows, lo: int, hi: int) -> None:
        """Make this the index of the rows [lo, hi)."""
        if (lo, hi, rows.capacity) == (self._lo, self._hi, self._capacity):
            return
        if rows.capacity != self._capacity or hi < self._hi or lo < self._lo:
            self._rows = self._pending = np.empty(0, np.int64)  # another ring, or one begun anew
            self._hi, self._capacity = lo, rows.capacity
        new = np.arange(max(lo, self._hi), hi)
        row = np.concatenate([self._pending[self._pending >= lo], new])
        slot = row % rows.capacity
        after, begins = rows.next[slot], rows.kind[slot] <= MID
        starts = begins & (after > row) & (after < hi)
        self._pending = row[begins & ~starts]
        found = row[starts & (chosen_by(rows.explored[slot]) > 0)]
        if lo > self._lo and len(self._rows):
            self._rows = self._rows[np.searchsorted(self._rows, lo) :]
        if len(found):
            late = len(self._rows) > 0 and found[0] < self._rows[-1]
            self._rows = np.concatenate([self._rows, found])
            if late:  # of a stream slower than another one
                self._rows.sort()
        self._lo, self._hi = lo, hi

    def draw(self, rng: np.random.Generator, rows: Rows, count: int) -> NDArray[np.int64]:
        """Return ``count`` of the rows, each equally likely.

        They are fewer where some cannot be stacked or touch a row that is held out.
        """
        drawn = self._rows[(rng.random(count) * len(self._rows)).astype(np.int64)]
        if self._stack > 1:
            drawn = drawn[~cut_stacks(rows, drawn, self._lo, self._stack)]
        if self._held_out is not None:
            barred = self._held_out.barred(rows, self._lo, self._hi)
            drawn = drawn[~barred[drawn % rows.capacity]]
        return drawn


class MixedSampler:
    """Draws the starts of transitions as ``plain`` does, but some of each batch from ``index``.

    Those are its last ones. ``rng`` is the generator of ``plain``; the index must have followed
    the range that is drawn from.
    """

    def __init__(
        self,
        plain: UniformSampler,
        index: DemonstrationIndex,
        config: DemonstrationConfig,
        rng: np.random.Generator,
        batch: int,
    ) -> None:
        self._plain, self._index, self._config = plain, index, config
        self._rng, self._batch = rng, batch

    def draw(self, rows: Rows, lo: int, hi: int, batches: int = 1) -> NDArray[np.int64]:
        """Return ``batches`` * B absolute indices, valid until the next call.

        Raises NoValidStart.
        """
        start = self._plain.draw(rows, lo, hi, batches)
        count = self._config.rows_of(self._batch, len(self._index))
        for batch in start.reshape(batches, self._batch) if count else ():
            drawn = self._index.draw(self._rng, rows, count)
            batch[self._batch - len(drawn) :] = drawn
        return start

    def get_state(self) -> dict[str, Any]:
        """Return the generator's state, see `UniformSampler`."""
        return self._plain.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where ``state`` was taken."""
        self._plain.set_state(state)
