"""The dueling head: one state value and an advantage per action, aggregated over legal actions."""

from dataclasses import dataclass

from agentd.engine.backend import Array, Shape
from agentd.engine.layers.dense import PlacedDense
from agentd.engine.layers.init import INITS, Init, uniform_bias, zeros
from agentd.engine.layers.layer import Count, Layer, LayerSpec, NotNegative, Options, want_rank
from agentd.engine.layers.noisy import PlacedNoisyDense, place_noisy
from agentd.engine.layers.recording import Layout, Recording


class Dueling(LayerSpec, Options, frozen=True, tag="dueling"):
    """Q(s, a) = V(s) + A(s, a) - mean over legal a' of A(s, a').

    Wang et al. 2016, arXiv:1511.06581, equation 9; with several branches one mean each
    (Tavakoli, Pardo & Kormushev 2018, arXiv:1711.08946, equation 1). ``actions`` is the number of
    actions of each branch. With ``atoms`` Z above 1 all of this holds for each of Z numbers of an
    action's distribution (Hessel et al. 2017, arXiv:1710.02298). ``sigma`` makes the weights noisy
    (see NoisyDense). The mask is ``Pass.forward``'s; without one all actions are legal.
    """

    actions: Count | tuple[Count, ...]
    init: Init = "uniform"
    atoms: Count = 1
    sigma: NotNegative | None = None

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        want_rank(shape, 1, name, "put `flatten` before it")
        (n_in,) = shape
        branches = (self.actions,) if isinstance(self.actions, int) else self.actions
        n_out = (1 + sum(branches)) * self.atoms
        if self.sigma is not None:
            noisy = place_noisy(at, name, n_in, n_out, self.sigma)
            return PlacedDueling(noisy, branches, self.atoms)
        w = at.slot(f"{name}.w", (n_in, n_out), INITS[self.init])
        bias = uniform_bias(n_in) if self.init == "uniform" else zeros
        dense = PlacedDense(w, at.slot(f"{name}.b", (n_out,), bias))
        return PlacedDueling(dense, branches, self.atoms)


@dataclass(frozen=True, slots=True)
class PlacedDueling:
    """x (B, n_in), from it (B Z, 1 + A) with the value's column first, y (B, Z A)."""

    streams: PlacedDense | PlacedNoisyDense
    branches: tuple[int, ...]
    atoms: int = 1

    @property
    def out_shape(self) -> Shape:
        return (self.atoms * sum(self.branches),)

    def forward(self, r: Recording, x: Array) -> Array:
        z, q = self.streams.forward(r, x), r.new(self.out_shape)
        mask = None if r.mask is None else self._each(r, r.mask)
        r.do(r.be.dueling(self._each(r, z), mask, self.branches, self._each(r, q)))
        r.kept[id(self)] = z
        return q

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        z, dz = r.kept[id(self)], r.new(self.streams.out_shape)
        mask = None if r.mask is None else self._each(r, r.mask)
        branches = self.branches
        r.do(r.be.dueling_backward(self._each(r, dy), mask, branches, self._each(r, dz)))
        return self.streams.backward(r, x, z, dz, need_dx)

    def _each(self, r: Recording, array: Array) -> Array:
        """Return (B, Z n) as (B Z, n): a row for each number of the distributions."""
        return r.be.reshape(array, (r.batch * self.atoms, array.shape[1] // self.atoms))
