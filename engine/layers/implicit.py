"""Implicit quantiles: the last layers of a network, at several fractions of the return."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Shape, Slot
from agentd.engine.errors import ModelError
from agentd.engine.layers.init import INITS, uniform_bias
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording
from agentd.engine.layers.sequential import PlacedSequential, Sequential
from agentd.engine.rules.exploration import uniforms


class ImplicitQuantiles(LayerSpec, Options, frozen=True, tag="implicit_quantiles"):
    """``layers`` on an input multiplied with features of a fraction, for ``samples`` of them.

    Dabney et al. 2018 (arXiv:1806.06923), section 3.1: f(ψ(x) * φ(τ)) with f the ``layers``, ψ(x)
    the input and φ(τ) = relu(Σ_i cos(π i τ) w_i + b) over 0 <= i < ``cosines``. From n samples come
    n outputs of the layers, (n A,), the i-th number of all A actions side by side. Fractions are
    drawn anew from U(0, 1) for every row and call: a function of the pass's seed, the number of
    calls, the row and the sample. In passes without noise, and with ``fixed`` in all, they are the
    middles of n equal parts of (0, 1). It follows from ``dqn.distribution``: YAML names it nowhere.
    """

    samples: Count
    layers: tuple[LayerSpec, ...] = ()
    cosines: Count = 64
    fixed: bool = False

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "put `flatten` before it")
        size = (self.cosines, shape[0])
        w = at.slot(f"{name}.cos.w", size, INITS["uniform"])
        b = at.slot(f"{name}.cos.b", shape, uniform_bias(self.cosines))
        inner = Sequential(self.layers).place(at, name, shape)
        want_rank(inner.out_shape, 1, name, "its layers end in one number an action")
        return PlacedImplicitQuantiles(w, b, inner, self.samples, self.fixed)


@dataclass(frozen=True, slots=True)
class PlacedImplicitQuantiles:
    """x (B, E), fractions (B, n) or (n,) for all rows, y (B, n A); inside, each is a row.

    w (C, E) and b (E,) of φ; ``inner`` are the layers.
    """

    w: Slot
    b: Slot
    inner: PlacedSequential
    samples: int
    fixed: bool

    @property
    def out_shape(self) -> Shape:
        return (self.samples * self.inner.out_shape[0],)

    def forward(self, r: Recording, x: Array) -> Array:
        n, drawn = self.samples, r.noise is not None and not self.fixed
        tau = r.new((n,)) if drawn else r.be.asarray(middles(n))
        with r.spread(n):
            cosines, phi = self._features(r, drawn)
            mixed = r.new(self.b.shape)
            if drawn:
                r.do(_draw(r, tau))
                r.do(r.be.cosines(tau, cosines))
            else:
                r.be.cosines(tau, cosines)()
            r.do(r.be.affine(cosines, r.p(self.w), r.p(self.b), phi, "relu"))
            r.do(r.be.modulate(x, phi, mixed))
            each = self.inner.forward(r, mixed)
        r.fractions = tau if drawn else None
        r.kept[id(self)] = cosines, phi, mixed, each
        return r.be.reshape(each, (r.batch, *self.out_shape))

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        if r.fractions is None:
            raise ModelError("implicit_quantiles: expected drawn fractions, got fixed ones")
        cosines, phi, mixed, each = r.kept[id(self)]
        dx = r.new(self.b.shape) if need_dx else None
        with r.spread(self.samples):
            dphi = r.new(self.b.shape)
            rows = r.be.reshape(dy, (r.batch, *self.inner.out_shape))
            slope = self.inner.backward(r, mixed, each, rows, need_dx=True)
            assert slope is not None, "the layers inside gave no gradient"
            r.do(r.be.modulate_backward(slope, x, phi, dphi, dx))
        r.do(r.be.activation_backward("relu", phi, phi, dphi, dphi))
        r.do(r.be.matmul_tn(cosines, dphi, r.g(self.w)))
        r.do(r.be.sum_rows(dphi, r.g(self.b)))
        return dx

    def _features(self, r: Recording, drawn: bool) -> tuple[Array, Array]:
        """Return where cosines (R, C) and φ (R, E) go: R is B n, or n where all rows share them."""
        wide, narrow = self.w.shape[:1], self.w.shape[1:]
        if drawn:
            return r.new(wide), r.new(narrow)
        return r.be.empty((self.samples, *wide)), r.be.empty((self.samples, *narrow))


def middles(n: int) -> NDArray[np.float64]:
    """Return the middles of n equal parts of (0, 1), (n,)."""
    return (np.arange(n) + 0.5) / n


def features_at(w: NDArray[np.float32], b: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return φ (n, E) at the middles of n equal parts of (0, 1), from w (C, E) and b (E,)."""
    turns = middles(n)[:, None] * np.arange(len(w))
    phi: NDArray[np.float32] = np.maximum(np.cos(np.pi * turns) @ w + b, 0).astype(np.float32)
    return phi


def _draw(r: Recording, tau: Array) -> Callable[[], None]:
    """Return a step that draws fractions tau (B, n) by the call's key."""
    be, key = r.be, r.noise_key()
    place = np.arange(tau.shape[0] * tau.shape[1])

    def step() -> None:
        be.write(tau, uniforms(key(), place, 1).reshape(tau.shape))

    return step
