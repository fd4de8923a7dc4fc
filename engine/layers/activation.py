"""Activations as layers of their own; after a Dense most of them are fused into it."""

from dataclasses import dataclass
from typing import Annotated, cast

import msgspec

from agentd.engine.backend import Activation, Array, Shape
from agentd.engine.layers.layer import Layer, LayerSpec, Options, tag_of
from agentd.engine.layers.recording import Layout, Recording


class _Elementwise(LayerSpec, Options, frozen=True):
    """A layer whose tag is the activation's name."""

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedActivation(cast(Activation, tag_of(self)), shape)


class Identity(_Elementwise, frozen=True, tag="identity"):
    """y = x."""


class Relu(_Elementwise, frozen=True, tag="relu"):
    """y = max(x, 0)."""


class Sigmoid(_Elementwise, frozen=True, tag="sigmoid"):
    """y = 1 / (1 + e^-x)."""


class Tanh(_Elementwise, frozen=True, tag="tanh"):
    """y = tanh(x)."""


class Softplus(_Elementwise, frozen=True, tag="softplus"):
    """y = ln(1 + e^x)."""


class Gelu(_Elementwise, frozen=True, tag="gelu"):
    """y = x Φ(x) in the tanh form (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""


class Exp(_Elementwise, frozen=True, tag="exp"):
    """y = e^x with x clipped to ±10."""


class LeakyRelu(LayerSpec, Options, frozen=True, tag="leaky_relu"):
    """y = x above 0, slope * x below."""

    slope: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedActivation("leaky_relu", shape, self.slope)


@dataclass(frozen=True, slots=True)
class PlacedActivation:
    """An elementwise map; x and y (B, *out_shape)."""

    act: Activation
    out_shape: Shape
    slope: float = 0.0

    def forward(self, r: Recording, x: Array) -> Array:
        if self.act == "identity":
            return x
        y = r.new(self.out_shape)
        r.do(r.be.activation(self.act, x, y, self.slope))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if need_dx and self.act != "identity":
            read = x if self.act == "gelu" else y  # nobody else keeps x alive for backward
            r.do(r.be.activation_backward(self.act, read, y, dy, dy, self.slope))
        return dy if need_dx else None
