"""Pools: the largest or the mean number under a sliding window, channel by channel."""

from dataclasses import dataclass

from agentd.engine.backend import Array, Shape, Window
from agentd.engine.errors import ModelError
from agentd.engine.layers.conv import BorderPair, Pair, make_window
from agentd.engine.layers.layer import Layer, LayerSpec, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording


class MaxPool2d(LayerSpec, Options, frozen=True, tag="max_pool2d"):
    """The largest number under each window; ``stride`` null is the kernel's size."""

    kernel: Pair = 2
    stride: Pair | None = None
    padding: BorderPair = 0

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedMaxPool2d(_pool_window(shape, self.kernel, self.stride, self.padding, name))


class AvgPool2d(LayerSpec, Options, frozen=True, tag="avg_pool2d"):
    """The mean number under each window; padding is not counted."""

    kernel: Pair = 2
    stride: Pair | None = None
    padding: BorderPair = 0

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedAvgPool2d(_pool_window(shape, self.kernel, self.stride, self.padding, name))


class GlobalAvgPool(LayerSpec, Options, frozen=True, tag="global_avg_pool"):
    """Each channel's mean over the whole image: (H, W, C) becomes (C,)."""

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 3, name, "an image is (height, width, channels)")
        window = Window(shape[0], shape[1], shape[2], (shape[0], shape[1]))
        return PlacedAvgPool2d(window, flat=True)


def _pool_window(
    shape: Shape,
    kernel: Pair,
    stride: Pair | None,
    padding: BorderPair,
    name: str,
) -> Window:
    window = make_window(shape, kernel, kernel if stride is None else stride, padding, name)
    if any(p >= k for p, k in zip(window.padding, window.kernel, strict=True)):
        raise ModelError(
            f"{name}: padding {window.padding} must be smaller than the kernel {window.kernel}"
        )
    return window


@dataclass(frozen=True, slots=True)
class PlacedMaxPool2d:
    """x (B, H, W, C), y (B, OH, OW, C); which tap was chosen is kept for backward."""

    window: Window

    @property
    def out_shape(self) -> Shape:
        return (self.window.out_height, self.window.out_width, self.window.channels)

    def forward(self, r: Recording, x: Array) -> Array:
        y, chosen = r.new(self.out_shape), r.new(self.out_shape, "int32")
        r.kept[id(self)] = chosen
        r.do(r.be.max_pool(x, self.window, y, chosen))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if not need_dx:
            return None
        dx = r.new((self.window.height, self.window.width, self.window.channels))
        r.do(r.be.max_pool_backward(dy, self.window, r.kept[id(self)], dx))
        return dx


@dataclass(frozen=True, slots=True)
class PlacedAvgPool2d:
    """x (B, H, W, C), y (B, OH, OW, C), or (B, C) where ``flat``."""

    window: Window
    flat: bool = False

    @property
    def out_shape(self) -> Shape:
        image = (self.window.out_height, self.window.out_width, self.window.channels)
        return image[2:] if self.flat else image

    def forward(self, r: Recording, x: Array) -> Array:
        y = r.new(self.out_shape)
        r.do(r.be.avg_pool(x, self.window, self._image(r, y)))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if not need_dx:
            return None
        dx = r.new((self.window.height, self.window.width, self.window.channels))
        r.do(r.be.avg_pool_backward(self._image(r, dy), self.window, dx))
        return dx

    def _image(self, r: Recording, y: Array) -> Array:
        return r.be.reshape(y, (r.batch, 1, 1, *self.out_shape)) if self.flat else y
