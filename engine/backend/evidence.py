"""The ops of evidential learning: functions around the Γ function, and the loss of a Dirichlet."""

from typing import Literal, Protocol, TypeAlias

from agentd.engine.backend.array import Array, Step

DirichletForm: TypeAlias = Literal["log", "digamma", "squared"]
"""Equation 3, 4 or 5 of Sensoy et al. 2018 (arXiv:1806.01768)."""


class EvidenceOps(Protocol):
    """Elementwise functions of positive numbers, of any one shape, and the loss made of them.

    At 0 and below they give NaN. y may be x.
    """

    def log_gamma(self, x: Array, y: Array) -> Step:
        """y = ln Γ(x)."""

    def digamma(self, x: Array, y: Array) -> Step:
        """y = ψ(x), the derivative of ln Γ."""

    def trigamma(self, x: Array, y: Array) -> Step:
        """y = ψ'(x), the derivative of ψ."""

    def dirichlet_loss(
        self,
        form: DirichletForm,
        evidence: Array,
        label: Array,
        weight: Array | None,
        pull: Array,
        d_evidence: Array,
        loss: Array,
    ) -> Step:
        """loss[b] = the expected loss of Dirichlet(α), α = evidence + 1, + pull * KL(α̃ || 1).

        With S = Σ α, p = α / S and l the label: log is ln S - ln α_l, digamma ψ(S) - ψ(α_l),
        squared Σ_c (y_c - p_c)² + p_c (1 - p_c) / (S + 1) for the one-hot y. α̃ is α with 1 at the
        label: the evidence for wrong classes, which KL pulls to none (arXiv:1806.01768, section 4).

        evidence (B, C), not negative, C >= 2; label (B,) int32 in [0, C); weight (B,); pull (1,);
        d_evidence (B, C), the gradient of mean(weight * loss); loss (B,), unweighted.
        """
