"""Make lessons, shards of best moves, from puzzles and judged games."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentd.chess.data.parsers import open_reader
from agentd.chess.data.preparation import require_dump, size_of
from agentd.chess.data.puzzle_file import draw, open_puzzles
from agentd.engine.data import DataError
from agentd.errors import MissingInput, UsageError
from agentd.games.chess.board.position import Positions
from agentd.games.chess.data.lessons import (
    Judgements,
    apart,
    held_places,
    judged_rows,
    puzzle_rows,
    read_judgements,
)
from agentd.games.chess.data.packed import TableError, TextDamaged
from agentd.games.chess.data.puzzle_table import Watch
from agentd.games.chess.data.puzzles import Puzzle
from agentd.games.chess.data.shards import (
    MANIFEST,
    ROWS_PER_SHARD,
    Manifest,
    ShardWriter,
    Source,
)
from agentd.store import write_file

JUDGED, PUZZLES = "judged", "puzzles"


@dataclass(frozen=True)
class LessonsJob:
    """What to make lessons of.

    judgements   best moves in ``games``, dumps that ``reader`` reads; None for puzzles alone
    held_count   puzzles, drawn by ``seed``, that measure a model: no row holds a position of theirs
    """

    puzzles: Path
    folder: Path
    judgements: Path | None
    games: Sequence[Path]
    held_count: int
    seed: int
    reader: str


@dataclass
class Lessons:
    """What was made: rows by the folder's name, and how many puzzles cannot be played.

    ``first`` names the first of those, and what is wrong with it.
    """

    rows: dict[str, int]
    left_out: int = 0
    first: str = ""

    def leave_out(self, puzzle: Puzzle, fault: ValueError) -> None:
        """Count a puzzle that cannot be played."""
        self.left_out += 1
        self.first = self.first or f"{puzzle.name}: {fault}"


def make_lessons(job: LessonsJob, watch: Watch | None = None) -> Lessons:
    """Write the shards of each kind of lesson; ``watch`` is told how far the puzzles are read.

    Raises UsageError, MissingInput, DataError.
    """
    for dump in job.games:
        require_dump(dump)
    reader = open_reader(job.reader)
    known = {} if job.judgements is None else _read_judgements(job.judgements)
    about = {"apart": job.held_count, "seed": job.seed}
    made = Lessons({})
    with open_puzzles(job.puzzles, watch) as pool:
        held = pool.at(draw(pool, job.held_count, job.seed))
        held = [puzzle for puzzle in held if puzzle.fault is None]
        names, places = {puzzle.name for puzzle in held}, held_places(held)
        learned = (puzzle for puzzle in pool if puzzle.name not in names)
        found = puzzle_rows(learned, made.leave_out)
        made.rows[PUZZLES] = _save(job.folder / PUZZLES, found, places, [job.puzzles], about)
    if job.judgements is not None:
        found = (rows for dump in job.games for rows in judged_rows(dump, reader, known))
        sources = [job.judgements, *job.games]
        made.rows[JUDGED] = _save(job.folder / JUDGED, found, places, sources, about)
    return made


def _save(
    folder: Path,
    found: Iterable[Positions],
    held: set[bytes],
    sources: list[Path],
    about: dict[str, Any],
) -> int:
    """Write rows without the ``held`` positions as shards; return how many."""
    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds shards already", hint="name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    named = [Source(path.name, size_of(path), _digest(path)) for path in sources]
    manifest = Manifest(about, ROWS_PER_SHARD, named)
    writer = ShardWriter(folder, manifest, write_file)
    try:
        for each in found:
            rows = apart(each, held)
            while len(rows):
                part, rows = rows[: writer.room], rows[writer.room :]
                writer.add(part)
    except TextDamaged as fault:
        raise DataError(str(fault)) from None
    writer.flush()
    manifest.complete = True
    write_file(folder / MANIFEST, manifest.encode())
    return sum(shard.rows for shard in manifest.shards)


def _read_judgements(path: Path) -> Judgements:
    if not path.exists() or path.is_dir():
        raise MissingInput(f"no judgements in {path}")
    try:
        return read_judgements(path)
    except TableError as fault:
        raise DataError(str(fault)) from None


def _digest(path: Path) -> str | None:
    """Return the checksum of a file, None of a pipe, which can be read only once."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
