"""Q-learning from replay: one learner for double, n-step, masked, branching deep Q-learning.

An update is: draw starts, read n-step transitions, value the far end with the target network,
step the online network towards it. The parts are exchangeable on purpose: what draws starts
(`UniformSampler`), what reads them (`TransitionReader`), and the two ops that turn Q-values into
targets and into a gradient (`Backend.td_target`, `Backend.td_loss`).

Shapes: B rows of a batch, D features, A actions over all branches, N branches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.backend import Array, Backend, Host, Step
from engine.errors import ShapeError
from engine.feed import BatchFeed
from engine.learner import Arrays, Descent, Scalars, quiet, sampler_rng
from engine.network import Network, Pass
from engine.optim import Optimizer
from engine.replay import Batch, RowFormat, Rows, TransitionReader
from engine.sampling import UniformSampler

HUBER_WIDTH = 1.0
"""Where Huber's loss stops being quadratic: Mnih et al. 2015 clip the error at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DqnConfig:
    """What a `DqnLearner` does with its rows.

    gamma         discount per step, in [0, 1]
    n_step        rewards summed before the bootstrap, at least 1
    double        the online network selects the action that the target network values
    batch         B, transitions per update
    target_every  hard copy into the target network after so many updates, or None
    target_tau    soft step of the target network after every update, in (0, 1], or None
    clip_norm     bound on the gradient's norm, or None
    loss          "huber" of width 1, or "mse", half the squared error

    Exactly one of ``target_every`` and ``target_tau`` is set. Raises ValueError otherwise.
    """

    gamma: float = 0.99
    n_step: int = 1
    double: bool = True
    batch: int = 128
    target_every: int | None = 500
    target_tau: float | None = None
    clip_norm: float | None = 10.0
    loss: Literal["huber", "mse"] = "huber"

    def __post_init__(self) -> None:
        if (self.target_every is None) == (self.target_tau is None):
            raise ValueError("want exactly one of target_every and target_tau")
        if not 0 <= self.gamma <= 1 or self.n_step < 1 or self.batch < 1:
            raise ValueError("want 0 <= gamma <= 1, n_step >= 1 and batch >= 1")


class DqnLearner:
    """Deep Q-learning from a ring of rows (Mnih et al. 2015; van Hasselt et al. 2015).

    ``weights`` are the first parameters (n_params,), the network's own draw from ``seed`` without
    them. The sampler draws from a generator of its own. Satisfies `engine.learner.Learner`.
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
    ) -> None:
        if network.output_shape != (format.n_actions,):
            raise ShapeError("Q-network's output", (format.n_actions,), network.output_shape)
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        size = config.batch
        self.config = config
        self._backend, self._format = backend, format
        self._descent = Descent(network, backend, optimizer, config.clip_norm, weights)
        self._target = backend.asarray(weights)
        self._follow = self._bind_target()
        sampler = UniformSampler(size, sampler_rng(seed))
        reader = TransitionReader(format, size, config.n_step, config.gamma)
        self._feed = BatchFeed(sampler, reader, 2 * size * format.features * 4)
        self._learn = Pass(network, backend, size, training=True, seed=seed)
        self._select = Pass(network, backend, size)
        self._value = Pass(network, backend, size)
        self._input_shape = (2 * size, *network.input_shape)
        self._on = _OnDevice(backend, size, format)
        self._steps: dict[bool, tuple[Step, Step]] = {}

    @property
    def params(self) -> Array:
        """The online parameters (n_params,)."""
        return self._descent.params

    @property
    def updates(self) -> int:
        """Gradient steps taken."""
        return self._descent.updates

    @property
    def skipped_in_row(self) -> int:
        """Updates skipped since the last one taken."""
        return self._descent.skipped_in_row

    @property
    @quiet
    def stats(self) -> dict[str, float]:
        """The last update's figures; ``td_abs`` and ``q_mean`` are means over its batch."""
        td = self._backend.to_host(self._on.td)
        target = self._backend.to_host(self._on.target)
        return {
            **self._descent.stats(),
            "td_abs": float(np.abs(td).mean()),
            "q_mean": float((target[:, None] - td).mean()),
        }

    @quiet
    def update(self, rows: Rows, lo: int, hi: int, ahead: int = 1) -> None:
        """Take one gradient step on transitions that start and end in rows [lo, hi).

        Raises NoValidStart when none does, NStepTooLong when n steps do not fit into the ring.
        """
        self._take_gradient(self._feed.next(rows, lo, hi, ahead))
        if self._descent.step():
            self._follow_target()

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return the parameters, target, optimizer, sampler and counters."""
        arrays, scalars = self._descent.get_state()
        arrays["target"] = self._backend.to_host(self._target)
        return arrays, {
            **scalars,
            "sampler": self._feed.get_state(),
            "pass": self._learn.get_state(),
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        self._descent.set_state(arrays, scalars)
        self._backend.write(self._target, arrays["target"])
        self._feed.set_state(scalars["sampler"])
        self._learn.set_state(scalars["pass"])

    def _take_gradient(self, batch: Batch) -> None:
        """Leave the gradient of the batch's loss in the descent's vector, in place."""
        size, on, online = self.config.batch, self._on, self._descent.params
        x = batch.x.reshape(self._input_shape)
        mask_tm1 = mask_t = None
        if batch.mask is not None:
            mask_tm1, mask_t = batch.mask[:size], batch.mask[size:]
        on.write(batch, mask_t)
        value = self._value.forward(self._target, x[size:], mask_t)
        select = value
        if self.config.double:
            select = self._select.forward(online, x[size:], mask_t)
        q = self._learn.forward(online, x[:size], mask_tm1)
        steps = self._steps.get(mask_t is not None)
        if steps is None:
            steps = self._bind(value, select, q, masked=mask_t is not None)
        for step in steps:
            step()
        self._learn.backward(self._descent.gradient, on.dq)

    def _bind(self, value: Array, select: Array, q: Array, *, masked: bool) -> tuple[Step, Step]:
        """Bind the two ops of the algorithm to the passes' outputs, which stay where they are."""
        on, branches = self._on, self._format.branches
        mask = on.mask_t if masked else None
        huber = HUBER_WIDTH if self.config.loss == "huber" else None
        target = self._backend.td_target(
            value, select, mask, branches, on.reward, on.discount, on.target
        )
        loss = self._backend.td_loss(
            q, on.action, on.target, None, branches, huber, on.dq, on.td, self._descent.loss
        )
        self._steps[masked] = target, loss
        return target, loss

    def _bind_target(self) -> Step:
        if self.config.target_tau is not None:
            return self._backend.blend(self._descent.params, self._target, self.config.target_tau)
        return self._backend.copy(self._descent.params, self._target)

    def _follow_target(self) -> None:
        every = self.config.target_every
        if every is None or self._descent.updates % every == 0:
            self._follow()


class _OnDevice:
    """A batch's arrays on the backend, and what is computed from them, one set for good."""

    def __init__(self, backend: Backend, size: int, format: RowFormat) -> None:
        self._backend = backend
        self.action = backend.zeros((size, len(format.branches)), "int32")
        self.reward = backend.zeros((size,))
        self.discount = backend.zeros((size,))
        self.mask_t = backend.zeros((size, format.n_actions), "uint8")
        self.target = backend.zeros((size,))
        self.td = backend.zeros((size, len(format.branches)))
        self.dq = backend.zeros((size, format.n_actions))

    def write(self, batch: Batch, mask_t: Host | None) -> None:
        """Copy what the two ops read to the device; observations go to the passes."""
        write = self._backend.write
        write(self.action, batch.action_tm1)
        write(self.reward, batch.reward_t)
        write(self.discount, batch.discount_t)
        if mask_t is not None:
            write(self.mask_t, mask_t)
