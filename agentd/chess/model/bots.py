"""Who plays: a trained model by its path, the shipped one, or plain material."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from agentd.errors import MissingInput, UsageError

if TYPE_CHECKING:
    from agentd.games.chess.search.settings import Evaluator

MATERIAL = "material"
"""The name of the evaluator without a network."""


def require_chess() -> None:
    """Raise UsageError where python-chess is not installed."""
    if importlib.util.find_spec("chess") is None:
        raise UsageError(
            "chess needs python-chess, which is not installed", hint="pip install 'agentd[chess]'"
        )


def open_bot(model: str | None, rating: int | None = None) -> Evaluator:
    """The evaluator that ``model`` names: a path, ``material``, or None for the shipped model.

    ``rating`` is the rating to imitate. Raises MissingInput for a path where nothing is.
    """
    if model == MATERIAL:
        from agentd.games.chess.search.material import MaterialEvaluator

        return MaterialEvaluator()
    path = None if model is None else Path(model)
    if path is not None and not path.exists():
        raise MissingInput(f"no chess model {model}", hint=f"give a file, or `{MATERIAL}`")
    from agentd.chess.model.model import load_bot

    return load_bot(path, rating)
