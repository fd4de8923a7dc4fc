"""``agentd chess lessons``: judged games and puzzles to shards of best moves."""

from pathlib import Path
from typing import Annotated

import typer

from agentd.chess.data.lessons import LessonsJob, make_lessons
from agentd.cli.chess.reading_view import ReadingView
from agentd.cli.screen.options import JsonScreen
from agentd.errors import UsageError


def lessons(
    screen: JsonScreen,
    puzzles: Annotated[Path, typer.Option(help="Lichess's puzzle file, packed or not.")],
    out: Annotated[Path, typer.Option("--out", help="The folder for the shards.")],
    judgements: Annotated[
        Path | None,
        typer.Option(help="Best moves: game_id, ply, best_uci (TSV).", show_default=False),
    ] = None,
    games: Annotated[
        list[Path] | None, typer.Option(help="Dumps with the judged games.", show_default=False)
    ] = None,
    apart_count: Annotated[
        int, typer.Option("--apart", min=1, help="Puzzles that `chess eval` draws.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    reader: Annotated[str, typer.Option(help="python-chess, or rust.")] = "python-chess",
) -> None:
    """Make shards of best moves, to learn beside games: puzzles, and judged positions of games.

    The puzzles that `chess eval` draws are kept out, and every position of theirs.
    """
    if (judgements is None) != (not games):
        raise UsageError("--judgements and --games go together")
    job = LessonsJob(puzzles, out, judgements, games or (), apart_count, seed, reader)
    with ReadingView(screen, puzzles) as view:
        made = make_lessons(job, view.update)
    record = made.rows | ({"left_out": made.left_out} if made.left_out else {})
    lines = (f"{rows:,} positions: {out / kind}" for kind, rows in made.rows.items())
    screen.report(record, "\n".join(lines))
    if made.left_out:
        screen.complain(
            f"agentd: {puzzles}: {made.left_out} puzzles were left out, the first is {made.first}"
        )
