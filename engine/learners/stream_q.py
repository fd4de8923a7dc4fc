"""Stream Q(λ): one update for each transition, as it comes; no replay, target network or batch.

Four things make it stable: steps that cannot overshoot (`engine.rules.traces.obgd_rate`), layer
normalisation, sparse first weights, and running normalisation of observations (the ``normalize``
layer) and rewards.

Each stream has an eligibility trace of its own; all of them change the same parameters, in the
order of the rows that end the transitions. A trace is set to 0 when its episode terminates or is
truncated, after an action that was not the greedy one because it explored or because a person or a
script chose it, and when a row was dropped. At
most ``traces`` streams have a trace at once: a further one takes that of the stream that has been
idle for the longest time.

Shapes: P trainable parameters, D features, A actions over all branches, N branches, K traces.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, Step
from agentd.engine.errors import ShapeError
from agentd.engine.learners.descent import quiet
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import InputStatistics
from agentd.engine.replay.fragments import (
    NO_LAG,
    Index,
    Lag,
    LagBound,
    RowReader,
    check_fragment,
    drop_stale,
    fresh_transitions,
)
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig, RewardShaper
from agentd.engine.replay.rows import FIRST, TERMINATED, NoValidStart, RowFormat, Rows
from agentd.engine.rules import td
from agentd.engine.rules.traces import obgd_rate, trace_goes_on
from agentd.engine.strictyaml import Fraction, Positive, Record

_NONE: Index = np.empty(0, np.int64)


class StreamQConfig(Record, frozen=True, kw_only=True):
    """Stream Q(λ): each transition once, alone, as it comes (arXiv:2410.14606).

    At every due point each of the newest ``pace.train_every`` rows is an update of its own, so
    ``pace.updates`` is ``pace.train_every``. ObGD is its optimizer; rewards and, with a
    ``normalize`` layer, observations are normalised as they come.
    """

    gamma: Fraction = 0.99  # discount per step
    lambda_: Fraction = msgspec.field(default=0.8, name="lambda")  # decay of the traces
    lr: Positive = 1.0  # largest step size
    kappa: Positive = 2.0  # the larger, the more steps are cut short
    traces: Annotated[int, Meta(ge=1, le=65536)] = 256  # streams that have a trace at once
    max_policy_lag: LagBound = None  # rows acted on with weights older than so many updates drop


@dataclass(slots=True)
class _Trace:
    """One stream's trace z (P,) with its bound ops, and the row where it stands."""

    z: Array
    take_in: Callable[[float], object]
    move: Callable[[float, float], object]
    forget: Step
    tail: int = -1


@dataclass(slots=True)
class _Figures:
    """Figures of the last update; NaN before the first."""

    error: float = nan
    value: float = nan
    rate: float = nan


class StreamQLearner:
    """Elsayed, Vasan & Mahmood 2024 (arXiv:2410.14606), an `engine.learners.learner.Learner`.

    ``window`` is the number of fresh rows of one due point. ``reward`` shapes rewards; the paper
    divides them by their deviation. ``weights`` are the first parameters (n_params,); without them
    the network draws them from ``seed``. An update is one transition.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        format: RowFormat,
        config: StreamQConfig,
        seed: int,
        weights: NDArray[np.float32] | None = None,
        *,
        window: int,
        reward: RewardConfig = UNSHAPED,
    ) -> None:
        if network.output_shape != (format.n_actions,):
            raise ShapeError("Q-network's output", (format.n_actions,), network.output_shape)
        if weights is None:
            weights = network.init(np.random.default_rng(seed))
        self.config = config
        self._window = window
        self.params = backend.asarray(weights)
        self.updates = self.skipped = self.skipped_in_row = 0
        self._backend, self._format, self._n = backend, format, network.n_trainable
        self._gradient = backend.zeros((network.n_params,))
        self._sum = backend.zeros((1,))
        self._statistics, self._rewards = (
            InputStatistics(network, backend),
            RewardShaper(reward, config.gamma),
        )
        self._reader = RowReader(format, 2, network.input_shape)
        self._learn = Pass(network, backend, 1, training=True, seed=seed)
        self._value = Pass(network, backend, 1)
        self._starts = np.cumsum((0, *format.branches[:-1]))
        self._dq = np.zeros((1, format.n_actions), np.float32)
        self._traces: dict[int, _Trace] = {}  # by stream, the longest idle one first
        self._free: list[_Trace] = []
        self._hi, self._at, self._start, self._end = -1, 0, _NONE, _NONE
        self._lag, self._dropped, self._last = NO_LAG, 0, _Figures()

    @property
    def stats(self) -> dict[str, float]:
        """The last update's figures; ``lr`` is the step size that it took."""
        last = self._last
        return {
            "loss": 0.5 * last.error**2,
            "td_abs": abs(last.error),
            "q_mean": last.value,
            "lr": last.rate,
            "updates": float(self.updates),
            "skipped": float(self.skipped),
            "policy_lag": self._lag.mean,
            "policy_lag_max": float(self._lag.most),
            "stale": float(self._dropped),
        }

    @quiet
    def update(self, rows: Rows, lo: int, hi: int, ahead: int = 1) -> None:
        """Learn from the next transition of those that end in rows [hi - window, hi).

        A new ``hi`` opens the next window. Raises NoValidStart when the window has no transition
        left, FragmentTooLong when it does not fit into the ring.
        """
        if hi != self._hi:
            self._open(rows, lo, hi)
        if self._at == len(self._start):
            raise NoValidStart(f"no more transitions end in the newest {self._window} rows")
        start, end = int(self._start[self._at]), int(self._end[self._at])
        self._at += 1
        self._learn_from(rows, start, end)

    def get_state(self) -> tuple[Arrays, Scalars]:
        """Return parameters, traces, statistics, and the place in the window."""
        arrays, scalars = self._statistics.get_state()
        spread, returns = self._rewards.get_state()
        traces, to_host = self._traces.values(), self._backend.to_host
        empty = np.empty((0, self._n), np.float32)
        arrays |= spread | {
            "params": to_host(self.params),
            "window.start": self._start.copy(),
            "window.end": self._end.copy(),
            "traces.z": np.stack([to_host(t.z) for t in traces]) if traces else empty,
            "traces.stream": np.array(list(self._traces), np.int64),
            "traces.tail": np.array([t.tail for t in traces], np.int64),
        }
        return arrays, {
            **scalars,
            **returns,
            "updates": self.updates,
            "skipped": self.skipped,
            "skipped_in_row": self.skipped_in_row,
            "pass": self._learn.get_state(),
            "window": [self._hi, self._at],
            "lag": [*self._lag, self._dropped],
        }

    def set_state(self, arrays: Mapping[str, Host], scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called. Raises ShapeError, KeyError."""
        if arrays["traces.z"].shape[1:] != (self._n,):
            raise ShapeError("traces", ("K", self._n), arrays["traces.z"].shape)
        self._statistics.set_state(arrays, scalars)
        self._backend.write(self.params, arrays["params"])
        self._rewards.set_state(arrays, scalars)
        self._start, self._end = arrays["window.start"].copy(), arrays["window.end"].copy()
        self._hi, self._at = scalars["window"]
        *lag, self._dropped = scalars["lag"]
        self._lag = Lag(*lag)
        self.updates, self.skipped = int(scalars["updates"]), int(scalars["skipped"])
        self.skipped_in_row = int(scalars["skipped_in_row"])
        self._learn.set_state(scalars["pass"])
        self._free += self._traces.values()
        self._traces = {}
        names = ("traces.stream", "traces.tail", "traces.z")
        for stream, tail, z in zip(*(arrays[name] for name in names), strict=True):
            trace = self._traces[int(stream)] = self._room()
            self._backend.write(trace.z, z)
            trace.tail = int(tail)

    def _open(self, rows: Rows, lo: int, hi: int) -> None:
        check_fragment(self._window, rows.capacity)
        fresh = fresh_transitions(rows, lo, hi, self._window)
        bound = self.config.max_policy_lag
        self._start, self._end, self._lag = drop_stale(rows, *fresh, self.updates, bound)
        self._dropped += self._lag.dropped
        self._rewards.observe(rows, lo, hi)
        self._hi, self._at = hi, 0

    def _learn_from(self, rows: Rows, start: int, end: int) -> None:
        """Take the step of one transition, and leave its stream's trace ready for the next."""
        i, j = start % rows.capacity, end % rows.capacity
        kind, action = int(rows.kind[j]), rows.action[i : i + 1]
        first = bool(rows.kind[i] == FIRST)
        trace = self._trace_of(int(rows.stream[i]), start, first=first)
        x, mask = self._reader.read(rows, np.array([start, end]))
        self._statistics.observe(self.params, x if first else x[1:])
        reward = rows.reward[j : j + 1].copy()
        self._rewards(reward)
        discount = 0.0 if kind == TERMINATED else self.config.gamma
        masks = (None, None) if mask is None else (mask[:1], mask[1:])
        q = self._backend.to_host(self._learn.forward(self.params, x[:1], masks[0]))
        error = (
            float(reward[0]) + discount * self._greatest(x[1:], masks[1]) - self._taken(q, action)
        )
        self._step(trace, action, error)
        self._last.value = self._taken(q, action)
        trace.tail = end
        explored = bool(rows.explored[i])  # or chosen by someone else: as far off the policy
        greedy = not explored or self._is_greedy(q, masks[0], action)
        ended = kind >= TERMINATED
        if not trace_goes_on(ended, explored, greedy):
            trace.forget()
        if ended:
            self._free.append(self._traces.pop(int(rows.stream[i])))

    def _is_greedy(self, q: Host, mask: Host | None, action: Host) -> bool:
        """Whether the action is the best one in every branch."""
        return bool((td.greedy_action(q, mask, self._format.branches) == action).all())

    def _greatest(self, x: Host, mask: Host | None) -> float:
        """Return the greatest legal value of an observation, the mean over branches."""
        q = self._backend.to_host(self._value.forward(self.params, x, mask))
        if mask is None and len(self._starts) == 1:
            return float(q.max())
        return self._taken(q, td.greedy_action(q, mask, self._format.branches))

    def _taken(self, q: Host, action: Host) -> float:
        """Return the value of the given action of each branch, their mean."""
        if len(self._starts) == 1:
            return float(q[0, action[0, 0]])
        return float(td.action_value(q, action, self._format.branches).mean())

    def _step(self, trace: _Trace, action: Host, error: float) -> None:
        """Add the gradient of the value to the trace and move along it, unless not finite."""
        config = self.config
        self._dq.fill(0)
        self._dq[0, self._starts + action[0]] = 1 / len(self._starts)
        self._learn.backward(self._gradient, self._dq)
        trace.take_in(config.gamma * config.lambda_)
        size = float(self._backend.to_host(self._sum)[0])
        if not (isfinite(error) and isfinite(size)):
            self.skipped += 1
            self.skipped_in_row += 1
            trace.forget()
            return
        rate = obgd_rate(error, size, config.lr, config.kappa)
        trace.move(-rate * error, 0.0)
        self.updates += 1
        self.skipped_in_row = 0
        self._last.error, self._last.rate = error, rate

    def _trace_of(self, stream: int, start: int, *, first: bool) -> _Trace:
        """Return the stream's trace, at 0 unless it stands at row ``start``."""
        trace = self._traces.pop(stream, None)
        fresh = trace is None
        if trace is None:
            if len(self._traces) >= self.config.traces:
                self._free.append(self._traces.pop(next(iter(self._traces))))
            trace = self._room()
        self._traces[stream] = trace
        if fresh or first or trace.tail != start:
            trace.forget()
        return trace

    def _room(self) -> _Trace:
        """Return a trace that belongs to no stream."""
        if self._free:
            return self._free.pop()
        z, backend = self._backend.zeros((self._n,)), self._backend
        gradient = backend.rows(self._gradient, 0, self._n)
        take_in = backend.trace(gradient, z, self._sum)
        move = backend.sgd(backend.rows(self.params, 0, self._n), z)
        return _Trace(z, take_in, move, backend.fill(z, 0.0))
