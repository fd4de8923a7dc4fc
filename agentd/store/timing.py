"""How long a row of an agent's games takes: a file in its folder, made once a game has said it."""

import json
import math
from pathlib import Path

from agentd.store.files import write_file

TIMING = "timing.json"


def read_dt_ms(agent: Path) -> float | None:
    """Nominal milliseconds between two rows; None when no game has said, or the file is damaged."""
    try:
        value = json.loads((agent / TIMING).read_bytes())["dt_ms"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    good = type(value) in (int, float) and math.isfinite(value) and value > 0
    return float(value) if good else None


def keep_dt_ms(agent: Path, dt_ms: float) -> None:
    """Write what the first game said; later ones change nothing. Raises StorageError."""
    if read_dt_ms(agent) is None:
        write_file(agent / TIMING, json.dumps({"dt_ms": dt_ms}).encode())
