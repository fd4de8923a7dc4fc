"""Pictures in files, drawn with matplotlib where that is installed."""

import importlib.util
from pathlib import Path
from typing import Any

from agentd.errors import MissingInput, StorageError, UsageError
from agentd.extras import install_hint


def want_matplotlib() -> None:
    """Raise MissingInput where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        hint = install_hint("plot")
        raise MissingInput("--png needs matplotlib, which is not installed", hint=hint)


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure; the suffix names the format.

    Raises StorageError when it cannot be written, UsageError for a suffix that is no picture's.
    """
    try:
        figure.savefig(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}") from None
