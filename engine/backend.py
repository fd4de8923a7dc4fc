"""The one door between the engine and the machine that computes.

Every op is *bound once, run often*: calling ``backend.affine(x, w, b, y)`` computes nothing; it
returns a ``Step``, a function without arguments that computes into those very arrays each time it
is called. Layers, losses and optimizers bind their ops when a batch size is first seen and then
replay them. So the hot path allocates nothing and pays one call per op: NumPy's ufuncs with
``out=`` on one backend, kernels whose arguments are already set on another.

Arrays belong to their backend. Outside of it an array has a shape and nothing else: no operators,
no indexing, no NumPy function. Numbers enter with ``asarray`` or ``write`` and leave with
``to_host``. Floats are float32 (float64 on the NumPy backend when tests ask for it).

Shapes: B batch, P parameters, D input and E output features, C classes, K a free count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
Host: TypeAlias = NDArray[Any]
"""An array in host memory."""

Step: TypeAlias = Callable[[], object]
"""A bound op: computes into the arrays it was bound to, each time it is called."""

Activation: TypeAlias = Literal[
    "identity", "relu", "leaky_relu", "sigmoid", "tanh", "softplus", "gelu", "exp"
]
Kind: TypeAlias = Literal["float", "int32", "uint32", "uint8"]


class Array(Protocol):
    """Numbers on a backend's device. Only the shape may be asked for."""

    @property
    def shape(self) -> Shape: ...


@dataclass(frozen=True, slots=True)
class Slot:
    """A named part of a flat vector: ``size`` numbers from ``offset``, read as ``shape``."""

    name: str
    offset: int
    shape: Shape

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def end(self) -> int:
        return self.offset + self.size


class Backend(Protocol):
    """What a machine must be able to do. ``NumPyBackend`` is the reference and the fast CPU."""

    name: str

    # Memory -------------------------------------------------------------------------------

    def empty(self, shape: Shape, kind: Kind = "float") -> Array:
        """Return new memory with undefined contents."""
        ...

    def zeros(self, shape: Shape, kind: Kind = "float") -> Array:
        """Return new memory full of zeros."""
        ...

    def asarray(self, host: Host) -> Array:
        """Return a copy of ``host`` on the device; floats take the backend's float type."""
        ...

    def to_host(self, array: Array) -> Host:
        """Return a copy of ``array`` in host memory."""
        ...

    def write(self, array: Array, source: Array | Host) -> None:
        """Copy ``source`` of the same shape into ``array`` now, in place; numbers are cast."""
        ...

    def view(self, vector: Array, slot: Slot) -> Array:
        """Return ``slot`` of a flat vector as an array that shares its memory."""
        ...

    def rows(self, array: Array, start: int, stop: int) -> Array:
        """Return rows [start, stop) of ``array``; the memory is shared."""
        ...

    def reshape(self, array: Array, shape: Shape) -> Array:
        """Return ``array`` read as ``shape``; the memory is shared."""
        ...

    # Moving and adding --------------------------------------------------------------------

    def copy(self, x: Array, y: Array) -> Step:
        """y = x."""
        ...

    def fill(self, y: Array, value: float) -> Step:
        """y = value."""
        ...

    def add(self, x: Array, y: Array) -> Step:
        """y += x, in place."""
        ...

    def blend(self, x: Array, y: Array, weight: float) -> Step:
        """y += weight * (x - y), in place: a soft target update, a running mean."""
        ...

    # Dense --------------------------------------------------------------------------------

    def affine(
        self, x: Array, w: Array, b: Array | None, y: Array, act: Activation = "identity"
    ) -> Step:
        """y = act(x @ w + b). x (B, D), w (D, E), b (E,), y (B, E).

        ``act`` is one whose derivative is a function of its output: identity, relu, sigmoid, tanh.
        """
        ...

    def matmul_tn(self, x: Array, dy: Array, dw: Array) -> Step:
        """dw = x.T @ dy. x (B, D), dy (B, E), dw (D, E)."""
        ...

    def matmul_nt(self, dy: Array, w: Array, dx: Array) -> Step:
        """dx = dy @ w.T. dy (B, E), w (D, E), dx (B, D)."""
        ...

    def sum_rows(self, dy: Array, db: Array) -> Step:
        """db = dy.sum(0). dy (B, E), db (E,)."""
        ...

    # Activations --------------------------------------------------------------------------

    def activation(self, act: Activation, x: Array, y: Array, slope: float = 0.01) -> Step:
        """y = act(x), any shape; y may be x. ``slope`` is leaky_relu's below zero."""
        ...

    def activation_backward(
        self, act: Activation, x: Array, y: Array, dy: Array, dx: Array, slope: float = 0.01
    ) -> Step:
        """dx = dy * act'(x); dx may be dy. Only gelu reads x, the others need only y."""
        ...

    # Losses: one number a row, and the gradient of their weighted mean -----------------------

    def squared_error(
        self, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        """loss[b] = ½ Σ (y - target)²; dy = weight[b] / B * (y - target).

        y, target, dy (B, E); weight, loss (B,).
        """
        ...

    def huber(
        self, y: Array, target: Array, weight: Array | None, delta: float, dy: Array, loss: Array
    ) -> Step:
        """loss[b] = Σ (½ d² where |d| <= delta, else delta (|d| - ½ delta)), d = y - target.

        Huber 1964; the gradient is weight[b] / B * clip(d, -delta, delta).
        """
        ...

    def softmax_cross_entropy(
        self,
        y: Array,
        label: Array,
        mask: Array | None,
        weight: Array | None,
        smoothing: float,
        dy: Array,
        loss: Array,
    ) -> Step:
        """loss[b] = -Σ_c t_c ln softmax(y)_c with t = smoothed one-hot of ``label``.

        y, dy (B, C); label (B,) int32; mask (B, C) uint8 with 1 = legal; weight, loss (B,).
        ``smoothing`` is shared out evenly over the legal classes, the label's included; an illegal
        class has probability and gradient 0.
        """
        ...

    # Heads --------------------------------------------------------------------------------

    def dueling(self, z: Array, mask: Array | None, branches: Shape, q: Array) -> Step:
        """q = z[:, :1] + a - mean of a over the branch's legal actions, a = z[:, 1:].

        z (B, 1 + A), mask (B, A) uint8 with 1 = legal, q (B, A); ``branches`` sum to A.
        """
        ...

    def dueling_backward(self, dq: Array, mask: Array | None, branches: Shape, dz: Array) -> Step:
        """dz[:, 0] = Σ_a dq; dz[:, 1:] = dq - (legal ? Σ_branch dq / legal actions : 0)."""
        ...

    # Q-learning: ``engine.td`` defines both ops -------------------------------------------------

    def td_target(
        self,
        value: Array,
        select: Array,
        mask: Array | None,
        branches: tuple[int, ...],
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target = reward + discount * mean over branches of value[argmax of legal select].

        value, select (B, A), the same array for a plain maximum; mask (B, A) uint8 with 1 = legal;
        ``branches`` are the actions of each branch, side by side; the rest (B,).
        """
        ...

    def td_loss(
        self,
        q: Array,
        action: Array,
        target: Array,
        weight: Array | None,
        branches: tuple[int, ...],
        huber: float | None,
        dq: Array,
        td: Array,
        loss: Array,
    ) -> Step:
        """td = target - q[action]; loss[0] = mean of weight * (½ td², or Huber's of that width).

        q, dq (B, A); action (B, N) int32 and td (B, N) for N branches; target, weight (B,); loss
        (1,). dq is the gradient of the loss, 0 at actions not taken. An infinite td makes the loss
        infinite or NaN even where its slope is bounded.
        """
        ...

    # Optimizers over flat vectors, all in place ------------------------------------------

    def norm(self, g: Array, out: Array) -> Step:
        """out[0] = Euclidean norm of g. out (1,)."""
        ...

    def clip_norm(self, g: Array, limit: float, out: Array) -> Step:
        """out[0] = norm of g; then g *= min(1, limit / norm), in place."""
        ...

    def clip_value(self, g: Array, limit: float) -> Step:
        """g = clip(g, -limit, limit), in place."""
        ...

    def penalty(self, p: Array, g: Array, l1: float, l2: float) -> Step:
        """g += l1 * sign(p) + l2 * p, in place; p and g of one shape."""
        ...

    def sgd(self, p: Array, g: Array) -> Callable[[float, float], object]:
        """Bind (lr, decay): p -= lr (g + decay p)."""
        ...

    def momentum(
        self, p: Array, g: Array, m: Array, nesterov: bool
    ) -> Callable[[float, float, float], object]:
        """Bind (lr, mu, decay): d = g + decay p; m = mu m + d; p -= lr m.

        With ``nesterov`` p -= lr (d + mu m) instead.
        """
        ...

    def rmsprop(
        self, p: Array, g: Array, v: Array, mean: Array | None
    ) -> Callable[[float, float, float, float], object]:
        """Bind (lr, rho, eps, decay): d = g + decay p; v = rho v + (1 - rho) d²;
        p -= lr d / (sqrt(v) + eps).

        Centered where ``mean`` is given: mean = rho mean + (1 - rho) d; sqrt(v - mean²) instead.
        """
        ...

    def adagrad(self, p: Array, g: Array, v: Array) -> Callable[[float, float, float], object]:
        """Bind (lr, eps, decay): d = g + decay p; v += d²; p -= lr d / (sqrt(v) + eps)."""
        ...

    def adadelta(
        self, p: Array, g: Array, v: Array, u: Array
    ) -> Callable[[float, float, float, float], object]:
        """Bind (lr, rho, eps, decay): d = g + decay p; v = rho v + (1 - rho) d²;
        e = sqrt(u + eps) / sqrt(v + eps) d; u = rho u + (1 - rho) e²; p -= lr e.
        """
        ...

    def adam(
        self, p: Array, g: Array, m: Array, v: Array
    ) -> Callable[[float, float, float, float, float, float, bool], object]:
        """Bind (b1, b2, rate, eps, decay, shrink, adaptive): d = g + decay p; m = b1 m + d;
        v = b2 v + d²; p = shrink p - rate m / (sqrt(v) + eps), or - rate m if not ``adaptive``.

        m and v are discounted *sums*: the paper's means times 1/(1-b1) and 1/(1-b2). The caller
        folds these factors and the bias corrections into ``rate`` and ``eps``, which saves two
        passes over memory.
        """
        ...


def float_type(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` if it is float32 or float64; raise ValueError otherwise."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"backend dtype: expected float32 or float64, got {kind}")
    return kind
