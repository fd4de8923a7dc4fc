"""Which exploratory action each stream holds, and for how many rows more (ε-z-greedy).

A row's draws depend on the seed and its absolute index alone (`engine.rules.exploration`); how long
its action is held is one of them. So what a stream holds follows from its rows in the ring, and a
server that was restarted holds what it held before.

Shapes: N rows of a batch; streams are global slots, no two rows of one stream in a
batch except the end of an episode before the beginning of the next.
"""

import numpy as np
from numpy.typing import NDArray

from agentd.engine.rules.exploration import HoldLengths, uniforms
from agentd.memory.played import EXPLORED, HELD
from agentd.memory.replay_ring import ReplayRing
from agentd.protocol.rows import FIRST, TERMINATED


class Holds:
    """What each stream holds. ``branches`` is how many actions of each branch there are."""

    def __init__(self, most: int, branches: tuple[int, ...], seed: int) -> None:
        self.lengths = HoldLengths(most)
        self.draws = 2 + len(branches)  # numbers that a row draws; the last is for the length
        self._most, self.seed = most, seed
        self._offset = np.cumsum((0, *branches[:-1]))
        self._left: NDArray[np.int64] = np.zeros(64, np.int64)
        self._action: NDArray[np.int32] = np.zeros((64, len(branches)), np.int32)

    def apply(
        self,
        stream: NDArray[np.int64],
        kind: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
        action: NDArray[np.int32],
        explored: NDArray[np.uint8],
        u: NDArray[np.float64],
    ) -> None:
        """Put held actions into ``action`` (N, branches) and ``explored`` (N,), in place.

        These hold what each row would do for itself, with `HoldLengths.chance`; a row that explores
        begins a hold, of a length drawn by u (N,). A hold ends with its last row, with the episode,
        and where one of its actions is illegal under ``mask`` (N, A).
        """
        self._grow(int(stream.max()) + 1)
        left = self._left[stream]
        left[kind == FIRST] = 0
        if mask is not None and left.any():
            held = self._action[stream] + self._offset
            left[~np.take_along_axis(mask, held, 1).all(axis=1)] = 0
        going = left > 0
        action[going] = self._action[stream[going]]
        explored[going] = EXPLORED | HELD
        begun = (explored != 0) & ~going
        left[begun] = self.lengths.length(u[begun])
        self._left[stream] = np.where(kind >= TERMINATED, 0, np.maximum(left - 1, 0))
        self._action[stream] = action

    def apply_one(
        self, stream: int, kind: int, action: int, explored: int, u: float
    ) -> tuple[int, int]:
        """Return ``action`` and ``explored`` of one row as ``apply`` leaves them.

        For one branch in which everything is legal.
        """
        self._grow(stream + 1)
        left = 0 if kind == FIRST else int(self._left[stream])
        if left:
            action, explored = int(self._action[stream, 0]), EXPLORED | HELD
        elif explored:
            left = int(self.lengths.length(np.array([u]))[0])
        self._left[stream] = max(left - 1, 0)
        self._action[stream] = action
        return action, explored

    def release(self, stream: NDArray[np.int64]) -> None:
        """End the holds of streams (M,): somebody else has taken over there."""
        if len(stream):
            self._grow(int(stream.max()) + 1)
            self._left[stream] = 0

    def restore(self, ring: ReplayRing, base: int, streams: int, session: int) -> None:
        """Hold again what a session's slots held at their newest rows.

        Where the row in which a hold began is lost, or not the agent's, nothing is held.
        """
        self._grow(base + streams)
        row = ring.newest(base, streams, session, self._most)
        slot = row % ring.physical
        explored = np.where(row >= 0, ring.columns["explored"][slot], 0)
        self._left[base : base + streams] = 0
        for i in np.flatnonzero(explored[:, 0] & EXPLORED).tolist():
            held = int(np.argmin(explored[i] & HELD))  # rows since the one in which it began
            if explored[i, held] & (EXPLORED | HELD) != EXPLORED:
                continue
            u = uniforms(self.seed, row[i, held : held + 1], self.draws)[:, -1]
            self._left[base + i] = max(0, int(self.lengths.length(u)[0]) - 1 - held)
            self._action[base + i] = ring.columns["action"][slot[i, 0]]

    def _grow(self, slots: int) -> None:
        have = len(self._left)
        if slots > have:
            more = max(slots, 2 * have) - have
            self._left = np.concatenate([self._left, np.zeros(more, np.int64)])
            room = np.zeros((more, self._action.shape[1]), np.int32)
            self._action = np.concatenate([self._action, room])
