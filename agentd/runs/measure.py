"""Measuring a trained network on data: figures, confusion matrix, the output of each row."""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data import Dataset, load_inputs
from agentd.engine.training import EvaluationReport
from agentd.errors import UsageError
from agentd.runs import Run, Snapshot
from agentd.runs.answers import (
    as_cells,
    beside_classes,
    class_names,
    shown_outputs,
    told_classes,
)
from agentd.runs.doubt import Doubt
from agentd.runs.fit import figures
from agentd.runs.int8 import Int8Facts, int8_trainer
from agentd.runs.job import load_beside, make_trainer
from agentd.store import write_file

WIDEST_MATRIX = 20


@dataclass(frozen=True)
class Measured:
    """An evaluation, and each row's target and raw outputs (N, K); doubt where it can be told."""

    snapshot: Snapshot
    run: Path
    data: Dataset
    evaluation: EvaluationReport
    outputs: NDArray[np.float32]
    doubt: Doubt | None = None
    int8: Int8Facts | None = None

    @cached_property
    def shown(self) -> NDArray[np.float32]:
        """The outputs as a person reads them, see `shown_outputs`."""
        return shown_outputs(self.snapshot, self.outputs)

    @cached_property
    def beside(self) -> list[dict[str, Any]]:
        """What each row gets beside them, see `beside_classes`."""
        return beside_classes(self.snapshot, self.outputs)

    def record(self, samples: int | None) -> dict[str, Any]:
        """The figures for --json."""
        found = self.evaluation
        record: dict[str, Any] = {
            "run": str(self.run),
            "checkpoint": self.snapshot.name,
            "rows": found.rows,
            "loss": found.loss,
            "accuracy": found.accuracy,
            "rmse": found.rmse,
            "confusion": None if found.confusion is None else found.confusion.tolist(),
            "classes": self._names(),
            **(self.doubt.record() if self.doubt else {}),
            "int8": None if self.int8 is None else self.int8.record(),
        }
        if samples is not None:
            record["samples"] = [self._sample(i) for i in range(min(samples, found.rows))]
        return {key: value for key, value in record.items() if value is not None}

    def text(self, samples: int | None) -> str:
        """The figures for a person."""
        found = self.evaluation
        lines = [f"{found.rows:,} rows of {self.data.file}", figures(found.loss, found.accuracy)]
        if self.int8 is not None:
            lines.append(self.int8.text())
        if found.rmse is not None:
            lines.append(f"root mean squared error {found.rmse:.4g}")
        if found.confusion is not None:
            lines += _matrix(found.confusion, self._names() or [])
        lines += self.doubt.text() if self.doubt else []
        for i in range(min(samples or 0, found.rows)):
            each = self._sample(i)
            mark = "" if self.snapshot.is_class and each["expected"] == each["told"] else "  <-"
            mark = mark if self.snapshot.is_class else ""
            values = " ".join(f"{value:.3f}" for value in each["output"])
            predicted = f" told {each['told']}" if "told" in each else ""
            new = f" novelty {each['novelty']:.3f}" if "novelty" in each else ""
            new += f" set {'|'.join(each['set']) or '-'}" if "set" in each else ""
            lines.append(
                f"{i + 1:>5}: expected {each['expected']}{predicted} output {values}{new}{mark}"
            )
        return "\n".join(lines)

    def write_outputs(self, path: Path) -> None:
        """Write every row's target and outputs as CSV, durably."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = self._names() or [f"y{i}" for i in range(self.outputs.shape[1])]
        first = self._sample(0)
        predicted = ["told"] if "told" in first else []
        expected = ["expected"] if predicted else [f"expected_{name}" for name in columns]
        beside = [key for key in ("novelty", "set") if key in first]
        writer.writerow(["row", *expected, *predicted, *columns, *beside])
        for i in range(len(self.outputs)):
            each = self._sample(i)
            wanted = [each["expected"]] if predicted else each["expected"]
            cells = as_cells({key: each[key] for key in beside}).values()
            told = [each[key] for key in predicted]
            writer.writerow([i + 1, *wanted, *told, *each["output"], *cells])
        write_file(path, text.getvalue().encode())

    def _names(self) -> list[str] | None:
        return class_names(self.snapshot)

    def _sample(self, i: int) -> dict[str, Any]:
        output = [round(float(value), 6) for value in self.shown[i]]
        names = self._names()
        if names is None:
            expected: Any = [round(float(value), 6) for value in self.data.targets[i]]
            return {"expected": expected, "output": output}
        predicted, expected = names[int(self.outputs[i].argmax())], names[int(self.data.targets[i])]
        return {"expected": expected, "told": predicted, "output": output, **self.beside[i]}


def measure(
    run_path: Path,
    data: Path | None,
    *,
    part: str,
    best: bool,
    foreign: Path | None = None,
    int8: bool = False,
    calibration: Path | None = None,
) -> Measured:
    """Measure the run's newest checkpoint, or its best epoch. Raises DataError, MissingInput.

    ``foreign`` is data unlike what it was trained on, without labels: how novelty tells it apart.
    With ``int8`` its products are computed in whole numbers, see `int8_trainer`.
    """
    run = Run.open(run_path)
    snapshot = run.load(best=best)
    found = load_measured(snapshot, data or _own_test(snapshot), part)
    trainer = make_trainer(
        snapshot.spec, snapshot.network, snapshot.is_class, snapshot.normalizer, snapshot.weights
    )
    evaluation, facts = trainer.evaluate(found), None
    if int8:
        trainer, weights = int8_trainer(snapshot, calibration)
        sizes = weights.nbytes, snapshot.weights.nbytes
        facts = Int8Facts(weights.rows, calibration is not None, *sizes, evaluation)
        evaluation = trainer.evaluate(found)
    outputs, doubt, strange = trainer.predict(found.inputs), None, None
    answers = told_classes(snapshot, outputs)
    if foreign is not None:
        if answers is None:
            raise UsageError(f"--foreign: {run_path} tells no probabilities of classes")
        strange = told_classes(snapshot, trainer.predict(load_unlabelled(snapshot, foreign, part)))
    wanted = strange is not None or snapshot.calibration is not None
    if answers is not None and (wanted or answers.novelty is not None):
        doubt = Doubt(answers, found.labels().astype(np.int64), strange, snapshot.calibration)
    return Measured(snapshot, run_path, found, evaluation, outputs, doubt, facts)


def load_measured(snapshot: Snapshot, source: Path, part: str) -> Dataset:
    """Read labelled rows that look like those the run learned from. Raises DataError."""
    seen = Dataset(
        np.zeros((1, snapshot.facts["features"]), np.uint8),
        np.zeros(1 if snapshot.is_class else (1, 1), np.int32),
        (snapshot.facts["features"],),
        classes=snapshot.facts["classes"],
        names=snapshot.names,
        columns=snapshot.columns,
    )
    return load_beside(source, part, snapshot.spec, seen, snapshot.network.output_shape[0])


def load_unlabelled(snapshot: Snapshot, source: Path, part: str) -> NDArray[Any]:
    """Read inputs (N, D) for the network; labels are not looked at. Raises DataError."""
    options, _ = snapshot.spec.reading()
    features = int(snapshot.facts["features"])
    return load_inputs(source, features, part, options, like=snapshot.columns)


def _own_test(snapshot: Snapshot) -> Path:
    if not snapshot.facts.get("test"):
        raise UsageError("the run has no test data of its own", hint="name some with --data")
    return Path(snapshot.facts["test"])


def _matrix(confusion: NDArray[np.int64], names: list[str]) -> list[str]:
    """The confusion matrix as lines: true classes down, predicted ones across."""
    if len(confusion) > WIDEST_MATRIX:
        wrong = confusion.copy()
        np.fill_diagonal(wrong, 0)
        worst = np.argsort(wrong, axis=None)[::-1][:10]
        pairs = [divmod(int(at), len(confusion)) for at in worst if wrong.flat[at]]
        return [f"{names[t]} told as {names[p]}: {wrong[t, p]}" for t, p in pairs]
    width = max(len(str(confusion.max())), *(len(name[:8]) for name in names)) + 1
    margin = max(5, *(len(name[:12]) for name in names))
    lines = [
        f"{'true':>{margin}} " + "".join(f"{name[:8]:>{width}}" for name in names) + "  recall"
    ]
    for name, row in zip(names, confusion, strict=True):
        recall = f"{row[names.index(name)] / row.sum():.2%}" if row.sum() else "–"
        lines.append(
            f"{name[:12]:>{margin}} "
            + "".join(f"{count:>{width}}" for count in row)
            + f"  {recall}"
        )
    return lines
