"""Weights with factorised noise."""

from agentd.engine.backend import Step
from agentd.engine.opencl_backend.memory import Dv, MemoryOps


class NoiseOps(MemoryOps):
    """One launch each, an item for every few numbers of a row."""

    def noisy_weight(self, mu: Dv, sigma: Dv, left: Dv, right: Dv, w: Dv) -> Step:
        return self.over_rows("noise", "noisy_weight", *w.shape, mu, sigma, left, right, w)

    def noisy_weight_backward(self, dw: Dv, left: Dv, right: Dv, dsigma: Dv) -> Step:
        args = (dw, left, right, dsigma)
        return self.over_rows("noise", "noisy_weight_backward", *dw.shape, *args)
