"""Optimizers over the flat parameter vector: they descend, in the papers' textbook form.

Each is a few lines of host arithmetic around one fused backend op; the moments live on the
backend. ε stands outside the root, the bias is corrected where the paper corrects it, and a zero
gradient still decays the moments.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from engine.backend import Array, Backend, Host
from engine.errors import ShapeError
from engine.schedule import Schedule, make_schedule
from engine.spec import OptimizerSpec

State: TypeAlias = tuple[dict[str, Host], dict[str, Any]]
"""What ``get_state`` gives: arrays by name, and plain numbers that fit into JSON."""


class Optimizer(Protocol):
    """What a learner asks of an optimizer."""

    @property
    def lr(self) -> float:
        """The rate that the next step will use, before ``lr_scale``."""
        ...

    def step(self, p: Array, g: Array, lr_scale: float = 1.0) -> None:
        """Descend once along g, in place on p."""
        ...

    def get_state(self) -> State: ...

    def set_state(self, arrays: dict[str, Host], scalars: dict[str, Any]) -> None: ...


class _Rule:
    """What all optimizers share: the step count, the rate's schedule, moments, bound ops."""

    moments: tuple[str, ...] = ()

    def __init__(self, spec: OptimizerSpec, backend: Backend, n_params: int) -> None:
        self.spec = spec
        self.t = 0
        self._backend = backend
        self._n = n_params
        self._schedule: Schedule = make_schedule(spec.schedule)
        self._state = {name: backend.zeros((n_params,)) for name in self.moments}
        self._bound: tuple[Array, Array, Callable[..., object]] | None = None

    @property
    def lr(self) -> float:
        return self.spec.lr * self._schedule.factor(self.t)

    def step(self, p: Array, g: Array, lr_scale: float = 1.0) -> None:
        """Descend once along g, in place on p; both hold at least the optimizer's n_params."""
        bound = self._bound
        if bound is None or bound[0] is not p or bound[1] is not g:
            bound = self._bound = (p, g, self._bind(self._cut("p", p), self._cut("g", g)))
        lr = self.lr * lr_scale
        self.t += 1
        self._run(bound[2], lr)

    def get_state(self) -> State:
        """Return the moments and the step count; with the parameters they resume bit for bit."""
        arrays = {name: self._backend.to_host(a) for name, a in self._state.items()}
        return arrays, {"t": self.t, **self._schedule.get_state()}

    def set_state(self, arrays: dict[str, Host], scalars: dict[str, Any]) -> None:
        """Continue from ``get_state``'s result. Raises ShapeError on another size or name."""
        if arrays.keys() != self._state.keys():
            raise ShapeError("optimizer state", sorted(self._state), sorted(arrays))
        for name, array in self._state.items():
            self._backend.write(array, arrays[name])
        self.t = int(scalars["t"])
        self._schedule.set_state(scalars)

    def _cut(self, name: str, vector: Array) -> Array:
        if vector.shape[0] < self._n or len(vector.shape) != 1:
            raise ShapeError(f"optimizer {name}", (self._n,), vector.shape)
        return self._backend.rows(vector, 0, self._n)

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        raise TypeError(f"{type(self).__name__} binds no op")

    def _run(self, op: Callable[..., object], lr: float) -> None:
        raise TypeError(f"{type(self).__name__} runs no op")


class Sgd(_Rule):
    """p -= lr (g + decay p)."""

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.sgd(p, g)

    def _run(self, op: Callable[..., object], lr: float) -> None:
        op(lr, self.spec.weight_decay)


class Adam(_Rule):
    """Kingma & Ba 2014, algorithm 1 (arXiv:1412.6980).

    The state holds discounted sums: ``g_sum`` = m / (1 - b1) and ``g2_sum`` = v / (1 - b2).
    """

    moments = ("g_sum", "g2_sum")

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.adam(p, g, self._state["g_sum"], self._state["g2_sum"])

    def _run(self, op: Callable[..., object], lr: float) -> None:
        b1, b2, t = self.spec.b1, self.spec.b2, self.t
        mean = (1 - b1) / (1 - b1**t)  # m_hat = mean * g_sum
        root = ((1 - b2) / (1 - b2**t)) ** 0.5  # sqrt(v_hat) = root * sqrt(g2_sum)
        op(b1, b2, lr * mean / root, self.spec.eps / root, 1.0)


_RULES: dict[str, type[_Rule]] = {"sgd": Sgd, "adam": Adam}


def make_optimizer(spec: OptimizerSpec, backend: Backend, n_params: int) -> Optimizer:
    """Return the optimizer that ``spec`` names, for vectors of ``n_params`` numbers.

    Give it a network's ``n_trainable``: running statistics behind them are not to be descended.
    """
    return _RULES[spec.name](spec, backend, n_params)
