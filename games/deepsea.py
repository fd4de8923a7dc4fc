"""Deep sea: a treasure that only an agent finds that explores on purpose.

The rules are those of bsuite's Deep Sea (Osband et al. 2020, arXiv:1908.03568; first in Osband et
al. 2016, arXiv:1402.0635), deterministic version.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import (
    ArraySpec,
    Spec,
    TimeStep,
    check_actions,
    check_streams,
    first_rows,
    outcome,
    with_resets,
)

MAP_SEED = 42
"""Which action goes right is drawn once and for all, so that training and evaluation agree."""


class DeepSea:
    """S dives into one and the same sea of ``size`` x ``size`` cells.

    ## Description
    A dive starts in the top left corner and sinks one row a step, to the left or to the right. A
    treasure lies in the bottom right corner: only going right in every row leads to it, and each
    step to the right costs a little. A random dive finds it once in ``2**size``.

    ## Action Space
    ``Discrete(2)``. Which of the two goes right differs from cell to cell, the same in every dive.
    Both are always legal.

    ## Observation Space
    ``cell``: float32 (size * size,), 1 at the cell of the dive, all 0 on the sea bed.

    ## Rewards
    ``-0.01 / size`` for a step to the right, +1 for the treasure. The best return is 0.99, that of
    a dive that never goes right 0.

    ## Episode End
    Terminated on the sea bed, after exactly ``size`` steps. Never truncated. There is no chance in
    this game: every seed plays the same.
    """

    def __init__(self, streams: int, rng: np.random.Generator, size: int = 10) -> None:
        """Make ``streams`` dives of ``size`` rows (2..100). Raises ValueError outside of that."""
        if not 2 <= size <= 100:
            raise ValueError(f"want a size of 2..100, got {size}")
        self.spec = Spec(
            name="deepsea",
            observation={"cell": ArraySpec("float32", (size * size,))},
            actions=2,
            max_steps=size,
            masked=False,
        )
        self.streams = streams
        self.size = size
        self.right = np.random.default_rng(MAP_SEED).integers(2, size=(size, size))
        self._every = np.arange(streams)
        self._row = np.zeros(streams, np.int64)
        self._column = np.zeros(streams, np.int64)
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Begin a dive in each of ``streams``; see ``Game.reset``."""
        which = self._every if streams is None else streams
        check_streams(which, self.streams)
        self._row[which] = self._column[which] = 0
        return first_rows(which, {"cell": self._cells(which)})

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Sink one row in every dive; see ``Game.step``."""
        check_actions(actions, self.streams, 2)
        right = actions == self.right[self._row, self._column]
        treasure = right & (self._row == self.size - 1) & (self._column == self.size - 1)
        self._column = (self._column + np.where(right, 1, -1)).clip(0, self.size - 1)
        self._row += 1
        landed = self._row == self.size
        frame = TimeStep(
            stream=self._every.astype(np.uint32),
            kind=outcome(landed, np.zeros_like(landed)),
            reward=(treasure - right * (0.01 / self.size)).astype(np.float32),
            obs={"cell": self._cells(self._every)},
            mask=None,
        )
        return with_resets(self, frame)

    def render(self, stream: int = 0) -> str:
        """Draw the sea of ``stream``: ``v`` the dive, ``$`` the treasure."""
        cells = np.full((self.size + 1, self.size), ".")
        cells[-1] = "_"
        cells[-1, -1] = "$"
        cells[self._row[stream], self._column[stream]] = "v"
        return "\n".join("".join(row) for row in cells)

    def _cells(self, streams: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the observations (N, size * size) of ``streams`` (N,)."""
        cells = np.zeros((len(streams), self.size, self.size), np.float32)
        swims = np.flatnonzero(self._row[streams] < self.size)
        at = streams[swims]
        cells[swims, self._row[at], self._column[at]] = 1.0
        return cells.reshape(len(streams), -1)
