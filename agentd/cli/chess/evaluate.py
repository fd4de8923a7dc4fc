"""``agentd chess eval``: moves found and puzzles solved, beside a random mover and a yardstick."""

from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.chess.model.evaluation import (
    BANDS,
    MoveFigures,
    PuzzleFigures,
    measure_moves,
    measure_puzzles,
)
from agentd.chess.model.model import load_bot
from agentd.cli.chess.options import Threads
from agentd.cli.chess.reading_view import ReadingView
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.errors import UsageError
from agentd.games.chess.data.puzzles import share_solved

MAIA = "Maia-1500 (12M games, no search; published, other positions)"


def evaluate(
    screen: JsonScreen,
    model: Annotated[
        Path | None,
        typer.Argument(help="A model file or a run.", show_default="the shipped model"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Shards to measure on.", show_default=False)
    ] = None,
    puzzles: Annotated[
        Path | None,
        typer.Option(help="Lichess's puzzle file, packed or not.", show_default=False),
    ] = None,
    puzzle_count: Annotated[int, typer.Option(min=1, help="Puzzles drawn.")] = 1000,
    depth: Annotated[int, typer.Option(min=1, max=8, help="Of the search on puzzles.")] = 3,
    rating: Annotated[
        int | None, typer.Option(min=600, max=3200, help="Whose moves to look for in puzzles.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Positions at most.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    threads: Threads = 1,
) -> None:
    """Measure how well a model finds people's moves, and solves puzzles."""
    if data is None and puzzles is None:
        raise UsageError("nothing to measure on", hint="give --data SHARDS, --puzzles FILE or both")
    bot = load_bot(model, rating)
    record: dict[str, Any] = {"model": str(model) if model else "shipped", **bot.about}
    if data is not None:
        moves = measure_moves(bot, data, rows, seed)
        _say_moves(screen, moves)
        record |= moves.record()
    if puzzles is not None:
        with ReadingView(screen, puzzles) as view:
            solved = measure_puzzles(bot, puzzles, puzzle_count, depth, seed, view.update)
        if solved.left_out:
            screen.complain(
                f"agentd: {puzzles}: {len(solved.left_out)} of {puzzle_count} puzzles drawn were "
                f"left out, the first is {solved.left_out[0]}"
            )
        _say_puzzles(screen, solved)
        record |= solved.record()
    screen.report(record, "")


def _say_moves(screen: Terminal, found: MoveFigures) -> None:
    if screen.json:
        return
    row = "{:<24} {:>9} {:>7} {:>7} {:>7} {:>7}".format
    screen.say(row("move match", "positions", "top-1", "top-3", "nats", "legal"))
    names = ["all", *(f"mover {low}-{high - 1}" for low, high in BANDS), "random mover"]
    for name, each in zip(names, [found.every, *found.bands, found.random], strict=True):
        if each.positions:
            figures = (f"{each.top1:.2%}", f"{each.top3:.2%}", f"{each.cross_entropy:.3f}")
            screen.say(row(name, f"{each.positions:,}", *figures, f"{each.legal:.1%}"))
    screen.say(row("Maia-1500", "", "49.10%", "76.70%", "1.830", "") + f"  {MAIA[10:]}")


def _say_puzzles(screen: Terminal, found: PuzzleFigures) -> None:
    if screen.json:
        return
    row = "{:<24} {:>9} {:>9} {:>12}".format
    screen.say("")
    screen.say(row("puzzles", "puzzles", "policy", f"{found.depth}-ply search"))
    for mate, kind in ((False, "others"), (True, "mates")):
        for one, two in zip(found.policy, found.search, strict=True):
            if one.mate == mate and one.total:
                shares = (f"{one.solved / one.total:.1%}", f"{two.solved / two.total:.1%}")
                screen.say(row(f"{kind} {one.band}-{one.band + 199}", one.total, *shares))
        screen.say(row(f"all {kind}", "", *_shares(found, mate)))
    screen.say(row("all", "", *_shares(found)))


def _shares(found: PuzzleFigures, mate: bool | None = None) -> tuple[str, str]:
    """The shares that the policy and the search solved, of mates, of others or of all."""
    return f"{share_solved(found.policy, mate):.1%}", f"{share_solved(found.search, mate):.1%}"
