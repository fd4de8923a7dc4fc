"""Dropout: numbers left out at random while training, and only then."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from agentd.engine.backend import Array, Shape
from agentd.engine.layers.layer import Layer, LayerSpec, Options
from agentd.engine.layers.recording import Layout, Recording


class Dropout(LayerSpec, Options, frozen=True, tag="dropout"):
    """Each number is 0 with probability ``rate``; the others grow by 1 / (1 - rate).

    Srivastava et al. 2014, inverted. The mask is a function of the pass's seed, the number of
    calls and the layer, so a saved pass replays it.
    """

    rate: Annotated[float, Meta(ge=0, lt=1)] = 0.5

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedDropout(self.rate, shape)


@dataclass(frozen=True, slots=True)
class PlacedDropout:
    """x and y (B, *out_shape); the factors 0 and 1 / (1 - rate) are kept for backward."""

    rate: float
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        if not r.training or not self.rate:
            return x
        y, factor = r.new(self.out_shape), r.new(self.out_shape)
        r.kept[id(self)] = factor
        r.do(r.be.dropout(x, self.rate, r.mask_key(), y, factor))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if not need_dx:
            return None
        if self.rate:
            r.do(r.be.multiply(r.kept[id(self)], dy))
        return dy
