"""Layers that read the same numbers as another shape."""

from dataclasses import dataclass
from math import prod

from agentd.engine.backend import Array, Shape, Window
from agentd.engine.errors import ModelError
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options, want_rank
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


class ChannelsLast(LayerSpec, Options, frozen=True, tag="channels_last"):
    """Planes (channels, height, width) become an image (height, width, channels)."""

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 3, name, "planes are (channels, height, width): put `reshape` before it")
        return PlacedChannelsLast(*shape)


@dataclass(frozen=True, slots=True)
class PlacedReshape:
    """x (B, *in_shape), y (B, *out_shape): the same memory."""

    in_shape: Shape
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        return r.be.reshape(x, (r.batch, *self.out_shape))

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        return r.be.reshape(dy, (r.batch, *self.in_shape)) if need_dx else None


@dataclass(frozen=True, slots=True)
class PlacedChannelsLast:
    """x (B, C, H, W), y (B, H, W, C).

    Unfolding an image of C rows, H W columns and one channel by a window of C rows and one column
    lays the C numbers of each place side by side: it is the transpose that is wanted.
    """

    channels: int
    height: int
    width: int

    @property
    def out_shape(self) -> Shape:
        return (self.height, self.width, self.channels)

    @property
    def window(self) -> Window:
        """The window that is slid over x, read as (B, C, H W, 1)."""
        return Window(self.channels, self.height * self.width, 1, (self.channels, 1))

    def forward(self, r: Recording, x: Array) -> Array:
        y = r.new(self.out_shape)
        r.do(r.be.im2col(self._planes(r, x), self.window, self._places(r, y)))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if not need_dx:
            return None
        dx = r.new((self.channels, self.height, self.width))
        r.do(r.be.col2im(self._places(r, dy), self.window, self._planes(r, dx)))
        return dx

    def _planes(self, r: Recording, x: Array) -> Array:
        return r.be.reshape(x, (x.shape[0], self.channels, self.height * self.width, 1))

    def _places(self, r: Recording, y: Array) -> Array:
        return r.be.reshape(y, (y.shape[0] * self.height * self.width, self.channels))
