"""Weights with factorised noise."""

from agentd.engine.backend import Step
from agentd.engine.opencl_backend.memory import Dv, MemoryOps


class NoiseOps(MemoryOps):
    """One launch each, an item for every few numbers of a row."""

    def noisy_weight(self, mu: Dv, sigma: Dv, left: Dv, right: Dv, w: Dv) -> Step:
        return self._over("noisy_weight", w, mu, sigma, left, right, w)

    def noisy_weight_backward(self, dw: Dv, left: Dv, right: Dv, dsigma: Dv) -> Step:
        return self._over("noisy_weight_backward", dw, dw, left, right, dsigma)

    def _over(self, name: str, like: Dv, *args: Dv) -> Step:
        rows, n = like.shape
        grid, local = self.runtime.items(rows * -(-n // self.runtime.tuning.width))
        return self.runtime.bind("noise", name, grid, local, rows, n, *args)
