"""Where a replay learner's batches come from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.replay.demonstrations import (
    DemonstrationConfig,
    DemonstrationIndex,
    MixedSampler,
)
from agentd.engine.replay.feed import BatchFeed
from agentd.engine.replay.held_out import HeldOut
from agentd.engine.replay.priorities import PrioritizedSampler
from agentd.engine.replay.resident import ResidentRows
from agentd.engine.replay.rewards import RewardConfig, RewardShaper
from agentd.engine.replay.rows import RowFormat, Rows
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.transitions import TransitionBatch, TransitionReader


class BatchSource:
    """Draws starts, uniformly or by priority, and reads the transitions that follow them.

    Uniform batches are read several at once. Where the device has memory of its own, a copy of the
    ring's observations may lie there. While there are enough demonstrations, part of each batch is
    drawn from them, each equally likely, and batches say who chose the actions.
    """

    def __init__(
        self,
        backend: Backend,
        format: RowFormat,
        config: DqnConfig,
        reward: RewardConfig,
        seed: int,
        demonstrations: DemonstrationConfig,
        gamma: float,
        held_out: HeldOut | None = None,
    ) -> None:
        size, rng = config.batch, sampler_rng(seed)
        self._backend, self._size, self._rng = backend, size, rng
        self._demonstrations = demonstrations
        self._demonstrated = DemonstrationIndex(format.depth, held_out)
        self._resident: ResidentRows | None = None
        self._placed = False  # whether `_resident` is decided: the first ring decides it
        self._shaper = RewardShaper(reward, gamma)
        shape = None if reward.changes_nothing else self._shaper
        self._read_as = (config.n_step, gamma, shape, demonstrations.n_step)
        self._format = format
        self._reader = self.reader(size)
        self.priorities: PrioritizedSampler | None = None
        if config.prioritized:
            self.priorities = PrioritizedSampler(size, config.priority, rng, format.depth, held_out)
        else:
            even = UniformSampler(size, rng, format.depth, held_out)
            mixed = MixedSampler(even, self._demonstrated, demonstrations, rng, size)
            self._feed = BatchFeed(mixed, self._reader, 2 * size * format.features * 4)

    @property
    def weight(self) -> NDArray[np.float32] | None:
        """Importance weights (B,) of the last batch, None where all are 1."""
        return None if self.priorities is None else self.priorities.weight

    @property
    def demonstrations(self) -> int:
        """Rows of the last batch's window that a person or a script played."""
        return len(self._demonstrated)

    def reader(self, size: int) -> TransitionReader:
        """Return a new reader of ``size`` transitions; it shapes rewards as ``next`` does."""
        return TransitionReader(self._format, size, *self._read_as)

    def next(
        self, rows: Rows, lo: int, hi: int, ahead: int
    ) -> tuple[TransitionBatch, Array | Host]:
        """Return a batch and its observations (2 B, D), from device memory where a copy lies there.

        Both are valid until the next call.
        """
        if not self._placed:
            self._placed = True
            self._resident = ResidentRows.of(self._backend, rows, 2 * self._size)
            self._reader.observes = self._resident is None
        self._shaper.observe(rows, lo, hi)
        index, options = self._demonstrated, self._demonstrations
        index.follow(rows, lo, hi)
        self._reader.sees_by = len(index) > 0
        self._reader.tells_by = options.counts(len(index))
        if self.priorities is None:
            batch = self._feed.next(rows, lo, hi, ahead)
        else:
            count = options.rows_of(self._size, len(index))
            shown = index.draw(self._rng, rows, count) if count else None
            batch = self._reader.read(rows, hi, self.priorities.draw(rows, lo, hi, shown))
        if self._resident is None:
            return batch, batch.x
        return batch, self._resident.take(rows, lo, hi, batch.slot)

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return arrays and JSON values: all that the next batch depends on, except the rows."""
        arrays, rewards = self._shaper.get_state()
        if self.priorities is None:
            return arrays, {"sampler": self._feed.get_state(), "rewards": rewards}
        drawn, scalars = self.priorities.get_state()
        return {**arrays, **drawn}, {"sampler": scalars, "rewards": rewards}

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called."""
        self._shaper.set_state(arrays, scalars["rewards"])
        if self.priorities is None:
            self._feed.set_state(scalars["sampler"])
        else:
            self.priorities.set_state(arrays, scalars["sampler"])
