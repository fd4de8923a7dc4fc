"""Dense: an affine map, with its activation fused where the derivative needs only the output."""

from dataclasses import dataclass

from agentd.engine.backend import Activation, Array, Shape, Slot
from agentd.engine.layers.init import INITS, Init, uniform_bias, zeros
from agentd.engine.layers.layer import Count, Layer, LayerSpec, NotNegative, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording

FUSED: tuple[Activation, ...] = ("identity", "relu", "sigmoid", "tanh")
"""Activations that an affine op may apply in place: their derivative is one of the output."""


class Dense(LayerSpec, Options, frozen=True, tag="dense"):
    """``units`` outputs, each an affine map of all inputs.

    ``init`` uniform draws weights and bias from ±1/sqrt(fan_in) as PyTorch does; with any other
    the bias starts at 0. ``l1`` and ``l2`` penalise the weights, not the bias.
    """

    units: Count
    bias: bool = True
    init: Init = "uniform"
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "put `flatten` before it")
        (n_in,) = shape
        w = at.slot(f"{name}.w", (n_in, self.units), INITS[self.init], self.l1, self.l2)
        bias = uniform_bias(n_in) if self.init == "uniform" else zeros
        b = at.slot(f"{name}.b", (self.units,), bias) if self.bias else None
        return PlacedDense(w, b)


@dataclass(frozen=True, slots=True)
class PlacedDense:
    """``y = act(x @ w + b)``. x (B, n_in), w (n_in, n_out), b (n_out,), y (B, n_out)."""

    w: Slot
    b: Slot | None
    act: Activation = "identity"

    @property
    def out_shape(self) -> Shape:
        return (self.w.shape[1],)

    def forward(self, r: Recording, x: Array) -> Array:
        y = r.new(self.out_shape)
        b = r.p(self.b) if self.b else None
        r.do(r.be.affine(x, r.p(self.w), b, y, self.act))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if self.act != "identity":
            r.do(r.be.activation_backward(self.act, y, y, dy, dy))
        r.do(r.be.matmul_tn(x, dy, r.g(self.w)))  # dw = x.T @ dz
        if self.b:
            r.do(r.be.sum_rows(dy, r.g(self.b)))  # db = Σ dz
        if not need_dx:
            return None
        dx = r.new((self.w.shape[0],))
        r.do(r.be.matmul_nt(dy, r.p(self.w), dx))  # dx = dz @ w.T
        return dx
