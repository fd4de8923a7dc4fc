"""ONNX operators computed by the engine's bound ops: dense, elementwise, sums, losses, training.

Each function takes a ``Machine``, the node's inputs as NumPy arrays and its attributes, and returns
the outputs. NumPy only moves numbers (transposes, broadcasts, pads); what is computed, the backend
computes. ``Unsupported`` says which feature of an operator the engine does not have.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from agentd.engine.backend import Backend, Step

Nd = np.ndarray[Any, Any]
Outputs = tuple[Nd, ...]
Op = Callable[..., Outputs]


class Unsupported(Exception):
    """What a case asks for and the engine does not have."""


class Machine:
    """A backend with calls that bind, run and fetch at once."""

    def __init__(self, backend: Backend) -> None:
        self.be = backend

    def run(self, shape: tuple[int, ...], bind: Callable[[Any], Step]) -> Nd:
        """Return what a step writes into new memory of ``shape``."""
        y = self.be.zeros(shape)
        bind(y)()
        return self.be.to_host(y)

    def arr(self, x: Nd) -> Any:
        return self.be.asarray(np.array(x, order="C"))

    def plus(self, a: Nd, b: Nd) -> Nd:
        a, b = np.broadcast_arrays(a, b)
        return self.run(a.shape, lambda y: self.be.plus(self.arr(a), self.arr(b), y))

    def times(self, a: Nd, b: Nd) -> Nd:
        a, b = np.broadcast_arrays(a, b)
        y = self.arr(a)
        self.be.multiply(self.arr(b), y)()
        return self.be.to_host(y)

    def scale(self, x: Nd, by: float) -> Nd:
        return self.times(x, np.asarray(by, x.dtype))

    def matmul(self, a: Nd, b: Nd, bias: Nd | None = None) -> Nd:
        c = None if bias is None else self.arr(bias)
        shape = (a.shape[0], b.shape[1])
        return self.run(shape, lambda y: self.be.affine(self.arr(a), self.arr(b), c, y))

    def sum_rows(self, x: Nd) -> Nd:
        return self.run(x.shape[1:], lambda y: self.be.sum_rows(self.arr(x), y))

    def act(self, name: Any, x: Nd, slope: float = 0.01) -> Nd:
        return self.run(x.shape, lambda y: self.be.activation(name, self.arr(x), y, slope))

    def softmax(self, x: Nd) -> Nd:
        """Return softmax of rows: the gradient of cross-entropy at target 0 and weight B."""
        rows = len(x)
        dy, loss = self.be.zeros(x.shape), self.be.zeros((rows,))
        weight = self.arr(np.full(rows, rows, x.dtype))
        self.be.soft_cross_entropy(self.arr(x), self.be.zeros(x.shape), weight, dy, loss)()
        return self.be.to_host(dy)

    def cross_entropy(self, x: Nd, label: Nd) -> Nd:
        dy, loss = self.be.zeros(x.shape), self.be.zeros((len(x),))
        at = self.arr(label.astype(np.int32))
        self.be.softmax_cross_entropy(self.arr(x), at, None, None, 0.0, dy, loss)()
        return self.be.to_host(loss)

    def log_softmax(self, x: Nd) -> Nd:
        """Return ln softmax of rows: minus the loss of each class in turn as the label."""
        rows, classes = x.shape
        loss = self.cross_entropy(np.repeat(x, classes, 0), np.tile(np.arange(classes), rows))
        return self.scale(loss.reshape(rows, classes), -1)

    def pick(self, table: Nd, label: Nd) -> Nd:
        at = self.arr(label.astype(np.int32))
        return self.run(label.shape, lambda y: self.be.pick(self.arr(table), at, y))

    def max_rows(self, x: Nd) -> Nd:
        """Return the largest of each row: a pool whose window is the row."""
        from agentd.engine.backend import Window

        rows, n = x.shape
        window = Window(n, 1, 1, (n, 1), (n, 1))
        y, chosen = self.be.zeros((rows, 1, 1, 1)), self.be.zeros((rows, 1, 1, 1), "int32")
        self.be.max_pool(self.arr(x.reshape(rows, n, 1, 1)), window, y, chosen)()
        return self.be.to_host(y).reshape(rows)


def matmul(m: Machine, a: Nd, b: Nd, **_: Any) -> Outputs:
    """A product of matrices for each place of the broadcast leading axes."""
    left, right = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    rows, inner, cols = left.shape[-2], left.shape[-1], right.shape[-1]
    if 0 in (*lead, rows, inner, cols):
        raise Unsupported("an empty matrix")
    xs = np.broadcast_to(left, (*lead, rows, inner)).reshape(-1, rows, inner)
    ws = np.broadcast_to(right, (*lead, inner, cols)).reshape(-1, inner, cols)
    y = np.stack([m.matmul(x, w) for x, w in zip(xs, ws, strict=True)]).reshape(*lead, rows, cols)
    y = y[..., 0, :] if a.ndim == 1 else y
    return (y[..., 0] if b.ndim == 1 else y,)


def gemm(m: Machine, a: Nd, b: Nd, c: Nd | None = None, **o: Any) -> Outputs:
    x, w = (a.T if o.get("transA") else a), (b.T if o.get("transB") else b)
    alpha, beta = o.get("alpha", 1.0), o.get("beta", 1.0)
    if c is not None and beta != 1:
        c = m.scale(c, beta)
    if c is not None and c.shape == (w.shape[1],) and alpha == 1:
        return (m.matmul(x, w, c),)
    y = m.matmul(x, w) if alpha == 1 else m.scale(m.matmul(x, w), alpha)
    return (y if c is None else m.plus(y, np.broadcast_to(c, y.shape)),)


def activation(name: str) -> Op:
    def op(m: Machine, x: Nd, alpha: float = 0.01, **o: Any) -> Outputs:
        if name == "exp" and np.abs(x).max(initial=0) > 10:
            raise Unsupported("exp beyond ±10, where the engine's exp is clipped")
        if name == "gelu" and o.get("approximate") != "tanh":
            raise Unsupported("gelu by erf: the engine has the tanh form")
        return (m.act(name, x, alpha),)

    return op


def p_relu(m: Machine, x: Nd, slope: Nd, **_: Any) -> Outputs:
    raise Unsupported("a slope for each element")


def add(m: Machine, *xs: Nd, **_: Any) -> Outputs:
    y = m.act("identity", xs[0])
    for x in xs[1:]:
        y = m.plus(y, x)
    return (y,)


def sub(m: Machine, a: Nd, b: Nd, **_: Any) -> Outputs:
    return (m.plus(a, m.scale(b, -1)),)


def mul(m: Machine, a: Nd, b: Nd, **_: Any) -> Outputs:
    return (m.times(a, b),)


def neg(m: Machine, x: Nd, **_: Any) -> Outputs:
    return (m.scale(x, -1),)


def mean(m: Machine, *xs: Nd, **_: Any) -> Outputs:
    return (m.scale(add(m, *xs)[0], 1 / len(xs)),)


def clip(m: Machine, x: Nd, low: Nd | None = None, high: Nd | None = None, **_: Any) -> Outputs:
    if low is None or high is None or low != -high or high < 0:
        raise Unsupported("bounds that are not -limit and limit")
    y = m.arr(x)
    m.be.clip_value(y, float(high))()
    return (m.be.to_host(y),)


def softmax_like(logarithm: bool) -> Op:
    def op(m: Machine, x: Nd, axis: int = -1, **_: Any) -> Outputs:
        moved = np.moveaxis(x, axis, -1)
        if moved.size == 0:
            raise Unsupported("an empty tensor")
        rows = moved.reshape(-1, moved.shape[-1])
        y = m.log_softmax(rows) if logarithm else m.softmax(rows)
        return (np.moveaxis(y.reshape(moved.shape), -1, axis),)

    return op


def reduction(over: Callable[[Machine, Nd], Nd]) -> Op:
    """Return a reduction by ``over``, from (rest, n) to (rest,)."""

    def op(m: Machine, x: Nd, axes: Nd | None = None, **o: Any) -> Outputs:
        named = [] if axes is None else [int(a) % x.ndim for a in np.ravel(axes)]
        if not named and o.get("noop_with_empty_axes"):
            raise Unsupported("no axes and no reduction")
        if x.size == 0:
            raise Unsupported("an empty tensor")
        gone = named or list(range(x.ndim))
        kept = [a for a in range(x.ndim) if a not in gone]
        n = prod(x.shape[a] for a in gone)
        y = over(m, x.transpose(*kept, *gone).reshape(-1, n))
        keep = o.get("keepdims", 1)
        shape = [1 if a in gone else s for a, s in enumerate(x.shape) if keep or a not in gone]
        return (y.reshape(shape),)

    return op


def _sum(m: Machine, x: Nd) -> Nd:
    return m.sum_rows(x.T)


def _norm(m: Machine, x: Nd) -> Nd:
    return np.concatenate([m.run((1,), lambda y, row=row: m.be.norm(m.arr(row), y)) for row in x])


def gather(m: Machine, x: Nd, index: Nd, axis: int = 0, **_: Any) -> Outputs:
    """Rows of a table: bags of one index each."""
    moved = np.moveaxis(x, axis, 0)
    table = moved.reshape(len(moved), -1)
    at = (np.ravel(index) % len(moved)).astype(np.int32)[:, None]
    shape = (len(at), table.shape[1])
    y = m.run(shape, lambda y: m.be.embedding_bag(m.arr(at), m.arr(table), y))
    axis %= x.ndim
    y = y.reshape(*index.shape, *moved.shape[1:])
    order = [*range(index.ndim, index.ndim + axis), *range(index.ndim)]
    return (y.transpose(*order, *range(index.ndim + axis, y.ndim)),)


def nll_rows(m: Machine, loss: Nd, label: Nd, weight: Nd | None, o: dict[str, Any]) -> Nd:
    """Return the losses of all rows, weighted by class and reduced; ``label`` is flat."""
    ignored = label == o["ignore_index"] if o.get("ignore_index") is not None else label != label
    safe = np.where(ignored, 0, label)
    w = np.ones(label.shape, loss.dtype) if weight is None else m.pick(weight, safe)
    w = np.where(ignored, np.zeros_like(w), w)
    losses = m.times(loss, w)
    if o["reduction"] == "none":
        return losses
    total = m.sum_rows(losses[:, None])[0]
    return total if o["reduction"] == "sum" else total / m.sum_rows(w[:, None])[0]


def _rows(x: Nd, label: Nd) -> tuple[Nd, Nd]:
    """Return (N, C, d...) as rows (R, C) and its labels flat."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]), label.reshape(-1).astype(np.int64)


def _safe(label: Nd, o: dict[str, Any]) -> Nd:
    return (
        label if o.get("ignore_index") is None else np.where(label == o["ignore_index"], 0, label)
    )


def nll(m: Machine, x: Nd, label: Nd, weight: Nd | None = None, **o: Any) -> Outputs:
    rows, flat = _rows(x, label)
    at = np.arange(len(rows)) * rows.shape[1] + _safe(flat, o)
    loss = m.scale(m.pick(rows.reshape(-1), at), -1)
    y = nll_rows(m, loss, flat, weight, o)
    return (y.reshape(label.shape) if o["reduction"] == "none" else y,)


def sce(
    m: Machine, x: Nd, label: Nd, weight: Nd | None = None, outputs: int = 1, **o: Any
) -> Outputs:
    rows, flat = _rows(x, label)
    y = nll_rows(m, m.cross_entropy(rows, _safe(flat, o)), flat, weight, o)
    y = y.reshape(label.shape) if o["reduction"] == "none" else y
    if outputs == 1:
        return (y,)
    log_p = m.log_softmax(rows).reshape(x.shape[0], *x.shape[2:], x.shape[1])
    return y, np.moveaxis(log_p, -1, 1)


def flatten(m: Machine, x: Nd, axis: int = 1, **_: Any) -> Outputs:
    axis += x.ndim if axis < 0 else 0
    shape = (prod(x.shape[:axis]), prod(x.shape[axis:]))
    return (m.be.to_host(m.be.reshape(m.arr(x), shape)),)


def reshape(m: Machine, x: Nd, shape: Nd, allowzero: int = 0, **_: Any) -> Outputs:
    sizes = [x.shape[i] if n == 0 and not allowzero else int(n) for i, n in enumerate(shape)]
    if 0 in (x.size, *sizes):
        raise Unsupported("an empty tensor")
    return (m.be.to_host(m.be.reshape(m.arr(x), tuple(sizes))),)


def dropout(
    m: Machine, x: Nd, rate: Nd | None = None, training: Nd | None = None, **o: Any
) -> Outputs:
    """Off in evaluation, where the layer hands its input on."""
    on = training is not None and bool(training)
    ratio = float(rate if rate is not None else o.get("ratio") or 0.5)
    if on and ratio:
        raise Unsupported("ONNX's random numbers: the engine draws its own")
    outputs = o.get("outputs", 1)
    if on:
        y, factor = m.be.zeros(x.shape), m.be.zeros(x.shape)
        m.be.dropout(m.arr(x), 0.0, lambda: 1, y, factor)()
        return (m.be.to_host(y), m.be.to_host(factor) != 0)[:outputs]
    from agentd.engine.layers import Dropout
    from agentd.engine.network import Network, Pass

    net = Network(Dropout(ratio), input_shape=x.shape)
    y = Pass(net, m.be, 1).forward(m.arr(net.init(np.random.default_rng(0))), m.arr(x[None]))
    return (m.be.to_host(y)[0], np.ones(x.shape, np.bool_))[:outputs]


def _each(m: Machine, tensors: tuple[Nd, ...], per: int, step: Callable[..., Outputs]) -> Outputs:
    """Run ``step`` on each parameter's own tensors; ONNX lists them kind by kind."""
    n = len(tensors) // per
    results = [step(*(m.arr(t.reshape(-1)) for t in tensors[i::n])) for i in range(n)]
    return tuple(
        r[k].reshape(tensors[i].shape) for k in range(per - 1) for i, r in enumerate(results)
    )


def adam(m: Machine, rate: Nd, t: Nd, *tensors: Nd, **o: Any) -> Outputs:
    """ONNX's moments are means, the engine's sums: scaled on the way in and out."""
    a, b, after = o["alpha"], o["beta"], 1 - o["norm_coefficient_post"]
    fold = float(rate) * after * (1 - a) / (1 - b) ** 0.5
    if t > 0:
        fold *= (1 - b ** int(t)) ** 0.5 / (1 - a ** int(t))

    def step(p: Any, g: Any, v: Any, h: Any) -> Outputs:
        v, h = (m.arr(m.scale(m.be.to_host(s), 1 / (1 - c))) for s, c in ((v, a), (h, b)))
        eps = o["epsilon"] / (1 - b) ** 0.5
        m.be.adam(p, g, v, h)(a, b, fold, eps, o["norm_coefficient"], after, True)
        sums = (m.scale(m.be.to_host(s), 1 - c) for s, c in ((v, a), (h, b)))
        return (m.be.to_host(p), *sums)

    return _each(m, tensors, 4, step)


def momentum(m: Machine, rate: Nd, t: Nd, *tensors: Nd, **o: Any) -> Outputs:
    if t > 0 and o["beta"] != 1:
        raise Unsupported("a gradient scaled by beta")

    def step(p: Any, g: Any, v: Any) -> Outputs:
        descend = m.be.momentum(p, g, v, o["mode"] == "nesterov")
        descend(float(rate), o["alpha"], o["norm_coefficient"])
        return m.be.to_host(p), m.be.to_host(v)

    return _each(m, tensors, 3, step)


def adagrad(m: Machine, rate: Nd, t: Nd, *tensors: Nd, **o: Any) -> Outputs:
    lr = float(rate) / (1 + int(t) * o["decay_factor"])

    def step(p: Any, g: Any, h: Any) -> Outputs:
        m.be.adagrad(p, g, h)(lr, o["epsilon"], o["norm_coefficient"])
        return m.be.to_host(p), m.be.to_host(h)

    return _each(m, tensors, 3, step)


TRAINING = "ai.onnx.preview.training"

OPS: dict[str, Op] = {
    "Add": add,
    "Sum": add,
    "Sub": sub,
    "Mul": mul,
    "Neg": neg,
    "Mean": mean,
    "Clip": clip,
    "MatMul": matmul,
    "Gemm": gemm,
    "Relu": activation("relu"),
    "LeakyRelu": activation("leaky_relu"),
    "PRelu": p_relu,
    "Sigmoid": activation("sigmoid"),
    "Tanh": activation("tanh"),
    "Softplus": activation("softplus"),
    "Gelu": activation("gelu"),
    "Exp": activation("exp"),
    "Identity": activation("identity"),
    "Softmax": softmax_like(False),
    "LogSoftmax": softmax_like(True),
    "ReduceSum": reduction(_sum),
    "ReduceMean": reduction(lambda m, x: m.scale(_sum(m, x), 1 / x.shape[1])),
    "ReduceSumSquare": reduction(lambda m, x: _sum(m, m.times(x, x))),
    "ReduceL2": reduction(_norm),
    "ReduceMax": reduction(Machine.max_rows),
    "ReduceMin": reduction(lambda m, x: m.scale(m.max_rows(m.scale(x, -1)), -1)),
    "Gather": gather,
    "Flatten": flatten,
    "Reshape": reshape,
    "Dropout": dropout,
    "NegativeLogLikelihoodLoss": nll,
    "SoftmaxCrossEntropyLoss": sce,
    "Adam": adam,
    "Momentum": momentum,
    "Adagrad": adagrad,
}
