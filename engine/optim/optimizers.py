"""Optimizers over the flat parameter vector: they descend, in the papers' textbook form.

Each is a few lines of host arithmetic around one fused backend op; the moments live on the
backend. ε stands outside the root, the bias is corrected where the paper corrects it, and a zero
gradient still decays the moments.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from agentd.engine.backend import AdamConstants, Array, Backend, Host, Step
from agentd.engine.errors import ShapeError
from agentd.engine.optim.schedule import Schedule, make_schedule
from agentd.engine.optim.spec import OptimizerName, OptimizerSpec, options_of

State: TypeAlias = tuple[dict[str, Host], dict[str, Any]]
"""What ``get_state`` gives: arrays by name, and plain numbers that fit into JSON."""


_FLUSH_EVERY = 64
"""Steps from one flush of the moments to the next; see ``engine.backend.TINY``."""


class Shared(NamedTuple):
    """What a backend's whole step needs to take an optimizer's step itself.

    m, v (n_params,) as ``Backend.adam`` has them; ``constants`` gives the next step's, ``taken``
    is called once it was taken.
    """

    m: Array
    v: Array
    constants: Callable[[], AdamConstants]
    taken: Callable[[], None]


class Optimizer(Protocol):
    """What a learner asks of an optimizer."""

    @property
    def lr(self) -> float:
        """The rate that the next step will use, before ``lr_scale``."""

    def step(self, p: Array, g: Array, lr_scale: float = 1.0) -> None:
        """Descend once along g, in place on p."""

    def observe(self, value: float) -> None:
        """Tell the schedule a value that should fall, such as a validation loss."""

    def share(self) -> Shared | None:
        """Return what it takes to step elsewhere; None where only ``step`` can."""

    def get_state(self) -> State: ...

    def set_state(self, arrays: dict[str, Host], scalars: dict[str, Any]) -> None: ...


class _Bound(NamedTuple):
    """The ops for one pair of vectors."""

    p: Array
    g: Array
    op: Callable[..., object]
    clips: list[Step]


class _Rule:
    """What all optimizers share: the step count, the rate's schedule, moments, bound ops."""

    moments: tuple[str, ...] = ()
    default_lr = 1e-3
    default_rho = 0.9
    default_eps = 1e-8

    def __init__(self, spec: OptimizerSpec, backend: Backend, n_params: int) -> None:
        self.spec = spec
        self.t = 0
        self._backend = backend
        self._n = n_params
        self._schedule: Schedule = make_schedule(spec.schedule)
        self._rate = self.default_lr if spec.lr is None else spec.lr
        self._rho = self.default_rho if spec.rho is None else spec.rho
        self._eps = self.default_eps if spec.eps is None else spec.eps
        self._norm = backend.zeros((1,))
        self._state = {name: backend.zeros((n_params,)) for name in self.moments}
        self._flushes = [backend.flush_to_zero(moment) for moment in self._state.values()]
        self._bound: _Bound | None = None

    @property
    def lr(self) -> float:
        return self._rate * self._schedule.factor(self.t)

    def step(self, p: Array, g: Array, lr_scale: float = 1.0) -> None:
        """Descend once along g, in place on p; both hold at least the optimizer's n_params.

        g is clipped in place where the spec says so.
        """
        bound = self._bound
        if bound is None or bound.p is not p or bound.g is not g:
            bound = self._bound = self._bind_all(p, g)
        for clip in bound.clips:
            clip()
        lr = self.lr * lr_scale
        self._count()
        self._run(bound.op, lr)

    def observe(self, value: float) -> None:
        """Tell the schedule a value that should fall, such as a validation loss."""
        self._schedule.observe(value)

    def share(self) -> Shared | None:
        """Return None: only the Adams' step is known elsewhere."""
        return None

    def _count(self) -> None:
        """Count a step, and set tiny moments to 0 where a flush is due."""
        self.t += 1
        if self.t % _FLUSH_EVERY == 0:
            for flush in self._flushes:
                flush()

    def _bind_all(self, p: Array, g: Array) -> _Bound:
        p_cut, g_cut = self._cut("p", p), self._cut("g", g)
        clips: list[Step] = []
        if self.spec.clip_value is not None:
            clips.append(self._backend.clip_value(g_cut, self.spec.clip_value))
        if self.spec.clip_norm is not None:
            clips.append(self._backend.clip_norm(g_cut, self.spec.clip_norm, self._norm))
        return _Bound(p, g, self._bind(p_cut, g_cut), clips)

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
        """Take a step of ``op`` with the constants of the rules that average squares."""
        op(lr, self._rho, self._eps, self.spec.weight_decay)


class Sgd(_Rule):
    """p -= lr (g + decay p)."""

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.sgd(p, g)

    def _run(self, op: Callable[..., object], lr: float) -> None:
        op(lr, self.spec.weight_decay)


class Momentum(_Rule):
    """m = mu m + g; p -= lr m (Polyak 1964)."""

    moments = ("m",)
    nesterov = False

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.momentum(p, g, self._state["m"], self.nesterov)

    def _run(self, op: Callable[..., object], lr: float) -> None:
        op(lr, self.spec.momentum, self.spec.weight_decay)


class Nesterov(Momentum):
    """m = mu m + g; p -= lr (g + mu m) (Sutskever et al. 2013, section 3.1, as PyTorch has it)."""

    nesterov = True


class RmsProp(_Rule):
    """v = rho v + (1 - rho) g²; p -= lr g / (sqrt(v) + eps) (Tieleman & Hinton 2012).

    ``centered`` subtracts the squared mean of g from v (Graves 2013, arXiv:1308.0850).
    """

    moments: tuple[str, ...] = ("v",)
    default_rho = 0.99

    def __init__(self, spec: OptimizerSpec, backend: Backend, n_params: int) -> None:
        if spec.centered:
            self.moments = ("v", "mean")
        super().__init__(spec, backend, n_params)

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.rmsprop(p, g, self._state["v"], self._state.get("mean"))


class AdaGrad(_Rule):
    """v += g²; p -= lr g / (sqrt(v) + eps) (Duchi, Hazan & Singer 2011)."""

    moments = ("v",)
    default_eps = 1e-10

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.adagrad(p, g, self._state["v"])

    def _run(self, op: Callable[..., object], lr: float) -> None:
        op(lr, self._eps, self.spec.weight_decay)


class AdaDelta(_Rule):
    """Zeiler 2012, algorithm 1 (arXiv:1212.5701); here the paper has eps inside the roots."""

    moments = ("v", "u")
    default_lr = 1.0
    default_rho = 0.9
    default_eps = 1e-6

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.adadelta(p, g, self._state["v"], self._state["u"])


class Adam(_Rule):
    """Kingma & Ba 2014, algorithm 1 (arXiv:1412.6980).

    The state holds discounted sums: ``g_sum`` = m / (1 - b1) and ``g2_sum`` = v / (1 - b2).
    """

    moments = ("g_sum", "g2_sum")

    def _bind(self, p: Array, g: Array) -> Callable[..., object]:
        return self._backend.adam(p, g, self._state["g_sum"], self._state["g2_sum"])

    def share(self) -> Shared | None:
        """Return the moments and constants, unless this optimizer clips by itself."""
        if self.spec.clip_norm is not None or self.spec.clip_value is not None:
            return None
        m, v = (self._state[name] for name in self.moments)
        return Shared(m, v, lambda: self._constants(self.lr, self.t + 1), self._count)

    def _run(self, op: Callable[..., object], lr: float) -> None:
        op(*self._constants(lr, self.t))

    def _constants(self, lr: float, t: int) -> AdamConstants:
        """Return the constants of step ``t``, which begin at 1."""
        return self._adam(lr, t, self.spec.weight_decay, 1.0)

    def _adam(self, lr: float, t: int, decay: float, shrink: float) -> AdamConstants:
        b1, b2 = self.spec.b1, self.spec.b2
        mean = (1 - b1) / (1 - b1**t)  # m_hat = mean * g_sum
        root = ((1 - b2) / (1 - b2**t)) ** 0.5  # sqrt(v_hat) = root * sqrt(g2_sum)
        return b1, b2, lr * mean / root, self._eps / root, decay, shrink, True


class AdamW(Adam):
    """Adam whose weight decay shrinks the weights (Loshchilov & Hutter 2017, arXiv:1711.05101)."""

    def _constants(self, lr: float, t: int) -> AdamConstants:
        return self._adam(lr, t, 0.0, 1 - lr * self.spec.weight_decay)


class RAdam(Adam):
    """Liu et al. 2019, algorithm 2 (arXiv:1908.03265); eps is added to sqrt(v), as PyTorch does."""

    def _constants(self, lr: float, t: int) -> AdamConstants:
        b1, b2 = self.spec.b1, self.spec.b2
        rate = lr * (1 - b1) / (1 - b1**t)
        last = 2 / (1 - b2) - 1  # length of the moving average, at infinity and now
        now = last - 2 * t * b2**t / (1 - b2**t)
        decay = self.spec.weight_decay
        if now <= 5:  # the variance of the adaptive rate is not tractable yet
            return b1, b2, rate, self._eps, decay, 1.0, False
        rectify = (now - 4) * (now - 2) * last / ((last - 4) * (last - 2) * now)
        root = (1 - b2) ** 0.5  # sqrt(v) = root * sqrt(g2_sum)
        rate *= (rectify * (1 - b2**t)) ** 0.5 / root
        return b1, b2, rate, self._eps / root, decay, 1.0, True


RULES: dict[str, type[_Rule]] = {
    "sgd": Sgd,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RmsProp,
    "adagrad": AdaGrad,
    "adadelta": AdaDelta,
    "adam": Adam,
    "adamw": AdamW,
    "radam": RAdam,
}


def own_defaults(name: OptimizerName) -> dict[str, float]:
    """Return the rate and the constants that an optimizer has where nobody sets them."""
    rule, spec = RULES[name], OptimizerSpec(name=name)
    found = {"lr": rule.default_lr}
    for option in options_of(name):
        value = getattr(spec, option)
        if value is None:
            value = {"rho": rule.default_rho, "eps": rule.default_eps}[option]
        if not isinstance(value, bool):
            found[option] = value
    return found


def make_optimizer(spec: OptimizerSpec, backend: Backend, n_params: int) -> Optimizer:
    """Return the optimizer that ``spec`` names, for vectors of ``n_params`` numbers.

    Give it a network's ``n_trainable``: running statistics behind them are not to be descended.
    """
    return RULES[spec.name](spec, backend, n_params)
