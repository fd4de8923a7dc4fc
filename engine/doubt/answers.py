"""From a network's outputs to classes, their probabilities, and how new a row looks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.optim.losses import target_kind
from agentd.engine.optim.spec import Evidence, LossSpec

Floats = NDArray[np.float64]
_EXP_LIMIT = 10.0
"""As the backends' ``exp`` clips its input."""


@dataclass(frozen=True, slots=True)
class ClassAnswers:
    """What N rows are told.

    log_p    (N, K) logarithms of the probabilities
    logits   (N, K) what a temperature divides: ln softmax of the outputs. It is log_p unless there
             is evidence: α is never below 1, so no probability there can come close to 0
    novelty  (N,) in (0, 1], or None where the loss gathers no evidence
    """

    log_p: Floats
    logits: Floats
    novelty: Floats | None = None

    @property
    def p(self) -> Floats:
        """The probabilities (N, K)."""
        found: Floats = np.exp(self.log_p)
        return found

    @property
    def classes(self) -> NDArray[np.int64]:
        """The likeliest class of each row, (N,)."""
        found: NDArray[np.int64] = self.logits.argmax(axis=1)
        return found

    @property
    def doubt(self) -> Floats:
        """What ranks rows by doubt, (N,): novelty, else 1 less the highest probability."""
        return 1 - self.p.max(axis=1) if self.novelty is None else self.novelty


def answer(loss: LossSpec | None, outputs: NDArray[Any]) -> ClassAnswers | None:
    """Return what outputs (N, K) mean under the loss that trained them, cross-entropy for None.

    Returns None where that loss makes no probabilities of classes.
    """
    z = np.asarray(outputs, np.float64)
    loss = loss or LossSpec(name="softmax_cross_entropy")
    if target_kind(loss) == "numbers":
        return None
    shifted = z - z.max(axis=1, keepdims=True)
    logits = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    if loss.is_evidential:
        alpha = _evidence(z, loss.evidence) + 1
        total = alpha.sum(axis=1, keepdims=True)
        return ClassAnswers(np.log(alpha) - np.log(total), logits, z.shape[1] / total[:, 0])
    return ClassAnswers(logits, logits)


def novelty(outputs: NDArray[Any], evidence: Evidence) -> NDArray[np.float32]:
    """Return K / S of each row of outputs (N, K), S = K + all evidence (arXiv:1806.01768, eq. 1).

    1 is no evidence for any class. It ranks rows: one that looks unlike the training rows gets a
    higher number. It is no probability of being wrong, and more data does not make it vanish.
    """
    total = _evidence(np.asarray(outputs, np.float64), evidence).sum(axis=1)
    classes = outputs.shape[1]
    found: NDArray[np.float32] = (classes / (classes + total)).astype(np.float32)
    return found


def _evidence(z: Floats, kind: Evidence) -> Floats:
    """Return what the backends' activation of that name makes of z, in float64."""
    if kind == "exp":
        found: Floats = np.exp(np.clip(z, -_EXP_LIMIT, _EXP_LIMIT))
    else:
        found = np.maximum(z, 0) if kind == "relu" else np.logaddexp(0, z)
    return found
