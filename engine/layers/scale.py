"""Scale: a fixed factor."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from agentd.engine.backend import Array, Shape, Step
from agentd.engine.layers.layer import Layer, LayerSpec, Options
from agentd.engine.layers.norm import as_rows
from agentd.engine.layers.recording import Layout, Recording

Positive = Annotated[float, Meta(gt=0, le=1e9)]


class Scale(LayerSpec, Options, frozen=True, tag="scale"):
    """Every number times ``factor``: 1/255 for images of bytes."""

    factor: Positive = 1 / 255

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedScale(self.factor, shape)


@dataclass(frozen=True, slots=True)
class PlacedScale:
    """y = factor * x, both (B, *out_shape)."""

    factor: float
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        y = r.new(self.out_shape)
        r.do(self._times(r, x, y))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if need_dx:
            r.do(self._times(r, dy, dy))
        return dy if need_dx else None

    def _times(self, r: Recording, x: Array, y: Array) -> Step:
        zero, one = (r.be.asarray(np.full(self.out_shape[-1:], v, np.float32)) for v in (0, 1))
        factor = r.be.asarray(np.full(self.out_shape[-1:], self.factor, np.float32))
        rows, out = as_rows(r, x), as_rows(r, y)
        return r.be.batch_norm_apply(rows, factor, zero, zero, one, 0.0, out)
