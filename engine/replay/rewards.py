"""Reward shaping: rewards are scaled, normalised and clipped when a batch is read.

The ring keeps them as the game gave them.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.replay.rows import FIRST, MID, Rows
from agentd.engine.rules.moments import RunningMoments
from agentd.engine.strictyaml import Positive, Record

_FLOOR = 1e-8


class RewardConfig(Record, frozen=True, kw_only=True):
    """What becomes of each reward before it is learned from: clip(scale * reward / spread)."""

    scale: Positive = 1.0
    clip: Positive | None = None  # bound on what is left
    normalize: bool = False  # divide by the deviation of the discounted return so far

    @property
    def changes_nothing(self) -> bool:
        """Whether rewards stay as they are."""
        return self == UNSHAPED


UNSHAPED = RewardConfig()
"""Rewards as the game gave them."""


class RewardShaper:
    """Shapes rewards; keeps the variance of the returns of the rows it has observed.

    The return accumulates along an episode: R = gamma R + reward, from 0 at its first row, and
    every row's R is one sample. It restarts at 0 where a stream's rows were lost.
    """

    def __init__(self, config: RewardConfig, gamma: float) -> None:
        self.config, self._gamma = config, gamma
        self._moments = RunningMoments(1)
        self._open: dict[int, float] = {}  # newest row of each stream: its return
        self._seen = 0

    def __call__(self, reward: NDArray[np.float32]) -> None:
        """Shape rewards (B,) in place."""
        config = self.config
        factor = config.scale
        if config.normalize:
            factor /= sqrt(float(self._moments.variance[0]) + _FLOOR)
        reward *= np.float32(factor)
        if config.clip is not None:
            np.clip(reward, -config.clip, config.clip, out=reward)

    def observe(self, rows: Rows, lo: int, hi: int) -> None:
        """Update the variance from the rows of [lo, hi) not seen before."""
        if not self.config.normalize or hi == self._seen:
            return
        first = max(lo, self._seen) if hi > self._seen else lo
        coming = self._returns_into(rows, first, hi)
        slot = np.arange(first, hi) % rows.capacity
        columns = (rows.kind[slot].tolist(), rows.reward[slot].tolist(), rows.next[slot].tolist())
        found: list[float] = []
        discount = self._discounts(rows, slot)
        for row, kind, reward, after, gamma in zip(
            range(first, hi), *columns, discount, strict=True
        ):
            total = 0.0 if kind == FIRST else gamma * coming.pop(row, 0.0) + reward
            if kind != FIRST:
                found.append(total)
            if kind <= MID and row < after < hi:
                coming[after] = total
            elif kind <= MID:
                self._open[row] = total
        self._moments.merge(np.array(found).reshape(-1, 1))
        self._seen = hi

    def _discounts(self, rows: Rows, slot: NDArray[np.int64]) -> list[float]:
        """Return how much what was before each row counts there, by the time that it took."""
        if rows.elapsed is None:
            return [self._gamma] * len(slot)
        gamma = abs(self._gamma) ** rows.elapsed[slot].astype(np.float64)
        discount: list[float] = np.copysign(gamma, self._gamma).tolist()
        return discount

    def _returns_into(self, rows: Rows, first: int, hi: int) -> dict[int, float]:
        """Remove the streams that continue in [first, hi); return their returns by that row."""
        coming, still = {}, {}
        for row, total in self._open.items():
            after = int(rows.next[row % rows.capacity])
            if first <= after < hi:
                coming[after] = total
            elif hi - row < rows.capacity:
                still[row] = total
        self._open = still
        return coming

    def get_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and JSON values; none where rewards are not normalised."""
        if not self.config.normalize:
            return {}, {}
        moments, count = self._moments.get_state()
        arrays: dict[str, NDArray[Any]] = {
            "reward.moments": moments,
            "reward.open_rows": np.array(list(self._open), np.int64),
            "reward.open_returns": np.array(list(self._open.values()), np.float64),
        }
        return arrays, {"returns": count, "seen": self._seen}

    def set_state(self, arrays: Mapping[str, NDArray[Any]], scalars: Mapping[str, Any]) -> None:
        """Continue where ``get_state`` was called. Raises KeyError, ShapeError."""
        if not self.config.normalize:
            return
        self._moments.set_state(arrays["reward.moments"], scalars["returns"])
        rows, returns = arrays["reward.open_rows"], arrays["reward.open_returns"]
        self._open = dict(zip(rows.tolist(), returns.tolist(), strict=True))
        self._seen = int(scalars["seen"])
