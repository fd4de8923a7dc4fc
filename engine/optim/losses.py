"""Losses by name, bound to a backend's fused ops.

A loss turns outputs y (B, K) and targets into one number a row, and into the gradient of the mean
that backward takes. Weights scale a row's gradient, not the number that is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from agentd.engine.backend import Array, Backend, DirichletForm, Step, in_order, nothing
from agentd.engine.errors import ModelError
from agentd.engine.optim.spec import EVIDENTIAL, LossSpec

TargetKind: TypeAlias = Literal["numbers", "class", "distribution"]
"""A row of targets: K floats, one class (B,) int32, or K probabilities that sum to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossArrays:
    """What a loss reads and writes.

    y       (B, K) the network's output
    target  (B, K) float or (B,) int32, see ``target_kind``; quantile_huber takes (B, M)
    dy      (B, K) written: the gradient of mean(weight * loss)
    loss    (B,) written: each row's loss, unweighted
    weight  (B,) or None for 1
    mask    (B, K) uint8, 1 = legal, for softmax_cross_entropy; None for all legal
    pull    (1,) the weight of an evidential loss's divergence; None for `LossSpec.kl_weight`
    """

    y: Array
    target: Array
    dy: Array
    loss: Array
    weight: Array | None = None
    mask: Array | None = None
    pull: Array | None = None


def target_kind(spec: LossSpec) -> TargetKind:
    """Return what the loss takes as a row of targets."""
    if spec.name == "softmax_cross_entropy" or spec.is_evidential:
        return "class"
    return "distribution" if spec.name == "soft_cross_entropy" else "numbers"


def bind_loss(spec: LossSpec, backend: Backend, a: LossArrays) -> Step:
    """Return the step that computes ``a.loss`` and ``a.dy``.

    Raises ShapeError when y and target do not fit, ModelError when class weights or a mask do not.
    """
    if a.mask is not None and spec.name != "softmax_cross_entropy":
        raise ModelError(f"{spec.name}: takes no mask; softmax_cross_entropy does")
    return _BINDERS[spec.name](spec, backend, a)


def _softmax_cross_entropy(spec: LossSpec, backend: Backend, a: LossArrays) -> Step:
    weight, weigh = _class_weights(spec.class_weights, backend, a)
    step = backend.softmax_cross_entropy(
        a.y, a.target, a.mask, weight, spec.smoothing, a.dy, a.loss
    )
    return in_order(weigh, step)


def _evidential(spec: LossSpec, backend: Backend, a: LossArrays) -> Step:
    """Bind evidence from outputs, the Dirichlet's loss, and its gradient back to the outputs."""
    weight, weigh = _class_weights(spec.class_weights, backend, a)
    evidence = backend.empty(a.y.shape)
    pull = backend.asarray(np.array([spec.kl_weight])) if a.pull is None else a.pull
    forward = backend.activation(spec.evidence, a.y, evidence)
    loss = backend.dirichlet_loss(_FORMS[spec.name], evidence, a.target, weight, pull, a.dy, a.loss)
    back = backend.activation_backward(spec.evidence, a.y, evidence, a.dy, a.dy)
    return in_order(in_order(weigh, forward), in_order(loss, back))


def _class_weights(
    numbers: tuple[float, ...] | None, backend: Backend, a: LossArrays
) -> tuple[Array | None, Step]:
    """Return each row's weight, its label's times its own, and the step that computes it."""
    if numbers is None:
        return a.weight, nothing
    if len(numbers) != a.y.shape[1]:
        raise ModelError(
            f"class_weights: expected {a.y.shape[1]} numbers, one a class, got {len(numbers)}"
        )
    weight = backend.empty(a.loss.shape)
    pick = backend.pick(backend.asarray(np.array(numbers)), a.target, weight)
    if a.weight is None:
        return weight, pick
    return weight, in_order(pick, backend.multiply(a.weight, weight))


_FORMS: dict[str, DirichletForm] = {
    "edl_log": "log",
    "edl_digamma": "digamma",
    "edl_squared": "squared",
}
_BINDERS: dict[str, Callable[[LossSpec, Backend, LossArrays], Step]] = {
    "squared_error": lambda _, be, a: be.squared_error(a.y, a.target, a.weight, a.dy, a.loss),
    "huber": lambda s, be, a: be.huber(a.y, a.target, a.weight, s.delta, a.dy, a.loss),
    "softmax_cross_entropy": _softmax_cross_entropy,
    "soft_cross_entropy": lambda _, be, a: be.soft_cross_entropy(
        a.y, a.target, a.weight, a.dy, a.loss
    ),
    "binary_cross_entropy": lambda _, be, a: be.binary_cross_entropy(
        a.y, a.target, a.weight, a.dy, a.loss
    ),
    "quantile_huber": lambda s, be, a: be.quantile_huber(
        a.y, a.target, a.weight, s.delta, a.dy, a.loss
    ),
    **dict.fromkeys(EVIDENTIAL, _evidential),
}
