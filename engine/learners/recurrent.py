"""Q-learning from replayed sequences, for networks that remember (R2D2, Kapturowski et al. 2019).

What `engine.learners.dqn` does with transitions this does with runs of rows: the online and the
target network are unrolled over the same rows, each from the state that the agent had before them,
brought up to date by a burn-in with its own weights and without a gradient. Every row of the run
has an n-step target; double Q-learning chooses by the online network at the row ahead.

Shapes: L sequences of T rows, the first P of them learned from, M = P L; A actions over all
branches, Z numbers an action, S numbers of a state.
"""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, Step
from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.learners.batch_arrays import BatchArrays
from agentd.engine.learners.descent import Descent, DescentLearner, quiet
from agentd.engine.learners.dqn_config import NOMINAL_DT_S, DqnConfig
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.learners.value_loss import ValueLoss, huber_width
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import InputStatistics
from agentd.engine.optim import Optimizer
from agentd.engine.replay.priorities import PrioritizedSampler
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig, RewardShaper
from agentd.engine.replay.rows import RowFormat, Rows
from agentd.engine.replay.sampling import UniformSampler, sampler_rng
from agentd.engine.replay.sequences import SequenceBatch, SequenceReader
from agentd.engine.replay.transitions import TransitionBatch, observations

_OF_THE_WORST = 0.9
"""How much of a sequence's priority is its greatest error; the rest is the mean (R2D2)."""


class RecurrentDqnLearner(DescentLearner):
    """Deep Q-learning of a network that remembers. Satisfies `engine.learners.learner.Learner`.

    The arguments are those of `DqnLearner`. What a person or a script played is learned from as
    all else; a return ends where another one chooses.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        optimizer: Optimizer,
        format: RowFormat,
        config: DqnConfig,
        seed: int,
        weights: NDArray[np.float32] | None = None,
        *,
        loss: ValueLoss = "huber",
        reward: RewardConfig = UNSHAPED,
        dt_s: float = NOMINAL_DT_S,
    ) -> None:
        head, shape = config.head(), config.sequences
        if not network.memory:
            raise ModelError("sequences: expected a network with a recurrent layer on its rows")
        wanted = (head.atoms * format.n_actions,)
        if network.output_shape != wanted:
            raise ShapeError("Q-network's output", wanted, network.output_shape)
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        self.config, self._format, self._backend = config, format, backend
        self.gamma = config.per_row(dt_s)
        self._descent = Descent(
            *(network, backend, optimizer, config.clip_norm, weights, config.average)
        )
        self._target = backend.asarray(weights)
        self._rewards = RewardShaper(reward, self.gamma)
        shaper = None if reward.changes_nothing else self._rewards
        self._reader = SequenceReader(format, shape, config.n_step, self.gamma, shaper)
        self._rng = sampler_rng(seed)
        self._sampler = _sampler(config, self._reader.stack, self._rng)
        self._inputs, self._observed = InputStatistics(network, backend), 0
        self._count, times = self._reader.times * shape.batch, self._reader.times
        self._learn = Pass(network, backend, self._count, training=True, seed=seed, times=times)
        self._value = Pass(network, backend, self._count, times=times)
        self._follow_rows = Pass(network, backend, shape.batch)
        self._on = _SequenceArrays(backend, config, format, huber_width(loss))
        self._last_valid = np.ones((shape.length, shape.batch), np.bool_)
        self._steps: dict[bool, tuple[Step, ...]] = {}
        tau = config.target.tau
        self._move_target = (
            backend.copy(self._descent.params, self._target)
            if tau is None
            else backend.blend(self._descent.params, self._target, tau)
        )

    @property
    @quiet
    def stats(self) -> dict[str, float]:
        """The last update's figures; ``td_abs`` and ``q_mean`` are means over its rows."""
        known = self._descent.stats()
        if not self._descent.measured:
            return {**known, "td_abs": nan, "q_mean": nan}
        valid = self._last_valid.reshape(-1)
        y = self._backend.rows(self._learn.output(self._descent.params, self._count), 0, len(valid))
        return {
            **known,
            "td_abs": float(self._on.batch.errors()[valid].mean()),
            "q_mean": float(self._on.batch.values(y)[valid].mean()),
        }

    @quiet
    def update(self, rows: Rows, lo: int, hi: int, ahead: int = 1) -> None:
        """Take one gradient step on sequences of rows [lo, hi).

        Raises NoValidStart when no row starts one, NStepTooLong when n steps do not fit into the
        ring.
        """
        if self._inputs and hi != self._observed:
            self._observe(rows, lo, hi)
        self._rewards.observe(rows, lo, hi)
        drawn = self._sampler.draw(rows, lo, hi)
        place = self._rng.integers(self.config.sequences.length, size=len(drawn))
        batch = self._reader.read(rows, lo, hi, drawn, place)
        self._take_gradient(batch)
        if not self._descent.step():
            return
        every = self.config.target.every
        if every is None or self.updates % every == 0:
            self._move_target()
        if isinstance(self._sampler, PrioritizedSampler):
            self._sampler.update(self._priorities(batch.valid))

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return the parameters, target, optimizer, sampler, statistics and counters."""
        arrays, scalars = self._descent.get_state()
        arrays["target"] = self._backend.to_host(self._target)
        shaped, rewards = self._rewards.get_state()
        seen, observed = self._inputs.get_state()
        drawn: Arrays = {}
        if isinstance(self._sampler, PrioritizedSampler):
            drawn, sampler = self._sampler.get_state()
        else:
            sampler = self._sampler.get_state()
        return {**arrays, **drawn, **shaped, **seen}, {
            **scalars,
            "sampler": sampler,
            "rewards": rewards,
            "inputs": {**observed, "to": self._observed},
            "pass": self._learn.get_state(),
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        self._backend.write(self._target, arrays["target"])
        self._rewards.set_state(arrays, scalars["rewards"])
        if isinstance(self._sampler, PrioritizedSampler):
            self._sampler.set_state(arrays, scalars["sampler"])
        else:
            self._sampler.set_state(scalars["sampler"])
        self._inputs.set_state(arrays, scalars["inputs"])
        self._observed = int(scalars["inputs"]["to"])
        self._learn.set_state(scalars["pass"])

    def _observe(self, rows: Rows, lo: int, hi: int) -> None:
        """Update the statistics of the network's input from rows not seen before."""
        first = max(lo, self._observed) if hi > self._observed else lo
        for at in range(first, hi, 4096):
            x = observations(rows, np.arange(at, min(at + 4096, hi)))
            self._inputs.observe(self._descent.params, x)
        self._inputs.write(self._target)
        self._inputs.write(self.params)
        self._observed = hi

    def burn_in(self, params: Array, batch: SequenceBatch) -> Host:
        """Return the state before the rows of each sequence by the weights ``params``, (L, S)."""
        run, memory, lanes = self._follow_rows, batch.memory, batch.memory.shape[0]
        for k, begun in enumerate(batch.begun):
            if begun.any():
                x = batch.before[k * lanes : (k + 1) * lanes]
                run.forward(params, x.reshape(-1, *run.net.input_shape), memory=memory)
                memory = np.where(begun[:, np.newaxis], run.memory_after(), memory)
        return memory

    def _take_gradient(self, batch: SequenceBatch) -> None:
        """Leave the gradient of the batch's loss in the descent's vector, in place."""
        on, online = self._on, self._descent.params
        x = batch.x.reshape(-1, *self._learn.net.input_shape)
        value = self._value.forward(self._target, x, memory=self.burn_in(self._target, batch))
        y = self._learn.forward(online, x, memory=self.burn_in(online, batch))
        sampler = self._sampler
        lane = sampler.weight if isinstance(sampler, PrioritizedSampler) else None
        on.write(batch, lane)
        masked, self._last_valid = batch.mask is not None, batch.valid.copy()
        if masked not in self._steps:
            dy = self._learn.output_gradient(online, self._count)
            select = y if self.config.double else value
            self._steps[masked] = on.bind(value, select, y, dy, self._descent.loss, masked=masked)
        for step in self._steps[masked]:
            step()
        dy = self._learn.output_gradient(online, self._count)
        self._learn.backward(self._descent.gradient, dy)

    def _priorities(self, valid: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
        """Return each sequence's priority, (L,): η max + (1 - η) mean of its rows' errors."""
        error = np.where(valid, self._on.batch.errors().reshape(valid.shape), 0.0)
        mean = error.sum(axis=0) / valid.sum(axis=0)
        priority: NDArray[np.floating[Any]] = (
            _OF_THE_WORST * error.max(axis=0) + (1 - _OF_THE_WORST) * mean
        )
        return priority


def _sampler(
    config: DqnConfig, stack: int, rng: np.random.Generator
) -> PrioritizedSampler | UniformSampler:
    """Return what draws a row of each sequence; its state holds that of ``rng``."""
    size = config.sequences.batch
    if config.prioritized:
        return PrioritizedSampler(size, config.priority, rng, stack)
    return UniformSampler(size, rng, stack)


class _SequenceArrays:
    """A batch's arrays on the backend, of M rows, and the ops over them."""

    def __init__(
        self, backend: Backend, config: DqnConfig, format: RowFormat, huber: float | None
    ) -> None:
        head, shape = config.head(), config.sequences
        self._backend, self._rows = backend, shape.batch * shape.length
        self._soft = config.munchausen
        self.batch = BatchArrays(
            *(backend, self._rows, format, head, huber),
            weighted=True,
            mean_error=config.shares_error(format),
            soft=config.soft_policy if config.munchausen else None,
        )
        outputs = (self._rows, head.atoms * format.n_actions)
        self._value, self._select = backend.zeros(outputs), backend.zeros(outputs)
        self._ahead = backend.zeros((self._rows,), "int32")

    def write(self, batch: SequenceBatch, lane_weight: NDArray[np.float32] | None) -> None:
        """Write what the ops read; rows that are not valid weigh nothing.

        The others weigh so that the mean over all M is one over theirs.
        """
        valid = batch.valid.astype(np.float32)
        weight = valid * np.float32(valid.size / max(1.0, float(valid.sum())))
        if lane_weight is not None:
            weight *= lane_weight
        given = TransitionBatch(
            *(batch.x, batch.action_tm1, batch.reward_t, batch.discount_t, batch.mask),
            batch.ahead.astype(np.int64),
        )
        mask_tm1 = mask_t = None
        if batch.mask is not None:
            mask_tm1, mask_t = batch.mask[: self._rows], batch.mask[self._rows :]
        self.batch.write(given, mask_t, weight.reshape(-1), mask_tm1)
        self._backend.write(self._ahead, batch.ahead)

    def bind(
        self, value: Array, select: Array, y: Array, dy: Array, loss: Array, *, masked: bool
    ) -> tuple[Step, ...]:
        """Bind the algorithm's ops to the outputs of the passes, (T L, Z A), and to their slope."""
        be = self._backend
        near, slope = be.rows(y, 0, self._rows), be.rows(dy, 0, self._rows)
        before = be.rows(value, 0, self._rows) if self._soft else None
        return (
            be.gather_rows(value, self._ahead, self._value),
            be.gather_rows(select, self._ahead, self._select),
            *self.batch.bind(
                *(self._value, self._select, near, loss), masked=masked, before=before
            ),
            be.fill(dy, 0.0),
            be.copy(self.batch.dy, slope),
        )
