"""How much better a learner knows the rows it trains on than rows that were held out.

Li, Kumar, Kostrikov & Levine 2023 (arXiv:2304.10466): a high TD error on held-out transitions is
what foretells that learning with many updates a row fails. It is told here; nothing acts on it.

Shapes: B rows of a batch, A actions over all branches.
"""

from collections.abc import Callable
from math import isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.network import Network, Pass
from agentd.engine.replay.held_out import BLOCK, FIRST_HELD_OUT, HeldOut
from agentd.engine.replay.rows import RowFormat, Rows
from agentd.engine.replay.sampling import is_start
from agentd.engine.replay.transitions import TransitionBatch, TransitionReader
from agentd.engine.rules import munchausen, td

EVERY = 500
"""Updates from one measurement to the next."""
_SIZE = 512
"""Transitions of either kind in a measurement."""
_SMOOTH = 2.0 / (5 + 1)
"""Weight of the newest measurement: an exponential mean over 5."""


class HeldOutGap:
    """Measures g = (L_held_out - L_train) / Var(y_train), both with the networks of the moment.

    L is the mean squared TD error of the expected values, y its target by the target network's own
    choice. Both kinds of rows are drawn evenly from the same part of the ring, so that they are
    equally old; noise and dropout are off. ``value`` is an exponential mean over 5 measurements,
    NaN before the first.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        format: RowFormat,
        config: DqnConfig,
        held_out: HeldOut,
        reader: Callable[[int], TransitionReader],
        seed: int,
    ) -> None:
        """``reader`` makes the reader of so many transitions, as training reads them."""
        head = config.head()
        specs = (*head.choosing(network).specs, *head.expectation())
        values = Network(*specs, input_shape=network.input_shape)
        self.value = nan
        self._pass, self._reader = Pass(values, backend, _SIZE), reader(_SIZE)
        self._backend, self._format = backend, format
        self._held_out, self._seed = held_out, seed
        self._config, self._mean_error = config, config.shares_error(format)

    def measure(
        self, rows: Rows, lo: int, hi: int, updates: int, params: Array, target: Array
    ) -> None:
        """Measure after update number ``updates``; what is drawn depends on nothing else."""
        rng = np.random.Generator(np.random.PCG64([self._seed, updates]))
        trained = self._draw_trained(rows, lo, hi, rng)
        held_out = self._draw_held_out(rows, lo, hi, rng)
        if trained is None or held_out is None:
            return
        known, spread = self._error(rows, hi, trained, params, target)
        unknown, _ = self._error(rows, hi, held_out, params, target)
        gap = (unknown - known) / spread if spread > 0 else nan
        if isfinite(gap):
            old = self.value if isfinite(self.value) else gap
            self.value = old + _SMOOTH * (gap - old)

    def _draw_held_out(
        self, rows: Rows, lo: int, hi: int, rng: np.random.Generator
    ) -> NDArray[np.int64] | None:
        blocks = np.array(self._held_out.blocks(lo, hi), np.int64)
        row = (blocks[:, None] + np.arange(BLOCK)).reshape(-1)
        row = row[(row >= lo) & (row < hi)]
        row = row[is_start(rows, row, lo, hi, self._format.depth)]
        return rng.choice(row, _SIZE) if len(row) >= BLOCK // 2 else None

    def _draw_trained(
        self, rows: Rows, lo: int, hi: int, rng: np.random.Generator
    ) -> NDArray[np.int64] | None:
        lo = max(lo, FIRST_HELD_OUT)
        if hi <= lo:
            return None
        row = rng.integers(lo, hi, 2 * _SIZE)
        row = row[is_start(rows, row, lo, hi, self._format.depth)]
        row = row[~self._held_out.barred(rows, lo, hi)[row % rows.capacity]]
        return np.resize(row, _SIZE) if len(row) else None

    def _error(
        self, rows: Rows, hi: int, start: NDArray[np.int64], params: Array, target: Array
    ) -> tuple[float, float]:
        """Return the mean squared TD error of transitions (B,), and the variance of the targets."""
        batch, branches = self._reader.read(rows, hi, start), self._format.branches
        y = self._target(batch, target)
        q = self._values(params, batch, slice(0, _SIZE))
        shared = self._mean_error
        error = td.td_error(q, batch.action_tm1, y, branches, mean_error=shared)
        return float(np.square(error).mean()), float(y.var())

    def _target(self, batch: TransitionBatch, target: Array) -> NDArray[np.floating[Any]]:
        """Return the targets (B,) of expected values."""
        branches, now, then = self._format.branches, slice(0, _SIZE), slice(_SIZE, None)
        masks = (None, None) if batch.mask is None else (batch.mask[now], batch.mask[then])
        value = self._values(target, batch, then)
        if not self._config.munchausen:
            return td.q_target(batch.reward_t, batch.discount_t, value, masks[1], branches)
        soft, before = self._config.soft_policy, self._values(target, batch, now)
        given = batch.reward_t, batch.discount_t, before, masks[0], batch.action_tm1
        numbers = soft.alpha, soft.tau, soft.clip
        reward, policy = munchausen.munchausen_reward(*given, value, masks[1], branches, *numbers)
        return munchausen.expected_target(reward, batch.discount_t, value, policy, branches)

    def _values(self, params: Array, batch: TransitionBatch, part: slice) -> NDArray[np.float32]:
        """Return a copy of the values (B, A) of one half of a batch's observations."""
        x = batch.x[part].reshape(-1, *self._pass.net.input_shape)
        return self._backend.to_host(self._pass.forward(params, x)).astype(np.float32)
