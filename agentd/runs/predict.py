"""Predicting: what a trained network tells of rows whose labels nobody knows."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.runs import Run, Snapshot
from agentd.runs.answers import as_cells, beside_classes, class_names, shown_outputs
from agentd.runs.job import make_trainer
from agentd.runs.measure import load_unlabelled


@dataclass(frozen=True)
class Predicted:
    """What each row gets: outputs (N, K), probabilities for classes, and what is beside them."""

    snapshot: Snapshot
    run: Path
    file: Path
    outputs: NDArray[np.float32]
    beside: list[dict[str, Any]]

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
            {"class": names[c], "output": row, **more}
            for c, row, more in zip(chosen, values, self.beside, strict=True)
        ]
        return record | {"classes": names, "predictions": answers}

    def text(self) -> str:
        """The answers as CSV with a header: row, class and a probability a class, or numbers.

        Behind them novelty and a set, where the network has them.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        record = self.record()
        names = record.get("classes") or self._targets()
        beside = list(self.beside[0]) if self.beside else []
        writer.writerow(["row", *(["class"] if "classes" in record else []), *names, *beside])
        for row, (each, more) in enumerate(zip(record["predictions"], self.beside, strict=True), 1):
            chosen = [each["class"]] if "class" in each else []
            writer.writerow([row, *chosen, *each["output"], *as_cells(more).values()])
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
    trainer = make_trainer(
        snapshot.spec, snapshot.network, snapshot.is_class, snapshot.normalizer, snapshot.weights
    )
    outputs = trainer.predict(load_unlabelled(snapshot, data, part))
    shown, beside = shown_outputs(snapshot, outputs), beside_classes(snapshot, outputs)
    return Predicted(snapshot, run_path, data, shown, beside)
