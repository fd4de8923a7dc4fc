"""A file of puzzles, and those of it that are measured on: for measuring and for lessons alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentd.games.chess.data.puzzles import Puzzle


def read_pool(path: Path) -> list[Puzzle]:
    """Return all puzzles of a file. Raises MissingInput, DataError."""
    from agentd.engine.data import DataError
    from agentd.errors import MissingInput
    from agentd.games.chess.data.puzzles import read_puzzles

    if not path.is_file():
        raise MissingInput(f"no puzzles in {path}", hint="database.lichess.org has them")
    try:
        return list(read_puzzles(path))
    except ValueError as fault:
        raise DataError(str(fault), file=str(path)) from None


def draw(pool: Iterable[Puzzle], count: int, seed: int, path: Path) -> list[Puzzle]:
    """Return the puzzles that are measured on. Raises DataError."""
    from agentd.engine.data import DataError
    from agentd.games.chess.data.puzzles import draw_puzzles

    try:
        return draw_puzzles(pool, count, seed)
    except ValueError as fault:
        raise DataError(str(fault), file=str(path)) from None
