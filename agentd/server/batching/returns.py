"""Returns and lengths of episodes as they are played, kept apart for training and evaluation."""

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.facts import SILENT
from agentd.protocol.rows import FIRST, MID, TERMINATED

_ONE_MID = bytes([MID])
RECENT = 100  # episodes in a running mean


class Returns:
    """Sums rewards per stream slot and reports finished episodes."""

    def __init__(self) -> None:
        self._sum: NDArray[np.float64] = np.zeros(64)
        self._length: NDArray[np.int64] = np.zeros(64, np.int64)
        self.episodes = {"train": 0, "eval": 0}
        self.recent: dict[str, deque[float]] = {
            "train": deque(maxlen=RECENT),
            "eval": deque(maxlen=RECENT),
        }
        self.lengths: deque[int] = deque(maxlen=RECENT)
        self.won: dict[str, deque[bool]] = {role: deque(maxlen=RECENT) for role in self.recent}

    def grow(self, slots: int) -> None:
        """Make room for ``slots`` slots."""
        if slots > len(self._sum):
            size = max(slots, 2 * len(self._sum))
            self._sum = np.concatenate([self._sum, np.zeros(size - len(self._sum))])
            self._length = np.concatenate(
                [self._length, np.zeros(size - len(self._length), np.int64)]
            )

    def cut(self, block: slice) -> None:
        """Forget the episodes under way in a block of slots."""
        self._sum[block] = 0.0
        self._length[block] = 0

    def add(
        self,
        stream: NDArray[np.int64],
        kind: NDArray[np.uint8],
        reward: NDArray[np.float32],
        roles: list[tuple[str, int]],
        success: NDArray[np.uint8] | None = None,
    ) -> None:
        """Count checked rows, (N,) each; ``roles`` lists (role, end row) of consecutive parts.

        ``success`` says of ended rows whether the episode was won, see `FactColumns`.
        """
        kinds = kind.tobytes()
        if kinds == _ONE_MID:  # one game, one stream: Python's own numbers are quicker
            at = int(stream[0])
            self._sum[at] += reward[0]
            self._length[at] += 1
            return
        if kinds.count(MID) == len(kinds):  # what nearly every batch is
            self._sum[stream] += reward
            self._length[stream] += 1
            return
        going = kind != FIRST
        rows = stream[going]
        self._sum[rows] += reward[going]  # a stream has one row that is not first in a frame
        self._length[rows] += 1
        ended = np.flatnonzero(kind >= TERMINATED)
        if len(ended) == 0:
            return
        ends = np.array([end for _, end in roles])
        for at in ended.tolist():
            role = roles[int(np.searchsorted(ends, at, side="right"))][0]
            slot = stream[at]
            if role in self.recent:
                self.episodes[role] += 1
                self.recent[role].append(float(self._sum[slot]))
                self.lengths.append(int(self._length[slot]))
                if success is not None and success[at] != SILENT:
                    self.won[role].append(bool(success[at]))
            self._sum[slot] = 0.0
            self._length[slot] = 0

    def mean(self, role: str) -> float | None:
        """Mean return of the last 100 episodes of a role; None before the first."""
        recent = self.recent[role]
        return sum(recent) / len(recent) if recent else None

    def stats(self) -> dict[str, Any]:
        """What was counted, by the names that `stats` has for it.

        Of the last 100 episodes: the mean return, and the share of won ones among those whose game
        said so; None before the first.
        """
        return {
            "return_mean": self.mean("train"),
            "eval_return_mean": self.mean("eval"),
            "eval_episodes": self.episodes["eval"],
            "success_rate": self._success_rate("train"),
            "eval_success_rate": self._success_rate("eval"),
        }

    def _success_rate(self, role: str) -> float | None:
        won = self.won[role]
        return sum(won) / len(won) if won else None
