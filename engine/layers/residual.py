"""Residual: a block whose input is added to its output."""

from dataclasses import dataclass

from agentd.engine.backend import Array, Shape
from agentd.engine.errors import ModelError
from agentd.engine.layers.layer import Layer, LayerSpec, Options
from agentd.engine.layers.recording import Layout, Recording
from agentd.engine.layers.sequential import Sequential


class Residual(LayerSpec, Options, frozen=True, tag="residual"):
    """y = x + layers(x) (He et al. 2015, arXiv:1512.03385); the block must keep the shape."""

    layers: tuple[LayerSpec, ...]

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        block = Sequential(self.layers).place(at, name, shape)
        if block.out_shape != shape:
            raise ModelError(f"{name}: the block turns {shape} into {block.out_shape}: no sum")
        return PlacedResidual(block)


@dataclass(frozen=True, slots=True)
class PlacedResidual:
    """y = x + block(x), all (B, *out_shape)."""

    block: Layer

    @property
    def out_shape(self) -> Shape:
        return self.block.out_shape

    def forward(self, r: Recording, x: Array) -> Array:
        inner, y = self.block.forward(r, x), r.new(self.out_shape)
        r.kept[id(self)] = inner
        r.do(r.be.plus(x, inner, y))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        inner = r.kept[id(self)]
        if not need_dx:
            return self.block.backward(r, x, inner, dy, False)
        around = r.new(self.out_shape)  # the block may overwrite dy
        r.do(r.be.copy(dy, around))
        dx = self.block.backward(r, x, inner, dy, True)
        assert dx is not None
        r.do(r.be.add(dx, around))
        return around
