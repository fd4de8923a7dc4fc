"""Normalisation: LayerNorm within a row, BatchNorm over the batch, Normalize over all rows."""

from dataclasses import dataclass
from math import prod
from typing import Annotated

import numpy as np
from msgspec import Meta

from agentd.engine.backend import Array, Shape, Slot
from agentd.engine.errors import ModelError
from agentd.engine.layers.init import ones, zeros
from agentd.engine.layers.layer import Layer, LayerSpec, Options
from agentd.engine.layers.recording import Layout, Recording

Epsilon = Annotated[float, Meta(gt=0, le=1)]
FAR = 1e3
"""The most deviations from the mean that leave `Normalize`; N rows that were seen have √N."""


class LayerNorm(LayerSpec, Options, frozen=True, tag="layer_norm"):
    """Each row to mean 0 and variance 1 over its last dimension, then a gain and a bias.

    Ba, Kiros & Hinton 2016, arXiv:1607.06450.
    """

    eps: Epsilon = 1e-5

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        gain = at.slot(f"{name}.gain", shape[-1:], ones)
        bias = at.slot(f"{name}.bias", shape[-1:], zeros)
        return PlacedLayerNorm(gain, bias, self.eps, shape)


class BatchNorm(LayerSpec, Options, frozen=True, tag="batch_norm"):
    """Each channel to mean 0 and variance 1 over the batch (and the image), gain and bias.

    Ioffe & Szegedy 2015, arXiv:1502.03167. In evaluation the running statistics stand in for the
    batch's; training moves them by ``momentum``. They lie behind the trainable parameters in the
    flat vector, so that they are saved, published and copied with the weights.
    """

    momentum: Annotated[float, Meta(gt=0, le=1)] = 0.1
    eps: Epsilon = 1e-5

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        size = shape[-1:]
        gain, bias = at.slot(f"{name}.gain", size, ones), at.slot(f"{name}.bias", size, zeros)
        mean = at.statistic(f"{name}.mean", size, zeros, replayed=True)
        variance = at.statistic(f"{name}.variance", size, ones, replayed=True)
        return PlacedBatchNorm(gain, bias, mean, variance, self.momentum, self.eps, shape)


class Normalize(LayerSpec, Options, frozen=True, tag="normalize"):
    """The network's input to mean 0 and variance 1, by statistics of everything seen so far.

    Each feature of a vector, each channel of an image. The statistics lie where BatchNorm's do;
    the learner moves them (`engine.network.normalize`), a pass only reads them. What comes out is
    cut to ±``FAR``: whatever finite number comes, the network gets one that it can multiply. The
    layer comes before every trained one. Raises ModelError behind one.
    """

    eps: Epsilon = 1e-8

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        if at.n_trainable or at.n_statistics:
            raise ModelError(f"{name}: normalises the network's input, so it comes first")
        mean = at.statistic(f"{name}.mean", shape[-1:], zeros, replayed=True)
        variance = at.statistic(f"{name}.variance", shape[-1:], ones, replayed=True)
        return PlacedNormalize(mean, variance, self.eps, shape)


@dataclass(frozen=True, slots=True)
class PlacedLayerNorm:
    """x and y (B, ..., D); gain, bias (D,)."""

    gain: Slot
    bias: Slot
    eps: float
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        y, norm, scale = r.new(self.out_shape), r.new(self.out_shape), r.new(self.out_shape[:-1])
        flat, rows = as_rows(r, norm), r.be.reshape(scale, (prod(scale.shape),))
        r.kept[id(self)] = (flat, rows)
        gain, bias = r.p(self.gain), r.p(self.bias)
        r.do(r.be.layer_norm(as_rows(r, x), gain, bias, self.eps, as_rows(r, y), flat, rows))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        norm, scale = r.kept[id(self)]
        dz, gain = as_rows(r, dy), r.p(self.gain)
        dgain, dbias = r.g(self.gain), r.g(self.bias)
        r.do(r.be.layer_norm_backward(dz, gain, norm, scale, dgain, dbias, dz))
        return dy


@dataclass(frozen=True, slots=True)
class PlacedBatchNorm:
    """x and y (B, ..., C); gain, bias, mean, variance (C,)."""

    gain: Slot
    bias: Slot
    mean: Slot
    variance: Slot
    momentum: float
    eps: float
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        y = r.new(self.out_shape)
        rows, out = as_rows(r, x), as_rows(r, y)
        gain, bias, mean, variance = map(r.p, (self.gain, self.bias, self.mean, self.variance))
        if not r.training:
            r.do(r.be.batch_norm_apply(rows, gain, bias, mean, variance, self.eps, out))
            return y
        if r.replaying:  # the batch's statistics again; the running ones have moved already
            mean, variance = r.be.zeros(mean.shape), r.be.zeros(mean.shape)
        norm, scale = as_rows(r, r.new(self.out_shape)), r.be.empty(self.gain.shape)
        r.kept[id(self)] = (norm, scale)
        r.do(
            r.be.batch_norm(
                rows, gain, bias, mean, variance, self.momentum, self.eps, out, norm, scale
            )
        )
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        norm, scale = r.kept[id(self)]
        dz, gain = as_rows(r, dy), r.p(self.gain)
        dgain, dbias = r.g(self.gain), r.g(self.bias)
        r.do(r.be.batch_norm_backward(dz, gain, norm, scale, dgain, dbias, dz))
        return dy


@dataclass(frozen=True, slots=True)
class PlacedNormalize:
    """x and y (B, ..., D); mean, variance (D,). Nothing before it wants a gradient."""

    mean: Slot
    variance: Slot
    eps: float
    out_shape: Shape

    def forward(self, r: Recording, x: Array) -> Array:
        y, size = r.new(self.out_shape), self.mean.shape
        gain, bias = r.be.asarray(np.ones(size)), r.be.zeros(size)
        mean, variance = r.p(self.mean), r.p(self.variance)
        rows = as_rows(r, x), as_rows(r, y)
        r.do(r.be.batch_norm_apply(rows[0], gain, bias, mean, variance, self.eps, rows[1]))
        r.do(r.be.clip_value(r.be.reshape(y, (prod(y.shape),)), FAR))
        return y

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        return None


def as_rows(r: Recording, x: Array) -> Array:
    """Return (B, ..., D) as (R, D): every position is a row."""
    return r.be.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))
