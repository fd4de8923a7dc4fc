"""Calibrating a trained network: a temperature and a set's threshold from held-out rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agentd.engine.data import DataError, Dataset, split
from agentd.engine.doubt import (
    TooFewRows,
    calibration_error,
    find_temperature,
    set_threshold,
    soften,
)
from agentd.errors import UsageError
from agentd.runs import Calibration, Run, Snapshot
from agentd.runs.answers import told_classes
from agentd.runs.job import load, make_trainer, refuse_other_data
from agentd.runs.measure import load_measured


@dataclass(frozen=True)
class Calibrated:
    """What was found, and the checkpoint that now holds it."""

    run: Path
    checkpoint: str
    found: Calibration

    def record(self) -> dict[str, Any]:
        """The figures for --json."""
        found = self.found
        return {
            "run": str(self.run),
            "checkpoint": self.checkpoint,
            "rows": found.rows,
            "temperature": found.temperature,
            "ece": found.ece,
            "ece_after": found.ece_after,
            "coverage": found.coverage,
            "threshold": found.threshold,
        }

    def text(self) -> str:
        """The figures for a person."""
        found = self.found
        lowest = float(np.exp(-found.threshold))
        return "\n".join(
            [
                f"{found.rows:,} rows of {found.source}",
                f"temperature {found.temperature:.4g}; calibration error on these rows "
                f"{found.ece:.2%}, with it {found.ece_after:.2%}",
                f"a set of classes for {found.coverage:.4g} of rows: those with a probability of "
                f"at least {lowest:.3g} before the temperature",
                f"saved with the model: checkpoint {self.checkpoint}",
            ]
        )


def calibrate(
    run_path: Path, data: Path | None, *, coverage: float, part: str = "test", best: bool = False
) -> Calibrated:
    """Calibrate the run's newest checkpoint, or its best epoch, on rows that it did not learn from.

    Without ``data`` these are the rows that the run held out for validation. Raises DataError,
    UsageError, MissingInput.
    """
    if not 0 < coverage < 1:
        raise DataError("coverage", expected="above 0 and below 1", got=f"{coverage:g}")
    run = Run.open(run_path)
    with run.lock():
        snapshot = run.load(best=best)
        rows = _held_out(run, snapshot) if data is None else load_measured(snapshot, data, part)
        trainer = make_trainer(
            snapshot.spec,
            snapshot.network,
            snapshot.is_class,
            snapshot.normalizer,
            snapshot.weights,
        )
        answers = told_classes(snapshot, trainer.predict(rows.rows()[0]))
        if answers is None:
            raise UsageError(f"{run_path} tells no probabilities of classes to calibrate")
        labels, log_p = _labels(rows), answers.log_p
        temperature = find_temperature(answers.logits, labels)
        try:
            threshold = set_threshold(log_p, labels, coverage)
        except TooFewRows as fault:
            raise DataError(str(fault), file=rows.file) from None
        found = Calibration(
            temperature=temperature,
            coverage=coverage,
            threshold=max(0.0, threshold),
            rows=len(labels),
            source=rows.file if data is not None else f"{rows.file}, held out",
            ece=calibration_error(log_p, labels),
            ece_after=calibration_error(soften(answers.logits, temperature), labels),
        )
        return Calibrated(run_path, run.calibrate(found, best=best), found)


def _held_out(run: Run, snapshot: Snapshot) -> Dataset:
    """The rows that the run held out of its training data. Raises UsageError without any."""
    source, spec = Path(snapshot.facts["source"]), snapshot.spec
    if not spec.data.validation:
        raise UsageError(f"{run.path} held no rows out", hint="name some with --data")
    data = load(source, "train", spec, snapshot)
    refuse_other_data(run, snapshot, data, source)
    held = split(data, spec.data.validation, spec.seed)[1]
    if held is None:
        raise UsageError(f"{run.path} held no rows out", hint="name some with --data")
    return held


def _labels(rows: Dataset) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not len(rows):
        raise DataError("no rows to calibrate on", file=rows.file)
    labels = rows.labels()
    if (labels == labels[0]).all():
        got = rows.names[labels[0]] if rows.names else str(labels[0])
        raise DataError("one class only", file=rows.file, expected="at least 2", got=got)
    return labels.astype(np.int64)
