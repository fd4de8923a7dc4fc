"""Predicting: what a trained network tells of rows whose labels nobody knows."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data import load_inputs
from agentd.runs import Run, Snapshot
from agentd.runs.job import make_trainer
from agentd.runs.measure import class_names, shown_outputs


@dataclass(frozen=True)
class Predicted:
    """What each row gets: outputs (N, K), probabilities for classes."""

    snapshot: Snapshot
    run: Path
    file: Path
    outputs: NDArray[np.float32]

    def record(self) -> dict[str, Any]:
        """The answers for --json."""
        names = class_names(self.snapshot)
        record: dict[str, Any] = {
            "run": str(self.run),
            "checkpoint": self.snapshot.name,
            "rows": len(self.outputs),
        }
        values = np.round(self.outputs.astype(np.float64), 6).tolist()
        if names is None:
            return record | {"predictions": [{"output": row} for row in values]}
        chosen = self.outputs.argmax(1).tolist()
        answers = [
            {"class": names[c], "output": row} for c, row in zip(chosen, values, strict=True)
        ]
        return record | {"classes": names, "predictions": answers}

    def text(self) -> str:
        """The answers as CSV with a header: row, class and a probability a class, or numbers."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        record = self.record()
        names = record.get("classes") or self._targets()
        writer.writerow(["row", *(["class"] if "classes" in record else []), *names])
        for row, each in enumerate(record["predictions"], 1):
            writer.writerow([row, *([each["class"]] if "class" in each else []), *each["output"]])
        return out.getvalue()

    def _targets(self) -> list[str]:
        """The names of the numbers that are answers."""
        columns = self.snapshot.columns
        if columns is not None and columns.names:
            return [columns.names[at] for at in columns.labels]
        return [f"y{i}" for i in range(self.outputs.shape[1])]


def predict(run_path: Path, data: Path, *, part: str = "test", best: bool = False) -> Predicted:
    """Answer the rows of ``data`` with the run's newest checkpoint, or its best epoch.

    Labels are not needed; those that are there are not looked at. Raises DataError, MissingInput.
    """
    snapshot = Run.open(run_path).load(best=best)
    spec, network = snapshot.spec, snapshot.network
    options, _ = spec.reading()
    features = int(snapshot.facts["features"])
    inputs = load_inputs(data, features, part, options, like=snapshot.columns)
    trainer = make_trainer(spec, network, snapshot.is_class, snapshot.normalizer, snapshot.weights)
    return Predicted(snapshot, run_path, data, shown_outputs(snapshot, trainer.predict(inputs)))
