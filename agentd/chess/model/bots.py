"""Who plays: a trained model by its path, the shipped one, or plain material."""

from pathlib import Path

from agentd.chess.model.model import load_bot
from agentd.errors import MissingInput
from agentd.games.chess.search.material import MaterialEvaluator
from agentd.games.chess.search.settings import Evaluator

MATERIAL = "material"
"""The name of the evaluator without a network."""


def open_bot(model: str | None, rating: int | None = None) -> Evaluator:
    """The evaluator that ``model`` names: a path, ``material``, or None for the shipped model.

    ``rating`` is the rating to imitate. Raises MissingInput for a path where nothing is.
    """
    if model == MATERIAL:
        return MaterialEvaluator()
    return load_bot(find_model(model), rating)


def find_model(model: str | None) -> Path | None:
    """The path that ``model`` names, None where it is none of a file. Raises MissingInput."""
    if model is None or model == MATERIAL:
        return None
    path = Path(model).expanduser()
    if not path.exists():
        raise MissingInput(f"no chess model {model}", hint=f"give a file, or `{MATERIAL}`")
    return path
