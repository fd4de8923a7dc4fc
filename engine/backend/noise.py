"""The ops of noisy layers (Fortunato et al. 2017, arXiv:1706.10295)."""

from typing import Protocol

from agentd.engine.backend.array import Array, Step


class NoiseOps(Protocol):
    """Factorised noise: a matrix of noise is the outer product of ``left`` (D,), ``right`` (E,)."""

    def noisy_weight(self, mu: Array, sigma: Array, left: Array, right: Array, w: Array) -> Step:
        """w = mu + sigma * left ⊗ right. mu, sigma, w (D, E)."""

    def noisy_weight_backward(self, dw: Array, left: Array, right: Array, dsigma: Array) -> Step:
        """dsigma = dw * left ⊗ right. dw, dsigma (D, E); dmu is dw itself."""
