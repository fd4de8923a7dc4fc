"""Rows that a run's network is fitted to in eight bits."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data import load_inputs
from agentd.runs.folder import Snapshot

_MOST = 8192
_SEED = 0


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
