"""A file of puzzles, and which of them measure a model: lessons leave those out."""

from collections.abc import Iterable
from pathlib import Path

from agentd.engine.data import DataError
from agentd.errors import MissingInput
from agentd.games.chess.data.puzzles import Puzzle, draw_puzzles, read_puzzles


def read_pool(path: Path) -> list[Puzzle]:
    """Return all puzzles of a file. Raises MissingInput, DataError."""
    if not path.is_file():
        raise MissingInput(f"no puzzles in {path}", hint="database.lichess.org has them")
    try:
        return list(read_puzzles(path))
    except ValueError as fault:
        raise DataError(str(fault), file=str(path)) from None


def draw(pool: Iterable[Puzzle], count: int, seed: int, path: Path) -> list[Puzzle]:
    """Return the puzzles that measure a model. Raises DataError where ``path`` holds too few."""
    try:
        return draw_puzzles(pool, count, seed)
    except ValueError as fault:
        raise DataError(str(fault), file=str(path)) from None
