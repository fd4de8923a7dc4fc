"""What doubt is worth on data: how it ranks wrong and foreign rows; how right probabilities are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.doubt import (
    ClassAnswers,
    accuracy_kept,
    auroc,
    calibration_error,
    prediction_sets,
    soften,
)
from agentd.runs import Calibration

SHARES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True)
class Doubt:
    """ClassAnswers on labelled rows, and on foreign ones where there are any: labels (N,)."""

    answers: ClassAnswers
    labels: NDArray[np.int64]
    foreign: ClassAnswers | None
    calibration: Calibration | None

    @property
    def word(self) -> str:
        """What the number that ranks rows is called."""
        return "novelty" if self.answers.novelty is not None else "doubt"

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each row's likeliest class is its label, (N,)."""
        found: NDArray[np.bool_] = self.answers.classes == self.labels
        return found

    def kept(self, shares: tuple[float, ...] = SHARES) -> list[tuple[float, float]]:
        """(share of rows kept, accuracy over them), the most doubtful rows left out."""
        found = accuracy_kept(self.right, self.answers.doubt, shares)
        return list(zip(shares, found, strict=True))

    def record(self) -> dict[str, Any]:
        """The figures for --json; those that nothing was there for are left out."""
        doubt, right, log_p = self.answers.doubt, self.right, self.answers.log_p
        foreign = None if self.foreign is None else self.foreign.doubt
        found: dict[str, Any] = {
            "ece": calibration_error(log_p, self.labels),
            "kept": [list(pair) for pair in self.kept()],
            "auroc_wrong": auroc(doubt[right], doubt[~right]),
            "auroc_foreign": None if foreign is None else auroc(doubt, foreign),
            f"{self.word}_right": _mean(doubt[right]),
            f"{self.word}_wrong": _mean(doubt[~right]),
            f"{self.word}_foreign": None if foreign is None else _mean(foreign),
        }
        if self.calibration is not None:
            softened = soften(self.answers.logits, self.calibration.temperature)
            sets = prediction_sets(log_p, self.calibration.threshold)
            found |= {
                "temperature": self.calibration.temperature,
                "ece_after": calibration_error(softened, self.labels),
                "coverage": self.calibration.coverage,
                "coverage_found": float(sets[np.arange(len(sets)), self.labels].mean()),
                "classes_in_set": float(sets.sum(axis=1).mean()),
            }
        return {key: value for key, value in found.items() if value is not None}

    def text(self) -> list[str]:
        """The figures for a person."""
        found, word = self.record(), self.word
        means = [
            f"{found[key]:.3f} {told}"
            for side, told in (
                ("right", "when right"),
                ("wrong", "when wrong"),
                ("foreign", "foreign"),
            )
            if (key := f"{word}_{side}") in found
        ]
        lines = [f"{word}: mean {', '.join(means)}"]
        for key, told in (
            ("auroc_wrong", "wrong above right"),
            ("auroc_foreign", "foreign above known"),
        ):
            if key in found:
                lines.append(f"{word} ranks {told}: AUROC {found[key]:.3f}")
        kept = "  ".join(f"{share:.0%} {accuracy:.2%}" for share, accuracy in self.kept())
        lines.append(f"accuracy by rows kept, least {word} first: {kept}")
        if "temperature" not in found:
            return [*lines, f"calibration error {found['ece']:.2%}"]
        return [
            *lines,
            f"calibration error {found['ece']:.2%}, at temperature {found['temperature']:.4g} "
            f"{found['ece_after']:.2%}",
            f"sets for {found['coverage']:.4g} of rows hold the class in "
            f"{found['coverage_found']:.2%}; {found['classes_in_set']:.2f} classes in a set",
        ]


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
