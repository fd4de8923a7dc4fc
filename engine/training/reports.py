"""The figures of training: running sums of an epoch, its report, an evaluation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class EpochSums:
    """Running sums over the rows of an epoch; ``correct`` counts only where there are classes."""

    rows: int = 0
    loss_sum: float = 0.0
    correct: int = 0

    @property
    def loss(self) -> float:
        """The mean loss of a row; NaN before the first."""
        return self.loss_sum / self.rows if self.rows else float("nan")

    @property
    def accuracy(self) -> float:
        """The share of rows whose largest output was their class; NaN before the first."""
        return self.correct / self.rows if self.rows else float("nan")


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """How a network does on data it does not learn from.

    ``loss`` is the mean over the rows; ``accuracy`` and ``confusion`` (C, C), rows true and columns
    predicted, are None where the targets are numbers, ``rmse`` where they are classes.
    """

    rows: int
    loss: float
    accuracy: float | None = None
    rmse: float | None = None
    confusion: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class EpochReport:
    """The figures of one epoch. Seconds are 0 without a clock; ``wait_s`` went by without data."""

    epoch: int
    steps: int
    train_loss: float
    train_accuracy: float | None
    validation: EvaluationReport | None
    lr: float
    seconds: float = 0.0
    wait_s: float = 0.0

    @property
    def judged(self) -> tuple[float, float | None]:
        """(loss, accuracy) by which epochs are compared: validation's where there is any."""
        if self.validation is not None:
            return self.validation.loss, self.validation.accuracy
        return self.train_loss, self.train_accuracy

    def record(self) -> dict[str, Any]:
        """Return the figures as JSON values, for a line of metrics."""
        line: dict[str, Any] = {
            "epoch": self.epoch,
            "steps": self.steps,
            "train_loss": self.train_loss,
            "train_accuracy": self.train_accuracy,
            "lr": self.lr,
            "seconds": round(self.seconds, 4),
            "wait_seconds": round(self.wait_s, 4),
        }
        if self.validation is not None:
            line["validation_loss"] = self.validation.loss
            line["validation_accuracy"] = self.validation.accuracy
        return {key: value for key, value in line.items() if value is not None}
