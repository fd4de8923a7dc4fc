"""What an operator has said of an agent's exploration: a file in its folder, there or not there."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from agentd.errors import StorageError
from agentd.store.files import Files, write_file

EXPLORING = "exploring.json"


class Exploring(NamedTuple):
    """In place of an agent's schedule: a constant, or the schedule begun anew.

    value  ε, or the temperature, that holds; None: that of the schedule
    since  environment steps at which the schedule began
    """

    value: float | None = None
    since: int = 0


def read_exploring(agent: Path) -> Exploring:
    """What holds for the agent in the folder ``agent``; its schedule where the file is damaged."""
    try:
        said = json.loads((agent / EXPLORING).read_bytes())
        value, since = said["value"], said["since"]
    except (OSError, ValueError, LookupError, TypeError):
        return Exploring()
    number = value is None or (type(value) in (int, float) and math.isfinite(value) and value >= 0)
    good = number and type(since) is int and since >= 0
    return Exploring(value, since) if good else Exploring()


def keep_exploring(agent: Path, exploring: Exploring, files: Files | None = None) -> None:
    """Write what holds from now on; durable. Raises StorageError."""
    files, path = files or Files(), agent / EXPLORING
    if exploring != Exploring():
        write_file(path, json.dumps(exploring._asdict()).encode(), files)
        return
    try:
        files.remove(path)
        files.sync_dir(agent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
