"""Steps through time: the cells of LSTM and GRU, and the change between batch and time first."""

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

    def gru_cell(self, z: Nd, a: Nd, h_tm1: Nd, h: Nd) -> Step:
        width, half = h.shape[1], self.scalar(0.5)
        gates, given = z[:, : 2 * width], a[:, : 2 * width]
        keep, reset, n, a_n = z[:, :width], gates[:, width:], z[:, 2 * width :], a[:, 2 * width :]
        scratch = self.empty(h.shape)

        def step() -> None:
            add(gates, given, gates)
            multiply(gates, half, gates)
            tanh(gates, gates)
            multiply(gates, half, gates)
            add(gates, half, gates)
            multiply(reset, a_n, scratch)
            add(n, scratch, n)
            tanh(n, n)
            subtract(h_tm1, n, scratch)
            multiply(scratch, keep, scratch)
            add(n, scratch, h)

        return step

    def gru_cell_backward(self, gates: Nd, a: Nd, h_tm1: Nd, dh: Nd, dh_tm1: Nd) -> Step:
        width, one = dh.shape[1], self.scalar(1)
        keep, reset, n = (gates[:, i * width : (i + 1) * width] for i in range(3))
        a_keep, a_reset, a_n = (a[:, i * width : (i + 1) * width] for i in range(3))
        s, t = self.empty(dh.shape), self.empty(dh.shape)

        def step() -> None:
            multiply(dh, keep, dh_tm1)
            subtract(one, keep, s)
            multiply(s, dh, t)  # dn
            multiply(s, keep, s)
            multiply(s, dh, s)
            subtract(h_tm1, n, a_keep)
            multiply(a_keep, s, a_keep)  # dz = dh (h_tm1 - n) z (1 - z)
            multiply(n, n, s)
            subtract(one, s, s)
            multiply(t, s, n)  # d (z_n + r a_n)
            subtract(one, reset, s)
            multiply(s, reset, s)
            multiply(s, a_n, s)
            multiply(s, n, a_reset)  # dr
            multiply(n, reset, a_n)
            copyto(keep, a_keep)
            copyto(reset, a_reset)

        return step


def _gates(z: Nd) -> tuple[Nd, Nd, Nd, Nd]:
    width = z.shape[1] // 4
    i, f, o, g = (z[:, at * width : (at + 1) * width] for at in range(4))
    return i, f, o, g
