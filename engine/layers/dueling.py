"""The dueling head: one state value and an advantage per action, aggregated over legal actions."""

from dataclasses import dataclass

from engine.backend import Array, Shape, Slot
from engine.init import INITS, Init, uniform_bias, zeros
from engine.layers.layer import Count, Layer, LayerSpec, Options, want_rank
from engine.recording import Layout, Recording


class Dueling(LayerSpec, Options, frozen=True, tag="dueling"):
    """Q(s, a) = V(s) + A(s, a) - mean over legal a' of A(s, a').

    Wang et al. 2016, arXiv:1511.06581, equation 9; with several branches one mean each
    (Tavakoli, Pardo & Kormushev 2018, arXiv:1711.08946, equation 1). ``actions`` is the number of
    actions of each branch. The mask is ``Pass.forward``'s; without one all actions are legal.
    """

    actions: Count | tuple[Count, ...]
    init: Init = "uniform"

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "put `flatten` before it")
        (n_in,) = shape
        branches = (self.actions,) if isinstance(self.actions, int) else self.actions
        n_out = 1 + sum(branches)
        w = at.slot(f"{name}.w", (n_in, n_out), INITS[self.init])
        bias = uniform_bias(n_in) if self.init == "uniform" else zeros
        return PlacedDueling(w, at.slot(f"{name}.b", (n_out,), bias), branches)


@dataclass(frozen=True, slots=True)
class PlacedDueling:
    """x (B, n_in), w (n_in, 1 + A) with the value's column first, b (1 + A,), y (B, A)."""

    w: Slot
    b: Slot
    branches: tuple[int, ...]

    @property
    def out_shape(self) -> Shape:
        return (sum(self.branches),)

    def forward(self, r: Recording, x: Array) -> Array:
        z, q = r.new(self.b.shape), r.new(self.out_shape)
        r.do(r.be.affine(x, r.p(self.w), r.p(self.b), z))
        r.do(r.be.dueling(z, r.mask, self.branches, q))
        return q

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        dz = r.new(self.b.shape)
        r.do(r.be.dueling_backward(dy, r.mask, self.branches, dz))
        r.do(r.be.matmul_tn(x, dz, r.g(self.w)))
        r.do(r.be.sum_rows(dz, r.g(self.b)))
        if not need_dx:
            return None
        dx = r.new((self.w.shape[0],))
        r.do(r.be.matmul_nt(dz, r.p(self.w), dx))
        return dx
