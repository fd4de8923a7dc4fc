"""Steps through time: the LSTM's cell, and the change between batch first and time first."""

from numpy import add, copyto, multiply, subtract, tanh

from agentd.engine.backend import Step
from agentd.engine.numpy_backend.memory import MemoryOps, Nd


class RecurrentOps(MemoryOps):
    """One tanh over all four gates: sigmoid(x) = (1 + tanh(x / 2)) / 2."""

    def swap(self, x: Nd, y: Nd) -> Step:
        turned = x.swapaxes(0, 1)
        return lambda: copyto(y, turned)

    def lstm_cell(self, z: Nd, c_tm1: Nd, c: Nd, h: Nd) -> Step:
        width, half = c.shape[1], self.scalar(0.5)
        (i, f, o, g), open_gates = _gates(z), z[:, : 3 * width]
        scratch = self.empty(c.shape)

        def step() -> None:
            multiply(open_gates, half, open_gates)
            tanh(z, z)
            multiply(open_gates, half, open_gates)
            add(open_gates, half, open_gates)
            multiply(i, g, scratch)
            multiply(f, c_tm1, c)
            add(c, scratch, c)
            tanh(c, h)
            multiply(h, o, h)

        return step

    def lstm_cell_backward(self, gates: Nd, c_tm1: Nd, c: Nd, dh: Nd, dc: Nd, dz: Nd) -> Step:
        (i, f, o, g), (di, df, do, dg) = _gates(gates), _gates(dz)
        t, s, u, one = (*(self.empty(c.shape) for _ in range(3)), self.scalar(1))
        fs, gs = self.empty(c.shape), self.empty(c.shape)

        def step() -> None:
            tanh(c, t)
            multiply(t, t, u)
            subtract(one, u, u)
            multiply(u, o, u)
            multiply(u, dh, u)
            add(dc, u, s)
            multiply(s, f, dc)
            multiply(s, g, gs)  # what dz may overwrite is read before it is written
            multiply(s, c_tm1, fs)
            multiply(g, g, u)
            subtract(one, u, u)
            multiply(u, i, u)
            multiply(u, s, dg)
            for open_gate, outer, inner in ((i, gs, di), (f, fs, df)):
                subtract(one, open_gate, u)
                multiply(u, open_gate, u)
                multiply(u, outer, inner)
            multiply(t, dh, t)
            subtract(one, o, u)
            multiply(u, o, u)
            multiply(u, t, do)

        return step


def _gates(z: Nd) -> tuple[Nd, Nd, Nd, Nd]:
    width = z.shape[1] // 4
    i, f, o, g = (z[:, at * width : (at + 1) * width] for at in range(4))
    return i, f, o, g
