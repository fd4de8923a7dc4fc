"""Returns and lengths of episodes as they are played, kept apart for training and evaluation."""

import math
import random
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.protocol.facts import SILENT
from agentd.protocol.rows import FIRST, MID, TERMINATED
from agentd.store.progress import SAMPLE, EpisodeSummary

_ONE_MID = bytes([MID])
RECENT = 100  # episodes in a running mean


class EpisodeTally:
    """The episodes of a role that ended since they were last taken; constant memory."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._clear()

    def _clear(self) -> None:
        self._ended = self._length = self._judged = self._won = 0
        self._mean = self._squares = 0.0  # of the returns: Welford's running mean and squares
        self._low, self._high = math.inf, -math.inf
        self._sample: list[float] = []

    def add(self, total: float, length: int, won: bool | None) -> None:
        """Count an episode of return ``total``; ``won`` is None where its game did not say."""
        self._ended += 1
        before = total - self._mean
        self._mean += before / self._ended
        self._squares += before * (total - self._mean)
        self._low, self._high = min(self._low, total), max(self._high, total)
        self._length += length
        self._judged += won is not None
        self._won += bool(won)
        kept = float(f"{total:.6g}")
        if len(self._sample) < SAMPLE:
            self._sample.append(kept)
        elif (at := self._random.randrange(self._ended)) < SAMPLE:
            self._sample[at] = kept

    def take(self) -> EpisodeSummary | None:
        """What was counted, which is then forgotten; None of no episodes."""
        if not self._ended:
            return None
        summary = EpisodeSummary(
            ended=self._ended,
            mean=self._mean,
            std=math.sqrt(self._squares / self._ended),
            low=self._low,
            high=self._high,
            length=self._length / self._ended,
            judged=self._judged,
            won=self._won,
            sample=tuple(self._sample),
        )
        self._clear()
        return summary


class Returns:
    """Sums rewards per stream slot and reports finished episodes.

    tallies  the episodes since they were last looked at, by role
    """

    def __init__(self) -> None:
        self._sum: NDArray[np.float64] = np.zeros(64)
        self._length: NDArray[np.int64] = np.zeros(64, np.int64)
        self.episodes = {"train": 0, "eval": 0}
        self.recent: dict[str, deque[float]] = {
            "train": deque(maxlen=RECENT),
            "eval": deque(maxlen=RECENT),
        }
        self._lengths: deque[int] = deque(maxlen=RECENT)  # of training episodes
        self.won: dict[str, deque[bool]] = {role: deque(maxlen=RECENT) for role in self.recent}
        self.tallies = {role: EpisodeTally() for role in self.recent}

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
                total, length = float(self._sum[slot]), int(self._length[slot])
                said = success is not None and success[at] != SILENT
                won = bool(success[at]) if success is not None and said else None
                self.episodes[role] += 1
                self.recent[role].append(total)
                if role == "train":
                    self._lengths.append(length)
                if won is not None:
                    self.won[role].append(won)
                self.tallies[role].add(total, length, won)
            self._sum[slot] = 0.0
            self._length[slot] = 0

    def mean(self, role: str) -> float | None:
        """Mean return of the last 100 episodes of a role; None before the first."""
        recent = self.recent[role]
        return sum(recent) / len(recent) if recent else None

    @property
    def length_mean(self) -> float | None:
        """Mean rows of the last 100 training episodes; None before the first."""
        return sum(self._lengths) / len(self._lengths) if self._lengths else None

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
