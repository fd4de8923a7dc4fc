"""Metrics as JSON lines: appended while training, cut back to the checkpoint on resume."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentd.errors import StorageError
from agentd.store import write_file


class MetricsLog:
    """Appends records to a file, one JSON object a line; keeps no file open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, steps: int) -> None:
        """Drop what was written after ``steps`` steps, and a line that was cut off."""
        kept = [line for line in read_metrics(self.path) if line.get("steps", 0) <= steps]
        text = "".join(_line(record) for record in kept)
        if kept or self.path.exists():
            write_file(self.path, text.encode())

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line. Raises StorageError."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror or error}") from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file; none where there is no file. A cut line is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _line(record: Mapping[str, Any]) -> str:
    known = {
        key: value
        for key, value in record.items()
        if not isinstance(value, float) or math.isfinite(value)
    }
    return json.dumps(known, ensure_ascii=False) + "\n"
