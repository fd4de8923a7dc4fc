"""The switch that keeps an agent from learning: a file in its folder, there or not there.

What the file holds says nothing, so that no damage of it can thaw an agent.
"""

from pathlib import Path

from agentd.errors import StorageError
from agentd.store.files import Files, write_file

FROZEN = "frozen"


def is_frozen(agent: Path) -> bool:
    """Whether the agent in the folder ``agent`` was frozen by an operator."""
    return (agent / FROZEN).exists()


def set_frozen(agent: Path, on: bool, files: Files | None = None) -> None:
    """Freeze the agent in the folder ``agent``, or thaw it; durable. Raises StorageError."""
    files, path = files or Files(), agent / FROZEN
    if on:
        write_file(path, b"", files)
        return
    try:
        files.remove(path)
        files.sync_dir(agent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
