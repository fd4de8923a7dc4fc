"""Implicit quantiles: features of fractions, and rows multiplied with them."""

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.backend.checks import check_modulated, check_shapes
from agentd.engine.numpy_backend.memory import MemoryOps, Nd


class ImplicitOps(MemoryOps):
    """Row b n + i is row b at its fraction i."""

    def cosines(self, tau: Nd, out: Nd) -> Step:
        column, number = tau.reshape(-1, 1), np.arange(out.shape[1], dtype=self.dtype)
        check_shapes("cosines", (tau.size, out.shape[1]), out=out)
        turns, half, two = self.empty(out.shape), self.scalar(0.5), self.scalar(2)
        pi = self.scalar(np.pi)

        def step() -> None:  # whole turns are taken off before π, where that is exact
            np.multiply(column, number, out)
            np.multiply(out, half, turns)
            np.rint(turns, turns)
            np.multiply(turns, two, turns)
            np.subtract(out, turns, out)
            np.multiply(out, pi, out)
            np.cos(out, out)

        return step

    def modulate(self, x: Nd, phi: Nd, y: Nd) -> Step:
        batch, n, e = check_modulated("modulate", x, phi, y)
        rows, factor, out = x[:, None, :], phi.reshape(-1, n, e), y.reshape(batch, n, e)

        def step() -> None:
            np.multiply(rows, factor, out)

        return step

    def modulate_backward(self, dy: Nd, x: Nd, phi: Nd, dphi: Nd, dx: Nd | None) -> Step:
        batch, n, e = check_modulated("modulate_backward", x, phi, dy)
        check_shapes("modulate_backward", dy.shape, phi=phi, dphi=dphi)
        rows = x[:, None, :]
        slope, factor, out = (a.reshape(batch, n, e) for a in (dy, phi, dphi))

        def step() -> None:
            if dx is not None:
                np.einsum("bne,bne->be", slope, factor, out=dx)
            np.multiply(slope, rows, out)

        return step
