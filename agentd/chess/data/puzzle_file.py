"""A file of puzzles, and which of them measure a model: lessons leave those out."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from agentd.engine.data import DataError
from agentd.errors import MissingInput
from agentd.games.chess.data.packed import TableError
from agentd.games.chess.data.puzzle_table import PuzzleTable, Watch
from agentd.games.chess.data.puzzles import draw_places


@contextmanager
def open_puzzles(path: Path, watch: Watch | None = None) -> Iterator[PuzzleTable]:
    """Open a file of puzzles; of a pipe a copy, for it can be read only once.

    Raises MissingInput; and DataError for what reading it raises in the block.
    """
    if not path.exists() or path.is_dir():
        raise MissingInput(f"no puzzles in {path}", hint="database.lichess.org has them")
    try:
        if path.is_file():
            yield PuzzleTable(path, watch=watch)
        else:
            with NamedTemporaryFile() as copy, path.open("rb") as pipe:
                shutil.copyfileobj(pipe, copy)
                copy.flush()
                yield PuzzleTable(Path(copy.name), str(path), watch)
    except TableError as fault:
        raise DataError(str(fault)) from None


def draw(pool: PuzzleTable, count: int, seed: int) -> list[int]:
    """Return the places of the puzzles that measure a model; DataError where there are too few."""
    try:
        return draw_places(pool.kinds(), count, seed)
    except TableError:
        raise
    except ValueError as fault:
        raise DataError(f"{pool.name}: {fault}") from None
