"""``agentd chess lessons``: judged games and puzzles to shards of best moves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentd.cli.screen.options import Json, Quiet, Verbose, terminal

if TYPE_CHECKING:
    from agentd.games.chess.board.position import Positions

JUDGED, PUZZLES = "judged", "puzzles"


def lessons(
    context: typer.Context,
    puzzles: Annotated[Path, typer.Option(help="Lichess's puzzle file, .csv or .csv.zst.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for the shards.")],
    judgements: Annotated[
        Path | None,
        typer.Option(help="Best moves: game_id, ply, best_uci (.tsv.zst).", show_default=False),
    ] = None,
    games: Annotated[
        list[Path] | None, typer.Option(help="Dumps with the judged games.", show_default=False)
    ] = None,
    apart_count: Annotated[
        int, typer.Option("--apart", min=1, help="Puzzles that `chess eval` draws.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    reader: Annotated[str, typer.Option(help="python-chess, or rust.")] = "python-chess",
    as_json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Make shards of best moves, to learn beside games: puzzles, and judged positions of games.

    The puzzles that `chess eval` draws are kept out, and every position of theirs.
    """
    screen = terminal(context, verbose=verbose, quiet=quiet, as_json=as_json)
    from agentd.chess.data.parsers import open_reader
    from agentd.chess.data.puzzle_file import draw, read_pool
    from agentd.errors import MissingInput, UsageError
    from agentd.games.chess.data.lessons import (
        held_places,
        judged_rows,
        puzzle_rows,
        read_judgements,
    )

    if (judgements is None) != (not games):
        raise UsageError("--judgements and --games go together")
    for dump in games or ():
        if not dump.is_file():
            raise MissingInput(f"no dump {dump}")
    opened = open_reader(reader)
    known = {} if judgements is None else _judgements(judgements, read_judgements)
    pool = read_pool(puzzles)
    held = draw(pool, apart_count, seed, puzzles)
    names, places = {puzzle.name for puzzle in held}, held_places(held)
    about = {"apart": apart_count, "seed": seed}
    learned = (puzzle for puzzle in pool if puzzle.name not in names)
    record = {PUZZLES: save(out / PUZZLES, puzzle_rows(learned), places, [puzzles], about)}
    if judgements is not None:
        found = (rows for dump in games or () for rows in judged_rows(dump, opened, known))
        record[JUDGED] = save(out / JUDGED, found, places, [judgements, *(games or ())], about)
    screen.report(record, "\n".join(f"{rows:,} positions: {out / n}" for n, rows in record.items()))


def save(
    folder: Path,
    found: Iterable[Positions],
    held: set[bytes],
    sources: list[Path],
    about: dict[str, Any],
) -> int:
    """Write rows without the ``held`` positions as shards; return how many.

    Raises UsageError, DataError.
    """
    from agentd.engine.data import DataError
    from agentd.errors import UsageError
    from agentd.games.chess.data.dump import DumpDamaged
    from agentd.games.chess.data.lessons import apart
    from agentd.games.chess.data.shards import (
        MANIFEST,
        ROWS_PER_SHARD,
        Manifest,
        ShardWriter,
        Source,
    )
    from agentd.store import write_file

    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds shards already", hint="name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    named = [Source(path.name, path.stat().st_size, _digest(path)) for path in sources]
    manifest = Manifest(about, ROWS_PER_SHARD, named)
    writer = ShardWriter(folder, manifest, write_file)
    try:
        for each in found:
            rows = apart(each, held)
            while len(rows):
                part, rows = rows[: writer.room], rows[writer.room :]
                writer.add(part)
    except DumpDamaged as fault:
        raise DataError(str(fault)) from None
    writer.flush()
    manifest.complete = True
    write_file(folder / MANIFEST, manifest.encode())
    return sum(shard.rows for shard in manifest.shards)


def _judgements(path: Path, read: Any) -> Any:
    from agentd.engine.data import DataError
    from agentd.errors import MissingInput

    if not path.is_file():
        raise MissingInput(f"no judgements in {path}")
    try:
        return read(path)
    except ValueError as fault:
        raise DataError(str(fault), file=str(path)) from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
