"""Γ functions as ops, and the Dirichlet loss of evidential learning."""

from math import lgamma

from agentd.engine.backend import DirichletForm, Step
from agentd.engine.backend.checks import check_shapes, same_shape
from agentd.engine.opencl_backend.losses import LossOps
from agentd.engine.opencl_backend.memory import Dv, optional

_FORMS: tuple[DirichletForm, ...] = ("log", "digamma", "squared")
"""As kernels/evidence.cl numbers them."""


class EvidenceOps(LossOps):
    """See ``engine.backend.evidence`` for each op."""

    def log_gamma(self, x: Dv, y: Dv) -> Step:
        return self.spread("evidence", "log_gamma", y.size, x, y)

    def digamma(self, x: Dv, y: Dv) -> Step:
        return self.spread("evidence", "digamma", y.size, x, y)

    def trigamma(self, x: Dv, y: Dv) -> Step:
        return self.spread("evidence", "trigamma", y.size, x, y)

    def dirichlet_loss(
        self,
        form: DirichletForm,
        evidence: Dv,
        label: Dv,
        weight: Dv | None,
        pull: Dv,
        d_evidence: Dv,
        loss: Dv,
    ) -> Step:
        same_shape("dirichlet_loss d_evidence", evidence, d_evidence)
        rows, n = evidence.shape
        check_shapes("dirichlet_loss", (rows,), label=label, loss=loss)
        given = (n, _FORMS.index(form), evidence, label, *optional(weight, evidence), pull)
        return self._each_row("evidence", "dirichlet", rows, *given, lgamma(n), d_evidence, loss)
