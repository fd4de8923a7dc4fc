"""Γ functions as ops, and the Dirichlet loss of evidential learning."""

from math import lgamma

import numpy as np
from numpy import einsum

from agentd.engine.backend import DirichletForm, Step
from agentd.engine.backend.checks import check_shapes, same_shape
from agentd.engine.numpy_backend.gamma import Gammas, gammas
from agentd.engine.numpy_backend.losses import LossOps
from agentd.engine.numpy_backend.memory import Nd


class EvidenceOps(LossOps):
    """See ``engine.backend.evidence`` for each op."""

    def log_gamma(self, x: Nd, y: Nd) -> Step:
        return lambda: np.copyto(y, gammas(x).log_gamma)

    def digamma(self, x: Nd, y: Nd) -> Step:
        return lambda: np.copyto(y, gammas(x).digamma)

    def trigamma(self, x: Nd, y: Nd) -> Step:
        return lambda: np.copyto(y, gammas(x).trigamma)

    def dirichlet_loss(
        self,
        form: DirichletForm,
        evidence: Nd,
        label: Nd,
        weight: Nd,
        pull: Nd,
        d_evidence: Nd,
        loss: Nd,
    ) -> Step:
        same_shape("dirichlet_loss d_evidence", evidence, d_evidence)
        rows, classes = evidence.shape
        check_shapes("dirichlet_loss", (rows,), label=label, loss=loss)
        expected = {"log": _by_log, "digamma": _by_digamma, "squared": _by_square}[form]
        z, every = self.empty((rows, classes + 3)), np.arange(rows)
        finish = self._finish_gradient(d_evidence, weight)

        def step() -> None:
            at = (every, np.clip(label, 0, classes - 1))
            wrong = z[:, :classes]  # the columns of z: α̃, then S̃, S and α at the label
            np.copyto(wrong, evidence)
            wrong[at] = 0  # summed without the label's, which may be far larger
            z[:, classes] = wrong.sum(1) + classes
            z[:, classes + 1] = z[:, classes] + evidence[at]
            z[:, classes + 2] = evidence[at] + 1
            wrong += 1
            found = gammas(z)
            expected(evidence, z, found, at, d_evidence, loss)
            _add_pull(z, found, at, pull, d_evidence, loss)
            finish()

        return step


At = tuple[Nd, Nd]
"""The place of each row's label in (B, C)."""


def _by_log(evidence: Nd, z: Nd, found: Gammas, at: At, dy: Nd, loss: Nd) -> None:
    """loss = ln S - ln α_l; dy = 1 / S - [c = l] / α_l."""
    s, a = z[:, -2], z[:, -1]
    np.log1p((z[:, -3] - 1) / a, loss)
    dy[:] = (1 / s)[:, None]
    dy[at] = (1 - z[:, -3]) / (s * a)


def _by_digamma(evidence: Nd, z: Nd, found: Gammas, at: At, dy: Nd, loss: Nd) -> None:
    """loss = ψ(S) - ψ(α_l); dy = ψ'(S) - [c = l] ψ'(α_l)."""
    np.subtract(found.digamma[:, -2], found.digamma[:, -1], loss)
    dy[:] = found.trigamma[:, -2, None]
    dy[at] -= found.trigamma[:, -1]


def _by_square(evidence: Nd, z: Nd, found: Gammas, at: At, dy: Nd, loss: Nd) -> None:
    """loss = 1 - 2 p_l + q + (1 - q) / (S + 1), q = Σ p²: equation 5 for a one-hot y.

    dy = 2 (p_c - q) / (S + 1) - (1 - q) / (S + 1)² + 2 (p_l - [c = l]) / S.
    """
    s = z[:, -2]
    np.divide(evidence + 1, s[:, None], dy)
    q, p, more = einsum("bc,bc->b", dy, dy), dy[at], s + 1
    np.copyto(loss, 1 - 2 * p + q + (1 - q) / more)
    dy -= q[:, None]
    dy *= (2 / more)[:, None]
    dy += (2 * p / s - (1 - q) / (more * more))[:, None]
    dy[at] -= 2 / s


def _add_pull(z: Nd, found: Gammas, at: At, pull: Nd, dy: Nd, loss: Nd) -> None:
    """loss += pull * KL(Dirichlet(α̃) || Dirichlet(1)), and dy its gradient, in place.

    KL = mass(S̃) + (C - 1) ψ(S̃) - ln Γ(C) - Σ mass(α̃);
    ∂KL/∂α̃ = (α̃ - 1) ψ'(α̃) - (S̃ - C) ψ'(S̃), nothing at the label.
    """
    classes = dy.shape[1]
    kl = found.mass[:, classes] + (classes - 1) * found.digamma[:, classes] - lgamma(classes)
    kl -= found.mass[:, :classes].sum(1)
    loss += pull * kl
    slope = (z[:, :classes] - 1) * found.trigamma[:, :classes]
    slope -= ((z[:, classes] - classes) * found.trigamma[:, classes])[:, None]
    slope[at] = 0
    slope *= pull
    dy += slope
