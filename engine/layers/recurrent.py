"""Recurrent layers: sequences (T, D) walked from the first row to the last, or rows of streams.

On rows (D,) the layer has a memory: what it keeps after a row is where the next row of the same
stream begins. `engine.network.Pass` gives and takes it; see ``Recording.times`` for several rows
of a stream at once.
"""

from dataclasses import dataclass
from typing import Literal

from agentd.engine.backend import Array, Shape, Slot
from agentd.engine.errors import ModelError
from agentd.engine.layers.init import Draw, chrono_bias, uniform_bias
from agentd.engine.layers.layer import Count, Layer, LayerSpec, Options
from agentd.engine.layers.recording import Layout, Recording


class Rnn(LayerSpec, Options, frozen=True, tag="rnn"):
    """h_t = act(x_t w + h_tm1 u + b), h before the first row 0 (Elman 1990).

    The output is the last h, or all of them (T, units) with ``sequence``; of a row (D,) its h.
    """

    units: Count
    sequence: bool = False
    act: Literal["tanh", "relu"] = "tanh"

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedRnn(_place(at, name, shape, self.units, 1, 1, self.sequence), self.act)


class Lstm(LayerSpec, Options, frozen=True, tag="lstm"):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates: Gers et al. 2000).

    The output is the last h, or all of them (T, units) with ``sequence``; of a row (D,) its h. The
    gates' columns are input, forget, output, cell.
    """

    units: Count
    sequence: bool = False

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        return PlacedLstm(_place(at, name, shape, self.units, 4, 2, self.sequence))


class Gru(LayerSpec, Options, frozen=True, tag="gru"):
    """Gated recurrent unit: h_t = (1 - z) n + z h_tm1, n = tanh(x_t w + r (h_tm1 u) + b).

    Cho et al. 2014 (arXiv:1406.1078), in the form of cuDNN and PyTorch: r is applied behind u. The
    output is the last h, or all of them (T, units) with ``sequence``; of a row (D,) its h. The
    gates' columns are z, r, n. At first units remember over 1 to ``span`` rows.
    """

    units: Count
    sequence: bool = False
    span: Count = 32

    def place(self, at: Layout, name: str, shape: Shape) -> Layer:
        bias = chrono_bias(self.units, self.span)
        return PlacedGru(_place(at, name, shape, self.units, 3, 1, self.sequence, bias))


@dataclass(frozen=True, slots=True)
class Walk:
    """What the layers share: w (D, G H), u (H, G H), b (G H,) for G gates of H units.

    ``steps`` is None where inputs are rows: then T rows of each of B streams may come at once, and
    each stream's walk begins with what was remembered.
    """

    w: Slot
    u: Slot
    b: Slot
    steps: int | None
    sequence: bool

    @property
    def units(self) -> int:
        return self.u.shape[0]

    @property
    def out_shape(self) -> Shape:
        if self.steps is None or not self.sequence:
            return (self.units,)
        return (self.steps, self.units)

    def times(self, r: Recording) -> int:
        """Return T."""
        return r.times if self.steps is None else self.steps

    def lanes(self, r: Recording) -> int:
        """Return B, how many walks go side by side."""
        return r.lanes if self.steps is None else r.batch

    def start(self, r: Recording) -> Array:
        """Return a state before the first row, (B, H): what is remembered, or 0."""
        if self.steps is None:
            return r.remembered(self.units)
        return r.be.zeros((r.batch, self.units))

    def leave(self, r: Recording, *states: Array) -> None:
        """Remember the states (T B, H) behind the last row, in the order of ``start``."""
        if self.steps is None:
            r.memory.extend(self.at(r, state, self.times(r) - 1) for state in states)

    def flat(self, r: Recording, width: int) -> Array:
        """Return new memory for all times, (T B, width), time first."""
        if self.steps is None:
            return r.new((width,))
        return r.be.reshape(r.new((self.steps * width,)), (self.steps * r.batch, width))

    def at(self, r: Recording, flat: Array, t: int) -> Array:
        """Return time t of such memory, (B, width)."""
        lanes = self.lanes(r)
        return r.be.rows(flat, t * lanes, (t + 1) * lanes)

    def scratch(self, r: Recording, widths: int) -> Array:
        """Return new memory for one time, (B, widths H)."""
        if self.steps is None:
            return r.be.zeros((r.lanes, widths * self.units))
        return r.new((widths * self.units,))

    def swap(self, r: Recording, x: Array, y: Array, to_time: bool) -> None:
        """Record y = x with batch and time exchanged; the time-first one is flat."""
        width, flat = (x.shape[-1], y if to_time else x)
        by_time = r.be.reshape(flat, (self.times(r), r.batch, width))
        r.do(r.be.swap(x, by_time) if to_time else r.be.swap(by_time, y))

    def sums(self, r: Recording, x: Array) -> tuple[Array, Array]:
        """Record x_t w + b for all times; return x time first (T B, D) and the sums (T B, G H)."""
        xs = x
        if self.steps is not None:
            xs = self.flat(r, x.shape[-1])
            self.swap(r, x, xs, to_time=True)
        z = self.flat(r, self.b.shape[0])
        r.do(r.be.affine(xs, r.p(self.w), r.p(self.b), z))
        return xs, z

    def recur(self, r: Recording, h: Array, start: Array, z: Array, t: int, scratch: Array) -> None:
        """Record z_t += h_tm1 u."""
        if t or self.steps is None:
            before = self.at(r, h, t - 1) if t else start
            r.do(r.be.affine(before, r.p(self.u), None, scratch))
            r.do(r.be.add(scratch, self.at(r, z, t)))

    def output(self, r: Recording, h: Array) -> Array:
        """Return what the layer gives, from all h (T B, H)."""
        if self.steps is None:
            return h
        if not self.sequence:
            return self.at(r, h, self.steps - 1)
        y = r.new(self.out_shape)
        self.swap(r, h, y, to_time=False)
        return y

    def spread(self, r: Recording, dy: Array) -> list[Array | None]:
        """Return what each time's h gets from the layer above, (B, H) or None."""
        times, dh = self.times(r), dy
        if self.steps is not None:
            if not self.sequence:
                return [None] * (times - 1) + [dy]
            dh = self.flat(r, self.units)
            self.swap(r, dy, dh, to_time=True)
        return [self.at(r, dh, t) for t in range(times)]

    def finish(
        self,
        r: Recording,
        xs: Array,
        h: Array,
        start: Array,
        dz: Array,
        need_dx: bool,
        da: Array | None = None,
    ) -> Array | None:
        """Record the parameters' gradients and dx, from dz of all times (T B, G H).

        ``da``: that of h_tm1 u, where it is another one.
        """
        da = dz if da is None else da
        r.do(r.be.matmul_tn(xs, dz, r.g(self.w)))
        r.do(r.be.sum_rows(dz, r.g(self.b)))
        lanes, end = self.lanes(r), self.times(r) * self.lanes(r)
        if end > lanes:
            before, after = r.be.rows(h, 0, end - lanes), r.be.rows(da, lanes, end)
            r.do(r.be.matmul_tn(before, after, r.g(self.u)))
        if self.steps is None:  # the first row of each stream follows what is remembered
            first = r.be.zeros(self.u.shape) if end > lanes else r.g(self.u)
            r.do(r.be.matmul_tn(start, self.at(r, da, 0), first))
            if end > lanes:
                r.do(r.be.add(first, r.g(self.u)))
        if not need_dx:
            return None
        if self.steps is None:
            dx = r.new((self.w.shape[0],))
            r.do(r.be.matmul_nt(dz, r.p(self.w), dx))
            return dx
        dxs, dx = self.flat(r, self.w.shape[0]), r.new((self.steps, self.w.shape[0]))
        r.do(r.be.matmul_nt(dz, r.p(self.w), dxs))
        self.swap(r, dxs, dx, to_time=False)
        return dx

    def carry(self, r: Recording, above: Array | None, back: Array, t: int) -> Array:
        """Record dh_t: what came from above plus what came back in time; return it."""
        if above is None:
            return back
        if t < self.times(r) - 1:
            r.do(r.be.add(back, above))
        return above


@dataclass(frozen=True, slots=True)
class PlacedRnn:
    """x (B, T, D), y (B, H) or (B, T, H); or rows x (B, D), y (B, H)."""

    walk: Walk
    act: Literal["tanh", "relu"]

    @property
    def out_shape(self) -> Shape:
        return self.walk.out_shape

    def forward(self, r: Recording, x: Array) -> Array:
        walk = self.walk
        xs, h = walk.sums(r, x)
        scratch, start = walk.scratch(r, 1), walk.start(r)
        for t in range(walk.times(r)):
            walk.recur(r, h, start, h, t, scratch)
            now = walk.at(r, h, t)
            r.do(r.be.activation(self.act, now, now))
        walk.leave(r, h)
        r.kept[id(self)] = (xs, h, start)
        return walk.output(r, h)

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        walk, (xs, h, start) = self.walk, r.kept[id(self)]
        dz, back, above = walk.flat(r, walk.units), walk.scratch(r, 1), walk.spread(r, dy)
        for t in reversed(range(walk.times(r))):
            dh, now = walk.carry(r, above[t], back, t), walk.at(r, h, t)
            dz_t = walk.at(r, dz, t)
            r.do(r.be.activation_backward(self.act, now, now, dh, dz_t))
            if t:
                r.do(r.be.matmul_nt(dz_t, r.p(walk.u), back))
        return walk.finish(r, xs, h, start, dz, need_dx)


@dataclass(frozen=True, slots=True)
class PlacedLstm:
    """x (B, T, D), y (B, H) or (B, T, H); or rows x (B, D), y (B, H)."""

    walk: Walk

    @property
    def out_shape(self) -> Shape:
        return self.walk.out_shape

    def forward(self, r: Recording, x: Array) -> Array:
        walk = self.walk
        xs, z = walk.sums(r, x)
        h, c = walk.flat(r, walk.units), walk.flat(r, walk.units)
        scratch, start, start_c = walk.scratch(r, 4), walk.start(r), walk.start(r)
        for t in range(walk.times(r)):
            walk.recur(r, h, start, z, t, scratch)
            c_tm1 = walk.at(r, c, t - 1) if t else start_c
            r.do(r.be.lstm_cell(walk.at(r, z, t), c_tm1, walk.at(r, c, t), walk.at(r, h, t)))
        walk.leave(r, h, c)
        r.kept[id(self)] = (xs, z, h, c, start, start_c)
        return walk.output(r, h)

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        walk, (xs, z, h, c, start, start_c) = self.walk, r.kept[id(self)]
        back, dc, above = walk.scratch(r, 1), walk.scratch(r, 1), walk.spread(r, dy)
        r.do(r.be.fill(dc, 0.0))
        for t in reversed(range(walk.times(r))):
            dh, gates = walk.carry(r, above[t], back, t), walk.at(r, z, t)
            c_tm1 = walk.at(r, c, t - 1) if t else start_c
            r.do(r.be.lstm_cell_backward(gates, c_tm1, walk.at(r, c, t), dh, dc, gates))
            if t:
                r.do(r.be.matmul_nt(gates, r.p(walk.u), back))
        return walk.finish(r, xs, h, start, z, need_dx)


@dataclass(frozen=True, slots=True)
class PlacedGru:
    """x (B, T, D), y (B, H) or (B, T, H); or rows x (B, D), y (B, H)."""

    walk: Walk

    @property
    def out_shape(self) -> Shape:
        return self.walk.out_shape

    def forward(self, r: Recording, x: Array) -> Array:
        walk = self.walk
        xs, z = walk.sums(r, x)
        h, a, start = walk.flat(r, walk.units), walk.flat(r, 3 * walk.units), walk.start(r)
        for t in range(walk.times(r)):
            before, given = walk.at(r, h, t - 1) if t else start, walk.at(r, a, t)
            r.do(r.be.affine(before, r.p(walk.u), None, given))
            r.do(r.be.gru_cell(walk.at(r, z, t), given, before, walk.at(r, h, t)))
        walk.leave(r, h)
        r.kept[id(self)] = (xs, z, a, h, start)
        return walk.output(r, h)

    def backward(self, r: Recording, x: Array, y: Array, dy: Array, need_dx: bool) -> Array | None:
        walk, (xs, z, a, h, start) = self.walk, r.kept[id(self)]
        back, direct, above = walk.scratch(r, 1), walk.scratch(r, 1), walk.spread(r, dy)
        for t in reversed(range(walk.times(r))):
            dh, da = walk.carry(r, above[t], back, t), walk.at(r, a, t)
            before = walk.at(r, h, t - 1) if t else start
            r.do(r.be.gru_cell_backward(walk.at(r, z, t), da, before, dh, direct))
            if t:
                r.do(r.be.matmul_nt(da, r.p(walk.u), back))
                r.do(r.be.add(direct, back))
        return walk.finish(r, xs, h, start, z, need_dx, a)


def _place(
    at: Layout,
    name: str,
    shape: Shape,
    units: int,
    gates: int,
    states: int,
    sequence: bool,
    bias: Draw | None = None,
) -> Walk:
    if len(shape) > 2:
        raise ModelError(
            f"{name}: expected an input of rank 1 or 2, got shape {shape}; a sequence is "
            "(steps, features), a row (features,): put `reshape` or `flatten` before it"
        )
    steps, features = (shape[0] if len(shape) == 2 else None), shape[-1]
    if steps is None:
        at.remember(name, states * [units])
    draw: Draw = uniform_bias(units)  # ±1/sqrt(H) for all of them, as PyTorch does
    w = at.slot(f"{name}.w", (features, gates * units), draw)
    u = at.slot(f"{name}.u", (units, gates * units), draw)
    return Walk(w, u, at.slot(f"{name}.b", (gates * units,), bias or draw), steps, sequence)
