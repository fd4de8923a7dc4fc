"""Weights with factorised noise."""

from numpy import add, multiply

from agentd.engine.backend import Step
from agentd.engine.numpy_backend.memory import MemoryOps, Nd


class NoiseOps(MemoryOps):
    """Two or three passes over the weights, with nothing allocated."""

    def noisy_weight(self, mu: Nd, sigma: Nd, left: Nd, right: Nd, w: Nd) -> Step:
        column = left[:, None]

        def step() -> None:
            multiply(column, right, w)
            multiply(w, sigma, w)
            add(w, mu, w)

        return step

    def noisy_weight_backward(self, dw: Nd, left: Nd, right: Nd, dsigma: Nd) -> Step:
        column = left[:, None]

        def step() -> None:
            multiply(column, right, dsigma)
            multiply(dsigma, dw, dsigma)

        return step
