"""What a trained network's outputs mean: probabilities, novelty, the set that holds the class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.doubt import ClassAnswers, answer, prediction_sets, soften
from agentd.runs import Snapshot


def told_classes(snapshot: Snapshot, outputs: NDArray[Any]) -> ClassAnswers | None:
    """Return what outputs (N, K) say of classes, uncalibrated; None without probabilities."""
    return answer(snapshot.spec.loss, outputs) if snapshot.is_class else None


def shown_outputs(snapshot: Snapshot, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return outputs (N, K) as a person reads them: probabilities where they are classes'.

    Calibrated ones, where the checkpoint was calibrated.
    """
    found = told_classes(snapshot, outputs)
    if found is None:
        return outputs
    log_p, calibration = found.log_p, snapshot.calibration
    if calibration is not None:
        log_p = soften(found.logits, calibration.temperature)
    p: NDArray[np.float32] = np.exp(log_p).astype(np.float32)
    return p


def class_names(snapshot: Snapshot) -> list[str] | None:
    """Return the classes' names, their numbers without any; None where it tells numbers."""
    if not snapshot.is_class:
        return None
    return list(snapshot.names) or [str(i) for i in range(snapshot.network.output_shape[0])]


def beside_classes(snapshot: Snapshot, outputs: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Return what each row gets beside its probabilities, from raw outputs (N, K).

    ``novelty`` of an evidential network, ``set`` of a calibrated one: the names of the classes, of
    which one is right in the share of rows that was asked for.
    """
    found, calibration = told_classes(snapshot, outputs), snapshot.calibration
    rows: list[dict[str, Any]] = [{} for _ in range(len(outputs))]
    if found is not None and found.novelty is not None:
        for row, value in zip(rows, found.novelty.tolist(), strict=True):
            row["novelty"] = round(value, 6)
    if found is not None and calibration is not None:
        names = class_names(snapshot) or []
        for row, chosen in zip(
            rows, prediction_sets(found.log_p, calibration.threshold), strict=True
        ):
            row["set"] = [names[at] for at in np.flatnonzero(chosen)]
    return rows


def as_cells(beside: dict[str, Any]) -> dict[str, Any]:
    """The same for a line of CSV: a set's names with bars between them."""
    return {k: "|".join(v) if isinstance(v, list) else v for k, v in beside.items()}
