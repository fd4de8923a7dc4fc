"""PQN(λ): Q-learning from fresh fragments of many streams, with no replay and no target network.

A window is the newest ``window`` rows. The λ-returns of its transitions are computed once, with the
parameters of that moment; the minibatches of an epoch then go through them in a new order. Every
transition is in exactly one window. What a person or a script played is learned from as well, but
no return reaches from the agent's rows into theirs, or back.

Shapes: M transitions of a window, B rows of a minibatch, A actions over all branches, N branches.
"""

from collections.abc import Mapping
from math import nan
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, Step
from agentd.engine.errors import ShapeError
from agentd.engine.learners.descent import Descent, DescentLearner, quiet
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.learners.value_loss import ValueLoss, huber_width
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import InputStatistics
from agentd.engine.optim import Optimizer
from agentd.engine.replay.fragments import (
    NO_LAG,
    Lag,
    LagBound,
    RowReader,
    Transitions,
    check_fragment,
    drop_stale,
    fresh_transitions,
    join,
)
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig, RewardShaper
from agentd.engine.replay.rows import TERMINATED, NoValidStart, RowFormat, Rows
from agentd.engine.replay.sampling import get_rng_state, sampler_rng, set_rng_state
from agentd.engine.rules.traces import lambda_return
from agentd.engine.strictyaml import Fraction, Positive, Record

_MAX_BOUND = 64
"""Batch sizes whose ops are kept: windows differ by the episodes that ended in them."""


class PqnConfig(Record, frozen=True, kw_only=True):
    """PQN(λ): fresh fragments of many streams, no replay, no target (arXiv:2407.04811).

    At every due point the newest ``pace.train_every`` rows are learned from and never again; its
    ``pace.updates`` are epochs times ``minibatches``.
    """

    gamma: Fraction = 0.99  # discount per step
    lambda_: Fraction = msgspec.field(default=0.95, name="lambda")  # how far returns look
    minibatches: Annotated[int, Meta(ge=1, le=65536)] = 4  # updates per epoch
    clip_norm: Positive | None = 10.0  # bound on the gradient's norm
    max_policy_lag: LagBound = None  # rows acted on with weights older than so many updates drop


class _Window(NamedTuple):
    """The current window: its end, and the starts and returns of its transitions."""

    hi: int
    start: NDArray[np.int64]
    target: NDArray[np.float32]


_NO_WINDOW = _Window(-1, np.empty(0, np.int64), np.empty(0, np.float32))


class PqnLearner(DescentLearner):
    """Gallici et al. 2024 (arXiv:2407.04811). Satisfies `engine.learners.learner.Learner`.

    ``window`` is the number of fresh rows of one window; ``reward`` shapes rewards before they are
    summed. ``weights`` are the first parameters (n_params,); without them the network draws them
    from ``seed``. The orders of the minibatches come from a generator of their own.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        optimizer: Optimizer,
        format: RowFormat,
        config: PqnConfig,
        seed: int,
        weights: NDArray[np.float32] | None = None,
        *,
        window: int,
        loss: ValueLoss = "huber",
        reward: RewardConfig = UNSHAPED,
    ) -> None:
        if network.output_shape != (format.n_actions,):
            raise ShapeError("Q-network's output", (format.n_actions,), network.output_shape)
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        size = -(-window // config.minibatches)
        self.config = config
        self._length, self._batch = window, size
        self._backend, self._format, self._rng = backend, format, sampler_rng(seed)
        self._descent = Descent(network, backend, optimizer, config.clip_norm, weights)
        self._statistics = InputStatistics(network, backend)
        self._rewards = RewardShaper(reward, config.gamma)
        self._reader = RowReader(format, size, network.input_shape)
        self._learn = Pass(network, backend, size, training=True, seed=seed)
        self._value = Pass(network, backend, size)
        self._on = _MinibatchOps(backend, format, size, huber_width(loss), self._descent.loss)
        self._window, self._order = _NO_WINDOW, np.empty(0, np.int64)
        self._done = 0  # minibatches of this window
        self._lag, self._dropped = NO_LAG, 0

    @property
    @quiet
    def stats(self) -> dict[str, float]:
        """The last update's figures; the policy's lag in updates is that of the last window."""
        td, target = self._on.last()
        known = self._descent.measured and len(td) > 0
        return {
            **self._descent.stats(),
            "td_abs": float(np.abs(td).mean()) if known else nan,
            "q_mean": float((target[:, None] - td).mean()) if known else nan,
            "policy_lag": self._lag.mean,
            "policy_lag_max": float(self._lag.most),
            "stale": float(self._dropped),
        }

    @quiet
    def update(self, rows: Rows, lo: int, hi: int, ahead: int = 1) -> None:
        """Take one gradient step on a minibatch of the transitions that end in the newest rows.

        The window is [hi - window, hi); a new ``hi`` opens the next one. Raises NoValidStart when
        no transition, or none that is fresh enough, ends there, and FragmentTooLong when the window
        does not fit into the ring.
        """
        if hi != self._window.hi:
            self._open(rows, lo, hi)
        count = len(self._window.start)
        if not count:
            raise NoValidStart(f"no transition ends in the newest {self._length} rows")
        parts = min(self.config.minibatches, count)
        part = self._done % parts
        if part == 0:
            self._order = self._rng.permutation(count)
        chosen = self._order[part * count // parts : (part + 1) * count // parts]
        self._done += 1
        self._take_gradient(rows, chosen)
        self._descent.step()

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return parameters, optimizer, statistics, and the place in the window."""
        arrays, scalars = self._descent.get_state()
        seen, observed = self._statistics.get_state()
        spread, returns = self._rewards.get_state()
        window = self._window
        arrays |= seen | spread
        arrays |= {
            "window.start": window.start.copy(),
            "window.target": window.target.copy(),
            "window.order": self._order.copy(),
        }
        return arrays, {
            **scalars,
            **observed,
            **returns,
            "order": get_rng_state(self._rng),
            "pass": self._learn.get_state(),
            "window": [window.hi, self._done],
            "lag": [*self._lag, self._dropped],
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        start, target = arrays["window.start"], arrays["window.target"]
        self._statistics.set_state(arrays, scalars)
        self._rewards.set_state(arrays, scalars)
        self._descent.set_state(arrays, scalars)
        hi, self._done = scalars["window"]
        self._window, self._order = _Window(hi, start.copy(), target.copy()), arrays["window.order"]
        *lag, self._dropped = scalars["lag"]
        self._lag = Lag(*lag)
        set_rng_state(self._rng, scalars["order"])
        self._learn.set_state(scalars["pass"])

    def _open(self, rows: Rows, lo: int, hi: int) -> None:
        """Find the window's transitions and compute their returns."""
        config = self.config
        check_fragment(self._length, rows.capacity)
        fresh = fresh_transitions(rows, lo, hi, self._length)
        *kept, self._lag = drop_stale(rows, *fresh, self.updates, config.max_policy_lag)
        self._dropped += self._lag.dropped
        self._rewards.observe(rows, lo, hi)
        self._observe(rows, max(lo, hi - self._length), hi)
        steps = join(rows, *kept)
        target = self._returns(rows, steps)
        self._window, self._done = _Window(hi, steps.start, target.astype(np.float32)), 0

    def _observe(self, rows: Rows, lo: int, hi: int) -> None:
        """Update the statistics of the network's input from the window's observations."""
        for at in range(lo, hi if self._statistics else lo, self._batch):
            x, _ = self._reader.read(rows, np.arange(at, min(at + self._batch, hi)))
            self._statistics.observe(self._descent.params, x)

    def _returns(self, rows: Rows, steps: Transitions) -> NDArray[np.float64]:
        """Return the λ-return of each transition, (M,)."""
        value = np.empty(len(steps.end))
        for at in range(0, len(value), self._batch):
            end = steps.end[at : at + self._batch]
            x, mask = self._reader.read(rows, end)
            q = self._value.forward(self._descent.params, x, mask)
            value[at : at + len(end)] = self._on.greatest(q, mask)
        slot = steps.end % rows.capacity
        discount = np.where(rows.kind[slot] == TERMINATED, 0.0, self.config.gamma)
        reward = rows.reward[slot]
        self._rewards(reward)
        return lambda_return(reward, discount, value, steps.after, self.config.lambda_)

    def _take_gradient(self, rows: Rows, chosen: NDArray[np.int64]) -> None:
        """Leave the gradient of the minibatch's loss in the descent's vector, in place."""
        start = self._window.start[chosen]
        x, mask = self._reader.read(rows, start)
        q = self._learn.forward(self._descent.params, x, mask)
        action = rows.action[start % rows.capacity]
        dq = self._on.slope(q, action, self._window.target[chosen])
        self._learn.backward(self._descent.gradient, dq)


class _MinibatchOps:
    """A minibatch's arrays on the backend, and its two ops, bound once for each number of rows."""

    def __init__(
        self, backend: Backend, format: RowFormat, size: int, huber: float | None, loss: Array
    ) -> None:
        n = len(format.branches)
        self._backend, self._format, self._loss = backend, format, loss
        self._huber = huber
        self._action = backend.zeros((size, n), "int32")
        self._mask = backend.zeros((size, format.n_actions), "uint8")
        self._reward, self._discount = backend.zeros((size,)), backend.asarray(np.ones(size))
        self._target, self._td = backend.zeros((size,)), backend.zeros((size, n))
        self._dq = backend.zeros((size, format.n_actions))
        self._bound: dict[tuple[int, int, bool], tuple[Array, Step]] = {}
        self._rows = 0  # of the last minibatch

    def greatest(self, q: Array, mask: Host | None) -> Host:
        """Return the greatest legal value of each row, the mean over branches, (B,)."""
        n, cut, self._rows = q.shape[0], self._cut, 0
        if mask is not None:
            self._backend.write(cut(self._mask, n), mask)
        self._step(q, masked=mask is not None, learning=False)()
        return self._backend.to_host(cut(self._target, n))

    def slope(self, q: Array, action: Host, target: Host) -> Array:
        """Return the gradient of the loss at q, (B, A), valid until the next call."""
        n = self._rows = q.shape[0]
        self._backend.write(self._cut(self._action, n), action)
        self._backend.write(self._cut(self._target, n), target)
        self._step(q, masked=False, learning=True)()
        return self._cut(self._dq, n)

    def last(self) -> tuple[Host, Host]:
        """Return the last minibatch's TD errors (B, N) and targets (B,)."""
        to_host, n = self._backend.to_host, self._rows
        return to_host(self._td)[:n], to_host(self._target)[:n]

    def _cut(self, array: Array, n: int) -> Array:
        return self._backend.rows(array, 0, n)

    def _step(self, q: Array, *, masked: bool, learning: bool) -> Step:
        """Return the op for q, bound when this array comes for the first time."""
        n = q.shape[0]
        key = (n, learning, masked)
        known = self._bound.get(key)
        if known is None or known[0] is not q:
            if len(self._bound) >= _MAX_BOUND:
                self._bound.clear()
            known = self._bound[key] = (q, self._bind(q, n, masked, learning))
        return known[1]

    def _bind(self, q: Array, n: int, masked: bool, learning: bool) -> Step:
        cut, branches = self._cut, self._format.branches
        target = cut(self._target, n)
        if not learning:
            mask = cut(self._mask, n) if masked else None
            reward, discount = cut(self._reward, n), cut(self._discount, n)
            return self._backend.td_target(q, q, mask, branches, reward, discount, target)
        action, dq, td = cut(self._action, n), cut(self._dq, n), cut(self._td, n)
        huber = self._huber
        given = q, action, target, None, branches, huber, dq, td, self._loss
        return self._backend.td_loss(*given, self._format.numbers)
