"""Recurrent layers: a sequence (T, D) walked from its first row to its last."""

from dataclasses import dataclass
from typing import Literal

from agentd.engine.backend import Array, Shape, Slot
from agentd.engine.layers.init import Draw, uniform_bias
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options, want_rank
from agentd.engine.layers.recording import Layout, Recording


class Rnn(LayerSpec, Options, frozen=True, tag="rnn"):
    """h_t = act(x_t w + h_tm1 u + b), h before the first row 0 (Elman 1990).

    The output is the last h, or all of them (T, units) with ``sequence``.
    """

    units: Count
    sequence: bool = False
    act: Literal["tanh", "relu"] = "tanh"

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedRnn(_place(at, name, shape, self.units, 1, self.sequence), self.act)


class Lstm(LayerSpec, Options, frozen=True, tag="lstm"):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates: Gers et al. 2000).

    The output is the last h, or all of them (T, units) with ``sequence``. The gates' columns are
    input, forget, output, cell.
    """

    units: Count
    sequence: bool = False

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedLstm(_place(at, name, shape, self.units, 4, self.sequence))


@dataclass(frozen=True, slots=True)
class Walk:
    """What both layers share: w (D, G H), u (H, G H), b (G H,) for G gates of H units."""

    w: Slot
    u: Slot
    b: Slot
    steps: int
    sequence: bool

    @property
    def units(self) -> int:
        return self.u.shape[0]

    @property
    def out_shape(self) -> Shape:
        return (self.steps, self.units) if self.sequence else (self.units,)

    def flat(self, r: Recording, width: int) -> Array:
        """Return new memory for all times, (T B, width), time first."""
        return r.be.reshape(r.new((self.steps * width,)), (self.steps * r.batch, width))

    def at(self, r: Recording, flat: Array, t: int) -> Array:
        """Return time t of such memory, (B, width)."""
        return r.be.rows(flat, t * r.batch, (t + 1) * r.batch)

    def swap(self, r: Recording, x: Array, y: Array, to_time: bool) -> None:
        """Record y = x with batch and time exchanged; the time-first one is flat."""
        width, flat = (x.shape[-1], y if to_time else x)
        by_time = r.be.reshape(flat, (self.steps, r.batch, width))
        r.do(r.be.swap(x, by_time) if to_time else r.be.swap(by_time, y))

    def sums(self, r: Recording, x: Array) -> tuple[Array, Array]:
        """Record x_t w + b for all times; return x time first (T B, D) and the sums (T B, G H)."""
        xs, z = self.flat(r, x.shape[-1]), self.flat(r, self.b.shape[0])
        self.swap(r, x, xs, to_time=True)
        r.do(r.be.affine(xs, r.p(self.w), r.p(self.b), z))
        return xs, z

    def recur(self, r: Recording, h: Array, z: Array, t: int, scratch: Array) -> None:
        """Record z_t += h_tm1 u."""
        if t:
            r.do(r.be.affine(self.at(r, h, t - 1), r.p(self.u), None, scratch))
            r.do(r.be.add(scratch, self.at(r, z, t)))

    def output(self, r: Recording, h: Array) -> Array:
        """Return what the layer gives, from all h (T B, H)."""
        if not self.sequence:
            return self.at(r, h, self.steps - 1)
        y = r.new(self.out_shape)
        self.swap(r, h, y, to_time=False)
        return y

    def spread(self, r: Recording, dy: Array) -> list[Array | None]:
        """Return what each time's h gets from the layer above, (B, H) or None."""
        if not self.sequence:
            return [None] * (self.steps - 1) + [dy]
        dh = self.flat(r, self.units)
        self.swap(r, dy, dh, to_time=True)
        return [self.at(r, dh, t) for t in range(self.steps)]

    def finish(self, r: Recording, xs: Array, h: Array, dz: Array, need_dx: bool) -> Array | None:
        """Record the parameters' gradients and dx, from dz of all times (T B, G H)."""
        r.do(r.be.matmul_tn(xs, dz, r.g(self.w)))
        r.do(r.be.sum_rows(dz, r.g(self.b)))
        if self.steps > 1:
            end = self.steps * r.batch
            before, after = r.be.rows(h, 0, end - r.batch), r.be.rows(dz, r.batch, end)
            r.do(r.be.matmul_tn(before, after, r.g(self.u)))
        if not need_dx:
            return None
        dxs, dx = self.flat(r, self.w.shape[0]), r.new((self.steps, self.w.shape[0]))
        r.do(r.be.matmul_nt(dz, r.p(self.w), dxs))
        self.swap(r, dxs, dx, to_time=False)
        return dx

    def carry(self, r: Recording, above: Array | None, back: Array, t: int) -> Array:
        """Record dh_t: what came from above plus what came back in time; return it."""
        if above is None:
            return back
        if t < self.steps - 1:
            r.do(r.be.add(back, above))
        return above


@dataclass(frozen=True, slots=True)
class PlacedRnn:
    """x (B, T, D), y (B, H) or (B, T, H)."""

    walk: Walk
    act: Literal["tanh", "relu"]

    @property
    def out_shape(self) -> Shape:
        return self.walk.out_shape

    def forward(self, r: Recording, x: Array) -> Array:
        walk = self.walk
        xs, h = walk.sums(r, x)
        scratch = r.new((walk.units,))
        for t in range(walk.steps):
            walk.recur(r, h, h, t, scratch)
            now = walk.at(r, h, t)
            r.do(r.be.activation(self.act, now, now))
        r.kept[id(self)] = (xs, h)
        return walk.output(r, h)

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        walk, (xs, h) = self.walk, r.kept[id(self)]
        dz, back, above = walk.flat(r, walk.units), r.new((walk.units,)), walk.spread(r, dy)
        for t in reversed(range(walk.steps)):
            dh, now = walk.carry(r, above[t], back, t), walk.at(r, h, t)
            dz_t = walk.at(r, dz, t)
            r.do(r.be.activation_backward(self.act, now, now, dh, dz_t))
            if t:
                r.do(r.be.matmul_nt(dz_t, r.p(walk.u), back))
        return walk.finish(r, xs, h, dz, need_dx)


@dataclass(frozen=True, slots=True)
class PlacedLstm:
    """x (B, T, D), y (B, H) or (B, T, H)."""

    walk: Walk

    @property
    def out_shape(self) -> Shape:
        return self.walk.out_shape

    def forward(self, r: Recording, x: Array) -> Array:
        walk = self.walk
        xs, z = walk.sums(r, x)
        h, c = walk.flat(r, walk.units), walk.flat(r, walk.units)
        scratch, start = r.new((4 * walk.units,)), r.be.zeros((r.batch, walk.units))
        for t in range(walk.steps):
            walk.recur(r, h, z, t, scratch)
            c_tm1 = walk.at(r, c, t - 1) if t else start
            r.do(r.be.lstm_cell(walk.at(r, z, t), c_tm1, walk.at(r, c, t), walk.at(r, h, t)))
        r.kept[id(self)] = (xs, z, h, c, start)
        return walk.output(r, h)

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        walk, (xs, z, h, c, start) = self.walk, r.kept[id(self)]
        back, dc, above = r.new((walk.units,)), r.new((walk.units,)), walk.spread(r, dy)
        r.do(r.be.fill(dc, 0.0))
        for t in reversed(range(walk.steps)):
            dh, gates = walk.carry(r, above[t], back, t), walk.at(r, z, t)
            c_tm1 = walk.at(r, c, t - 1) if t else start
            r.do(r.be.lstm_cell_backward(gates, c_tm1, walk.at(r, c, t), dh, dc, gates))
            if t:
                r.do(r.be.matmul_nt(gates, r.p(walk.u), back))
        return walk.finish(r, xs, h, z, need_dx)


def _place(at: Layout, name: str, shape: Shape, units: int, gates: int, sequence: bool) -> Walk:
    want_rank(shape, 2, name, "a sequence is (steps, features): put `reshape` before it")
    steps, features = shape
    draw: Draw = uniform_bias(units)  # ±1/sqrt(H) for all of them, as PyTorch does
    w = at.slot(f"{name}.w", (features, gates * units), draw)
    u = at.slot(f"{name}.u", (units, gates * units), draw)
    return Walk(w, u, at.slot(f"{name}.b", (gates * units,), draw), steps, sequence)
