"""Lichess's table of puzzles, read row by row as often as needed and never held at once."""

import csv
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from agentd.games.chess.data.packed import TableError, TextDamaged, open_text
from agentd.games.chess.data.puzzles import Puzzle, band_of

Watch = Callable[[int, int], None]
"""Called now and then with the bytes of the file and the rows that were read."""
WATCHED_ROWS = 4096

_WORTH = {"advantage": 400, "crushing": 800, "equality": 0}
"""Lichess's themes: 200 to 600 centipawns, more than those, less than those."""
_COLUMNS = ("PuzzleId", "FEN", "Moves", "Rating", "Themes")
_UCI = r"[a-h][1-8][a-h][1-8][qrbn]?"
_MOVES = re.compile(rf"(?:\s*{_UCI}\s+{_UCI}(?!\S))+\s*")

_Row = tuple[str, str, str, str, str]


class PuzzleTable:
    """The puzzles of a file, packed or not, in its order. Each reading begins at its first row.

    Reading raises TableError with the line that is wrong, or after which the file is cut off.
    ``name`` is what such an error calls the file.
    """

    def __init__(self, path: Path, name: str | None = None, watch: Watch | None = None) -> None:
        self._path, self._watch = path, watch
        self.name = name or str(path)

    def __iter__(self) -> Iterator[Puzzle]:
        return map(_puzzle, self._rows())

    def kinds(self) -> Iterator[tuple[bool, int]]:
        """Yield of each puzzle whether it is a mate, and its band."""
        for _, _, _, rating, themes in self._rows():
            yield "mate" in themes.split(), band_of(int(rating))

    def at(self, places: Collection[int]) -> list[Puzzle]:
        """Return the puzzles in ``places``, counted from 0, in the order of ``places``."""
        wanted, last = set(places), max(places, default=-1)
        found: dict[int, Puzzle] = {}
        for place, row in enumerate(self._rows()):
            if place in wanted:
                found[place] = _puzzle(row)
            if place == last:
                break
        return [found[place] for place in places]

    def _rows(self) -> Iterator[_Row]:
        with open_text(self._path) as (lines, file):
            rows = csv.reader(lines)
            try:
                head = next(rows, [])
                missing = [name for name in _COLUMNS if name not in head]
                if missing:
                    raise ValueError(f"expected the columns of lichess, {missing[0]} is missing")
                name, fen, moves, rating, themes = (head.index(column) for column in _COLUMNS)
                for count, row in enumerate(rows):
                    if len(row) == len(head):
                        found = row[name], row[fen], row[moves], row[rating], row[themes]
                        _check(found)
                        yield found
                    elif row:
                        raise ValueError(f"expected {len(head)} columns, got {len(row)}")
                    if self._watch is not None and count % WATCHED_ROWS == 0:
                        self._watch(file.tell(), count)
            except (ValueError, csv.Error) as error:
                raise TableError(f"{self.name}, line {rows.line_num}: {error}") from None
            except TextDamaged as error:
                raise TableError(f"{self.name}, after line {rows.line_num}: {error}") from None


def _check(row: _Row) -> None:
    """Raise ValueError for a row that is no puzzle; its position is not looked at."""
    _, _, moves, rating, _ = row
    if not _MOVES.fullmatch(moves):
        raise ValueError(f"Moves: expected pairs of moves, got {moves!r}")
    if not (rating.isascii() and rating.isdigit()):
        raise ValueError(f"Rating: expected a whole number, got {rating!r}")


def _puzzle(row: _Row) -> Puzzle:
    name, fen, moves, rating, listed = row
    themes = listed.split()
    worth = next((_WORTH[theme] for theme in themes if theme in _WORTH), 0)
    return Puzzle(name, fen, tuple(moves.split()), int(rating), "mate" in themes, worth)
