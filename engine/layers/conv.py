"""Conv2d: a window slid over an image, as one matrix product over its unfolded positions."""

from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from agentd.engine.backend import Activation, Array, Shape, Slot, Window
from agentd.engine.errors import ModelError
from agentd.engine.layers.init import INITS, Init, uniform_bias, zeros
from agentd.engine.layers.layer import Count, Layer, LayerSpec, NotNegative, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording

# Two numbers are an array of bounded length: msgspec 0.22 misreads a tuple of fixed length in a
# union with a bounded int, and may crash.
_TWO = Meta(min_length=2, max_length=2)
Border: TypeAlias = Annotated[int, Meta(ge=0, le=2**16)]
Pair: TypeAlias = Count | Annotated[tuple[Count, ...], _TWO]
BorderPair: TypeAlias = Border | Annotated[tuple[Border, ...], _TWO]
Padding: TypeAlias = BorderPair | Literal["same"]


class Conv2d(LayerSpec, Options, frozen=True, tag="conv2d"):
    """``channels`` filters of size ``kernel`` over an image (height, width, channels).

    Pairs are (down, across). ``padding`` adds zeros on both sides; "same" keeps the size at stride
    1 with an odd kernel. Options as in Dense otherwise.
    """

    channels: Count
    kernel: Pair = 3
    stride: Pair = 1
    padding: Padding = 0
    bias: bool = True
    init: Init = "uniform"
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        window = make_window(shape, self.kernel, self.stride, self.padding, name)
        size = (*window.kernel, window.channels, self.channels)
        w = at.slot(f"{name}.w", size, INITS[self.init], self.l1, self.l2)
        bias = uniform_bias(window.taps) if self.init == "uniform" else zeros
        b = at.slot(f"{name}.b", (self.channels,), bias) if self.bias else None
        return PlacedConv2d(w, b, window)


@dataclass(frozen=True, slots=True)
class PlacedConv2d:
    """y = act(windows of x @ w + b).

    x (B, H, W, C), w (KH, KW, C, E), b (E,), y (B, OH, OW, E). In training the unfolded input is
    kept for backward, KH KW times the input's memory; otherwise it exists only where the backend
    does not gather the window.
    """

    w: Slot
    b: Slot | None
    window: Window
    act: Activation = "identity"

    @property
    def out_shape(self) -> Shape:
        return (self.window.out_height, self.window.out_width, self.w.shape[-1])

    def forward(self, r: Recording, x: Array) -> Array:
        y, w = r.new(self.out_shape), self._matrix(r, r.p(self.w))
        b, flat = r.p(self.b) if self.b else None, self._flat(r, y)
        if not r.training and r.be.gathers(self.window):
            r.do(r.be.conv(x, w, b, self.window, flat, self.act))
            return y
        columns = self._flat(r, r.new((*self.out_shape[:2], self.window.taps)))
        r.kept[id(self)] = columns
        r.do(r.be.im2col(x, self.window, columns))
        r.do(r.be.affine(columns, w, b, flat, self.act))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        columns, dz = r.kept[id(self)], self._flat(r, dy)
        if self.act != "identity":
            flat = self._flat(r, y)
            r.do(r.be.activation_backward(self.act, flat, flat, dz, dz))
        r.do(r.be.matmul_tn(columns, dz, self._matrix(r, r.g(self.w))))
        if self.b:
            r.do(r.be.sum_rows(dz, r.g(self.b)))
        if not need_dx:
            return None
        dcolumns = self._flat(r, r.new((*self.out_shape[:2], self.window.taps)))
        dx = r.new((self.window.height, self.window.width, self.window.channels))
        r.do(r.be.matmul_nt(dz, self._matrix(r, r.p(self.w)), dcolumns))
        r.do(r.be.col2im(dcolumns, self.window, dx))
        return dx

    def _flat(self, r: Recording, image: Array) -> Array:
        """Return (B, OH, OW, n) as (B OH OW, n)."""
        return r.be.reshape(image, (prod(image.shape[:-1]), image.shape[-1]))

    def _matrix(self, r: Recording, w: Array) -> Array:
        return r.be.reshape(w, (self.window.taps, self.w.shape[-1]))


def make_window(shape: Shape, kernel: Pair, stride: Pair, padding: Padding, name: str) -> Window:
    """Return the window over images of ``shape``. Raises ModelError when it does not fit."""
    want_rank(shape, 3, name, "an image is (height, width, channels): put `reshape` before it")
    size = _pair(kernel)
    if padding == "same":
        if size[0] % 2 == 0 or size[1] % 2 == 0:
            raise ModelError(f"{name}: padding `same` needs an odd kernel, got {size}")
        border = (size[0] // 2, size[1] // 2)
    else:
        border = _pair(padding)
    window = Window(shape[0], shape[1], shape[2], size, _pair(stride), border)
    if window.out_height < 1 or window.out_width < 1:
        raise ModelError(f"{name}: kernel {size} is larger than the image {shape} with its padding")
    return window


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
