"""``agentd chess eval``: moves found and puzzles solved, beside a random mover and a yardstick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentd.cli.screen.options import Json, Quiet, Verbose, terminal
from agentd.cli.screen.threads import bound_blas

if TYPE_CHECKING:
    from agentd.chess.model.model import ChessModel
    from agentd.cli.screen.terminal import Terminal
    from agentd.games.chess.board.position import Positions
    from agentd.games.chess.data.puzzles import Solved
    from agentd.games.chess.play.measure import MoveMatch

BANDS = tuple((low, low + 200) for low in range(1000, 2400, 200))
MAIA = "Maia-1500 (12M games, no search; published, other positions)"


def evaluate(
    context: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(help="A model file or a run.", show_default="the shipped model"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Shards to measure on.", show_default=False)
    ] = None,
    puzzles: Annotated[
        Path | None,
        typer.Option(help="Lichess's puzzle file, .csv or .csv.zst.", show_default=False),
    ] = None,
    puzzle_count: Annotated[int, typer.Option(min=1, help="Puzzles drawn.")] = 1000,
    depth: Annotated[int, typer.Option(min=1, max=8, help="Of the search on puzzles.")] = 3,
    rating: Annotated[
        int | None, typer.Option(min=600, max=3200, help="Whose moves to look for in puzzles.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Positions at most.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="BLAS threads.")] = 1,
    as_json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Measure how well a model finds people's moves, and solves puzzles."""
    screen = terminal(context, verbose=verbose, quiet=quiet, as_json=as_json)
    bound_blas(threads)
    from agentd.chess.model.bots import require_chess
    from agentd.errors import UsageError

    require_chess()
    from agentd.chess.model.model import load_bot

    if data is None and puzzles is None:
        raise UsageError("nothing to measure on", hint="give --data SHARDS, --puzzles FILE or both")
    bot = load_bot(model, rating)
    record: dict[str, Any] = {"model": str(model) if model else "shipped", **bot.about}
    if data is not None:
        record |= match_moves(screen, bot, data, rows, seed)
    if puzzles is not None:
        record |= solve_puzzles(screen, bot, puzzles, puzzle_count, depth, seed)
    screen.report(record, "")


def match_moves(
    screen: Terminal, bot: ChessModel, data: Path, rows: int | None, seed: int
) -> dict[str, Any]:
    """Print and return how often the model's move was the one played, rating by rating."""
    import numpy as np

    from agentd.cli.chess.train import open_folder
    from agentd.games.chess.data.batches import ChessRows
    from agentd.games.chess.play.measure import MoveTest, random_mover

    every = ChessRows(open_folder(data))
    index = np.arange(len(every))
    if rows is not None and rows < len(every):
        index = np.random.default_rng(seed).choice(len(every), rows, replace=False)
    positions: Positions = every.take(index)
    found = MoveTest(positions).measure(bot.policy, BANDS)
    chance = random_mover(positions[:: max(1, len(positions) // 5000)])
    if not screen.json:
        _print_matches(screen, found, chance)
    best = found[0]
    return {
        "positions": best.positions,
        "top1": best.top1,
        "top3": best.top3,
        "cross_entropy": best.cross_entropy,
        "legal_argmax": best.legal,
        "random_top1": chance.top1,
        "bands": {
            str(low): {"positions": band.positions, "top1": band.top1}
            for (low, _), band in zip(BANDS, found[1:], strict=True)
            if band.positions
        },
    }


def _print_matches(screen: Terminal, found: Sequence[MoveMatch], chance: MoveMatch) -> None:
    row = "{:<24} {:>9} {:>7} {:>7} {:>7} {:>7}".format
    screen.say(row("move match", "positions", "top-1", "top-3", "nats", "legal"))
    names = ["all", *(f"mover {low}-{high - 1}" for low, high in BANDS)]
    for name, each in [*zip(names, found, strict=True), ("random mover", chance)]:
        if each.positions:
            figures = (f"{each.top1:.2%}", f"{each.top3:.2%}", f"{each.cross_entropy:.3f}")
            screen.say(row(name, f"{each.positions:,}", *figures, f"{each.legal:.1%}"))
    screen.say(row("Maia-1500", "", "49.10%", "76.70%", "1.830", "") + f"  {MAIA[10:]}")


def solve_puzzles(
    screen: Terminal, bot: ChessModel, path: Path, count: int, depth: int, seed: int
) -> dict[str, Any]:
    """Print and return what share of puzzles the policy solves, and a search of ``depth``."""
    import chess

    from agentd.chess.data.puzzle_file import draw, read_pool
    from agentd.games.chess.data.puzzles import share_solved, solve, solve_by_policy
    from agentd.games.chess.search.search import Search
    from agentd.games.chess.search.settings import SearchSettings

    drawn = draw(read_pool(path), count, seed, path)
    alone = solve_by_policy(drawn, bot)
    search = Search(bot, SearchSettings(depth=depth, seed=seed))

    def choose(board: chess.Board) -> chess.Move | None:
        search.forget()
        return search.run(board).move

    searched = solve(drawn, choose)
    if not screen.json:
        _print_puzzles(screen, alone, searched, depth)
    return {
        "puzzles": len(drawn),
        "puzzles_policy": share_solved(alone),
        "puzzles_search": share_solved(searched),
        "puzzles_policy_mates": share_solved(alone, True),
        "puzzles_policy_others": share_solved(alone, False),
        "puzzles_search_mates": share_solved(searched, True),
        "puzzles_search_others": share_solved(searched, False),
        "search_depth": depth,
    }


def _print_puzzles(
    screen: Terminal, alone: Sequence[Solved], searched: Sequence[Solved], depth: int
) -> None:
    from agentd.games.chess.data.puzzles import share_solved

    row = "{:<24} {:>9} {:>9} {:>12}".format
    screen.say("")
    screen.say(row("puzzles", "puzzles", "policy", f"{depth}-ply search"))
    for mate, kind in ((False, "others"), (True, "mates")):
        for one, two in zip(alone, searched, strict=True):
            if one.mate == mate and one.total:
                shares = (f"{one.solved / one.total:.1%}", f"{two.solved / two.total:.1%}")
                screen.say(row(f"{kind} {one.band}-{one.band + 199}", one.total, *shares))
        shares = (f"{share_solved(alone, mate):.1%}", f"{share_solved(searched, mate):.1%}")
        screen.say(row(f"all {kind}", "", *shares))
    shares = (f"{share_solved(alone):.1%}", f"{share_solved(searched):.1%}")
    screen.say(row("all", "", *shares))
