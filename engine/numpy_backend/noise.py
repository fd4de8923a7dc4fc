"""Weights with factorised noise."""

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.numpy_backend.memory import MemoryOps, Nd


class NoiseOps(MemoryOps):
    """Two or three passes over the weights, with nothing allocated."""

    def noisy_weight(self, mu: Nd, sigma: Nd, left: Nd, right: Nd, w: Nd) -> Step:
        multiply, add, column = np.multiply, np.add, left[:, None]

        def step() -> None:
            multiply(column, right, w)
            multiply(w, sigma, w)
            add(w, mu, w)

        return step

    def noisy_weight_backward(self, dw: Nd, left: Nd, right: Nd, dsigma: Nd) -> Step:
        multiply, column = np.multiply, left[:, None]

        def step() -> None:
            multiply(column, right, dsigma)
            multiply(dsigma, dw, dsigma)

        return step
