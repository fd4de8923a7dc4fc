"""The loss of predicted numbers: Huber's, or half the squared error."""

from typing import Literal, TypeAlias

ValueLoss: TypeAlias = Literal["huber", "mse"]

HUBER_WIDTH = 1.0
"""The error at which Huber's loss stops being quadratic: Mnih et al. 2015 clip it at 1."""


def huber_width(loss: ValueLoss) -> float | None:
    """Return the error at which the loss stops being quadratic; None where it never does."""
    return HUBER_WIDTH if loss == "huber" else None
