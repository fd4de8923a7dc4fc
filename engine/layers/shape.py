"""Layers that read the same numbers as another shape."""

from dataclasses import dataclass
from math import prod

from agentd.engine.backend import Array, Shape
from agentd.engine.errors import ModelError
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options
from agentd.engine.layers.recording import Layout, Recording


class Flatten(LayerSpec, Options, frozen=True, tag="flatten"):
    """All dimensions but the batch become one."""

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedReshape(shape, (prod(shape),))


class Reshape(LayerSpec, Options, frozen=True, tag="reshape"):
    """The same numbers as ``shape`` (without B): [height, width, channels] for an image."""

    shape: tuple[Count, ...]

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        if prod(shape) != prod(self.shape):
            raise ModelError(f"{name}: cannot read an input of shape {shape} as {self.shape}")
        return PlacedReshape(shape, self.shape)


@dataclass(frozen=True, slots=True)
class PlacedReshape:
    """x (B, *in_shape), y (B, *out_shape): the same memory."""

    in_shape: Shape
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        return r.be.reshape(x, (r.batch, *self.out_shape))

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        return r.be.reshape(dy, (r.batch, *self.in_shape)) if need_dx else None
