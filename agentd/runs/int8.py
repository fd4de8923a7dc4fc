"""A run's network in eight bits: computed with, and told beside what float32 gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data import load_inputs
from agentd.engine.quantization import Int8Backend, QuantizedWeights, quantize
from agentd.engine.training import EvaluationReport, Trainer
from agentd.runs.fit import figures
from agentd.runs.folder import Snapshot
from agentd.runs.job import make_trainer

_MOST = 8192
_SEED = 0


@dataclass(frozen=True)
class Int8Facts:
    """How a network became int8, and what it did before: on the same rows, in float32.

    rows    to which the weights were fitted; 0 where they were rounded to the nearest
    ranges  whether inputs of products have the range of these rows, or each row its own
    """

    rows: int
    ranges: bool
    weight_bytes: int
    float32_bytes: int
    float32: EvaluationReport

    def record(self) -> dict[str, Any]:
        """The facts for --json."""
        return {
            "fitted_rows": self.rows,
            "inputs": "calibrated" if self.ranges else "each row its own range",
            "weight_bytes": self.weight_bytes,
            "float32_weight_bytes": self.float32_bytes,
            "float32_loss": self.float32.loss,
            "float32_accuracy": self.float32.accuracy,
        }

    def text(self) -> str:
        """The facts for a person."""
        fitted = f"fitted to {self.rows:,} rows" if self.rows else "rounded to the nearest"
        ranges = "their ranges" if self.ranges else "each row its own range"
        shrunk = self.float32_bytes / self.weight_bytes
        return (
            f"int8: weights {fitted}, {self.weight_bytes:,} bytes ({shrunk:.2f} times smaller); "
            f"inputs {ranges}; float32 {figures(self.float32.loss, self.float32.accuracy)}"
        )


def int8_trainer(snapshot: Snapshot, calibration: Path | None) -> tuple[Trainer, QuantizedWeights]:
    """Return the snapshot with its products in whole numbers, to measure, and its weights.

    With ``calibration`` weights and ranges of inputs come from that data's rows; without it the
    weights are fitted to the run's own training data while that is there, and each row has its own
    ranges. Raises DataError.
    """
    rows, network = calibration_rows(snapshot, calibration), snapshot.network
    weights = quantize(network, snapshot.weights, rows, ranges=calibration is not None)
    backend = Int8Backend(network, lambda flat: weights)
    given = snapshot.spec, network, snapshot.is_class, snapshot.normalizer
    return make_trainer(*given, backend.load(snapshot.weights), backend), weights


def calibration_rows(snapshot: Snapshot, source: Path | None = None) -> NDArray[Any] | None:
    """Return rows (n, *input) as the network takes them, at most 8,192.

    They are of ``source``, labels not looked at, or without one of the run's own training data;
    None where that is gone. Raises DataError.
    """
    path = source or Path(snapshot.facts["source"])
    if source is None and not path.exists():
        return None
    network, features = snapshot.network, int(snapshot.facts["features"])
    options, _ = snapshot.spec.reading()
    inputs = load_inputs(path, features, "train", options, like=snapshot.columns)
    if len(inputs) > _MOST:
        chosen = np.random.default_rng(_SEED).choice(len(inputs), _MOST, replace=False)
        inputs = inputs[np.sort(chosen)]
    rows = np.empty((len(inputs), features), np.float32)
    snapshot.normalizer.apply(inputs.reshape(rows.shape), rows)
    kind = np.float32 if network.input_kind == "float" else np.int32
    return rows.reshape(len(rows), *network.input_shape).astype(kind)
