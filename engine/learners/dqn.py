"""Q-learning from replay: one learner whose parts may be combined at will.

An update draws starts, reads n-step transitions from them, computes targets with the target
network, and takes a gradient step of the online network. Its parts combine freely: uniform or
prioritised sampling, shaped rewards, values or distributions (`engine.learners.heads`), double
Q-learning, Munchausen's reward, demonstrations, and any layers: dueling, noisy, normalising.

Shapes: B rows of a batch, D features, A actions over all branches, N branches, Z numbers an action.
"""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, Step
from agentd.engine.errors import ShapeError
from agentd.engine.learners.batch_arrays import BatchArrays
from agentd.engine.learners.batch_source import BatchSource
from agentd.engine.learners.descent import Descent, DescentLearner, quiet
from agentd.engine.learners.dqn_config import NOMINAL_DT_S, DqnConfig
from agentd.engine.learners.heads import Head
from agentd.engine.learners.held_out_gap import EVERY, HeldOutGap
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.learners.margin import MarginLoss
from agentd.engine.learners.searched import LookAhead, SearchedTargets
from agentd.engine.learners.value_loss import ValueLoss, huber_width
from agentd.engine.learners.whole_step import WholeUpdate, bind_q
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import InputStatistics
from agentd.engine.optim import Optimizer
from agentd.engine.replay.demonstrations import DEMONSTRATIONS, DemonstrationConfig
from agentd.engine.replay.held_out import HeldOut
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig
from agentd.engine.replay.rows import RowFormat, Rows
from agentd.engine.replay.transitions import TransitionBatch, observations

_NOISE = (1 << 62, 2 << 62, 3 << 62)  # sets apart the seeds of all passes but the learning one


class DqnLearner(DescentLearner):
    """Deep Q-learning from a ring of rows (Mnih et al. 2015; van Hasselt et al. 2015).

    ``loss`` is that of plain values; distributions have their own. ``reward`` shapes rewards
    before they are summed. ``weights`` are the first parameters (n_params,); without them the
    network draws them from ``seed``. The sampler has a generator of its own. ``dt_s`` are the
    seconds from row to row, for ``config.horizon_s``. A backend that has the whole update in one
    call makes it so only as long as there are no demonstrations. Rows that are ``held_out`` are
    never trained on; how much worse they are known is measured every 500 updates, which changes no
    update and is no state: it begins anew. With ``look_ahead`` each legal action of a row has a
    target, which that search finds over the target network's values; what was played and what came
    of it then counts for nothing. Satisfies `engine.learners.learner.Learner`.
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
        demonstrations: DemonstrationConfig = DEMONSTRATIONS,
        dt_s: float = NOMINAL_DT_S,
        held_out: HeldOut | None = None,
        look_ahead: LookAhead | None = None,
    ) -> None:
        head = config.head()
        wanted = (head.atoms * format.n_actions,)
        if network.output_shape != wanted:
            raise ShapeError("Q-network's output", wanted, network.output_shape)
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        size = config.batch
        self.config = config
        self._backend, self._format = backend, format
        self._descent = Descent(
            *(network, backend, optimizer, config.clip_norm, weights, config.average)
        )
        self._target = backend.asarray(weights)
        self._follow = self._bind_target()
        self.gamma = config.per_row(dt_s)
        self._source = BatchSource(
            backend, format, config, reward, seed, demonstrations, self.gamma, held_out
        )
        self._margin = MarginLoss(backend, size, format, head, demonstrations)
        self._gap: HeldOutGap | None = None
        if held_out is not None:
            found = held_out, self._source.reader, seed
            self._gap = HeldOutGap(network, backend, format, config, *found)
        self._inputs, self._observed = InputStatistics(network, backend), 0
        self._learn = Pass(network, backend, size, training=True, seed=seed)
        choosing = head.choosing(network)
        self._chooses_apart = config.double or choosing is not network
        self._select = Pass(choosing, backend, size, seed=seed ^ _NOISE[0], noisy=True)
        valuing = head.valuing(network)
        self._value = Pass(valuing, backend, size, seed=seed ^ _NOISE[1], noisy=True)
        self._searched: SearchedTargets | None = None
        if look_ahead is not None:
            self._searched = SearchedTargets(backend, valuing, size, look_ahead)
        self._before: Pass | None = None
        if config.munchausen:
            self._before = Pass(choosing, backend, size, seed=seed ^ _NOISE[2], noisy=True)
        self._input_shape = (2 * size, *network.input_shape)
        self._on = BatchArrays(
            *(backend, size, format, head, huber_width(loss)),
            weighted=config.prioritized,
            mean_error=config.shares_error(format),
            soft=config.soft_policy if config.munchausen else None,
        )
        self._steps: dict[bool, tuple[Step, ...]] = {}
        self._whole = self._bind_whole(network, head)

    @property
    @quiet
    def stats(self) -> dict[str, float]:
        """The last update's figures; ``td_abs`` and ``q_mean`` are means over its batch.

        With distributions ``td_abs`` is the mean of their loss, the error that priorities use; with
        a search the mean over all legal actions. All
        that an update measures is NaN before the first. Where there was a demonstration:
        ``demonstrations``, the rows of them, and ``margin_loss``, which is part of the loss.
        """
        on, known = self._on, self._descent.stats()
        if self._gap is not None:
            known["held_out_gap"] = self._gap.value
        if not self._descent.measured:
            return {**known, "td_abs": nan, "q_mean": nan}
        if self._whole is not None:
            target, error = self._backend.to_host(on.target), self._backend.to_host(on.error)
            taken = target[:, None] - error
        else:
            taken = on.values(self._learn.output(self._descent.params, self.config.batch))
        figures = {
            **known,
            "td_abs": float(on.errors().mean()),
            "q_mean": float(taken.mean()),
        }
        if self._margin.updates:
            figures["demonstrations"] = float(self._source.demonstrations)
            figures["margin_loss"] = self._margin.loss
        return figures

    @quiet
    def update(self, rows: Rows, lo: int, hi: int, ahead: int = 1) -> None:
        """Take one gradient step on transitions that start and end in rows [lo, hi).

        Raises NoValidStart when none does, NStepTooLong when n steps do not fit into the ring.
        """
        if self._inputs and hi != self._observed:
            self._observe(rows, lo, hi)
        batch, x = self._source.next(rows, lo, hi, ahead)
        if self._whole is not None and batch.by is None:
            masked = self._write(batch)[1] is not None
            taken = self._whole(x, masked, self._tau(self.updates + 1))
        else:
            self._take_gradient(batch, x)
            taken = self._descent.step()
            if taken and self._tau(self.updates):
                self._follow()
        if taken and self._source.priorities is not None:
            self._source.priorities.update(self._on.errors())
        if taken and self._gap is not None and self.updates % EVERY == 0:
            self._gap.measure(rows, lo, hi, self.updates, self._descent.params, self._target)

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return the parameters, target, optimizer, sampler, statistics and counters."""
        arrays, scalars = self._descent.get_state()
        arrays["target"] = self._backend.to_host(self._target)
        drawn, source = self._source.get_state()
        seen, inputs = self._inputs.get_state()
        return {**arrays, **drawn, **seen}, {
            **scalars,
            **source,
            **self._margin.get_state(),
            "inputs": {**inputs, "to": self._observed},
            "passes": [run.get_state() for run in self._passes],
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        self._backend.write(self._target, arrays["target"])
        self._source.set_state(arrays, scalars)
        self._margin.set_state(scalars)
        self._inputs.set_state(arrays, scalars["inputs"])
        self._observed = int(scalars["inputs"]["to"])
        for run, state in zip(self._passes, scalars["passes"], strict=True):
            run.set_state(state)

    @property
    def _passes(self) -> tuple[Pass, ...]:
        more = () if self._before is None else (self._before,)
        return (self._learn, self._select, self._value, *more)

    def _observe(self, rows: Rows, lo: int, hi: int) -> None:
        """Update the statistics of the network's input from rows not seen before."""
        first = max(lo, self._observed) if hi > self._observed else lo
        for at in range(first, hi, 4096):
            x = observations(rows, np.arange(at, min(at + 4096, hi)))
            self._inputs.observe(self._descent.params, x)
        self._inputs.write(self._target)
        self._inputs.write(self.params)
        self._observed = hi

    def _take_gradient(self, batch: TransitionBatch, x: Array | Host) -> None:
        """Leave the gradient of the batch's loss in the descent's vector, in place.

        x (2 B, D) are its observations, from host or device memory.
        """
        size, on, be = self.config.batch, self._on, self._backend
        near: Array | Host
        far: Array | Host
        if isinstance(x, np.ndarray):
            host = x.reshape(self._input_shape)
            near, far = host[:size], host[size:]
        else:
            whole = be.reshape(x, self._input_shape)
            near, far = be.rows(whole, 0, size), be.rows(whole, size, 2 * size)
        masks = self._write(batch)
        if self._searched is None:
            y = self._step_by_transitions(near, far, *masks)
        else:
            goal = self._searched.find(self._target, near)
            y = self._learn.forward(self._descent.params, near, on.tile(masks[0], self._learn))
            on.step_all(goal, y, self._descent.loss)
        if batch.by is not None:
            read = (on.action, on.target, y, on.dy, self._descent.loss)
            self._margin.add(batch.by, masks[0], *read)
        self._learn.backward(self._descent.gradient, on.dy)

    def _step_by_transitions(
        self, near: Array | Host, far: Array | Host, mask_tm1: Host | None, mask_t: Host | None
    ) -> Array:
        """Write the slope of the loss of the actions taken; return the outputs at t-1, (B, Z A)."""
        on, online = self._on, self._descent.params
        value = self._value.forward(self._target, far, on.tile(mask_t, self._value))
        select = value
        if self._chooses_apart:
            params = online if self.config.double else self._target
            select = self._select.forward(params, far, on.tile(mask_t, self._select))
        before = None
        if self._before is not None:
            before = self._before.forward(self._target, near, on.tile(mask_tm1, self._before))
        y = self._learn.forward(online, near, on.tile(mask_tm1, self._learn))
        steps = self._steps.get(mask_t is not None)
        if steps is None:
            given, drawn = (value, select, y, self._descent.loss), self._learn.fractions
            masked = mask_t is not None
            steps = on.bind(*given, masked=masked, before=before, fractions=drawn)
            self._steps[mask_t is not None] = steps
        for step in steps:
            step()
        return y

    def _write(self, batch: TransitionBatch) -> tuple[Host | None, Host | None]:
        """Write all but the observations to the device; return the masks at t-1 and at t."""
        mask_tm1 = mask_t = None
        if batch.mask is not None:
            mask_tm1, mask_t = batch.mask[: self.config.batch], batch.mask[self.config.batch :]
        self._on.write(batch, mask_t, self._source.weight, mask_tm1)
        return mask_tm1, mask_t

    def _bind_whole(self, network: Network, head: Head) -> WholeUpdate | None:
        """Bind the update as one call, or return None.

        Distributions, Munchausen's targets and those that are searched for are learned op by op.
        """
        if head.atoms > 1 or self._inputs or self.config.munchausen or self._searched:
            return None
        q = self._on.q_step(self._target, self.config.double)
        return bind_q(self._backend, network, self._descent, q)

    def _bind_target(self) -> Step:
        tau = self.config.target.tau
        if tau is not None:
            return self._backend.blend(self._descent.params, self._target, tau)
        return self._backend.copy(self._descent.params, self._target)

    def _tau(self, updates: int) -> float:
        """Return the target network's step after update number ``updates``: 1 is a copy."""
        every = self.config.target.every
        if every is None:
            return self.config.target.tau or 0.0
        return float(updates % every == 0)
