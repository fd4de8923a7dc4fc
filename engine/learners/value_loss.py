"""The loss of predicted numbers: Huber's, or half the squared error."""

from typing import Literal, TypeAlias

from agentd.engine.rules.td import HUBER_WIDTH

ValueLoss: TypeAlias = Literal["huber", "mse"]


def huber_width(loss: ValueLoss) -> float | None:
    """Return the error at which the loss stops being quadratic; None where it never does."""
    return HUBER_WIDTH if loss == "huber" else None
