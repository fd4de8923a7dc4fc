"""``agentd chess train``: shards of positions to networks, resumable at any moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agentd.chess.data.shards import held_out
from agentd.chess.model.fit import ChessFit, Figures, FitRequest, Rounds, begin_run
from agentd.chess.model.recipe import ChessRecipe, load_recipe
from agentd.chess.model.sources import open_sources
from agentd.cli.chess.options import Threads
from agentd.cli.cluster.options import AverageEvery, Members, RayFlags
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.interrupts import Interrupts

Shards = Annotated[Path, typer.Option("--train", help="Shards to learn from.")]
Recipe = Annotated[str, typer.Argument(help="A bundled recipe, or a YAML file.")]
Out = Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/<recipe>")]
Lessons = Annotated[
    Path | None, typer.Option(help="The folder of `chess lessons`.", show_default=False)
]
Init = Annotated[
    Path | None,
    typer.Option(help="A model file or run to begin with.", show_default="drawn weights"),
]
Minutes = Annotated[float | None, typer.Option(min=0, help="Stop, saved, after so long.")]
Held = Annotated[
    Path | None, typer.Option("--dev", help="Shards to measure on.", show_default=False)
]


def train(
    screen: JsonScreen,
    cluster: RayFlags,
    shards: Shards,
    recipe: Recipe = "chess-small",
    held: Held = None,
    lessons: Lessons = None,
    init: Init = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in all.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Positions of a step.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights and shuffling.")] = None,
    minutes: Minutes = None,
    every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 2000,
    held_rows: Annotated[int, typer.Option(min=1, help="Positions to measure on.")] = 10_000,
    device: Annotated[str, typer.Option(help="cpu, opencl or opencl:<i or name>.")] = "cpu",
    threads: Threads = 1,
    members: Members = None,
    average_every: AverageEvery = None,
) -> None:
    """Train a chess model on prepared positions.

    Ctrl-C saves and stops; --resume goes on exactly there, and may change --steps. With --ray,
    --members train on a cluster, each on batches of its own, and every so many steps all go on from
    the average of what they have become.
    """
    flags = {"steps": steps, "batch": batch, "seed": seed}
    given = {name: value for name, value in flags.items() if value is not None}
    asked = msgspec.structs.replace(load_recipe(recipe), **given)
    request = FitRequest(
        run=out or Path("runs") / Path(recipe).stem,
        recipe=asked,
        held=None if held is None else held_out(held, held_rows),
        sources=open_sources(asked, shards, lessons, init),
        every=every,
        until_s=None if minutes is None else minutes * 60,
        device=device,
        members=cluster.members(members, average_every),
    )
    begin_run(request, resume)
    fit = ChessFit(request)
    interrupts = Interrupts()
    with fit.lock(), _rounds(screen, cluster, fit, shards, lessons) as rounds, interrupts.trapped():
        if fit.resume():
            screen.note(f"goes on from step {fit.step:,} of {request.run}")
        last = fit.run(interrupts, lambda figures: screen.note(_line(figures, asked)), rounds)
    record: dict[str, Any] = {"run": str(request.run), "steps": fit.step}
    record |= {"seconds": round(fit.seconds, 1)} | ({} if last is None else last.record())
    screen.report(record, f"{fit.step:,} steps in {fit.seconds / 60:.1f} min: {request.run}")


@contextmanager
def _rounds(
    screen: Terminal, flags: RayFlags, fit: ChessFit, shards: Path, lessons: Path | None
) -> Iterator[Rounds | None]:
    """Members on a cluster where it is asked for; None for steps that are taken here."""
    if fit.request.members is None:
        yield None
        return
    from agentd.cluster.averaging import RayCrew
    from agentd.cluster.chess_members import ChessMember, ChessRounds, chess_plans

    members, every = fit.request.members
    with flags.connect(screen, members) as cluster:
        plans = chess_plans(fit, shards, lessons, members)
        yield ChessRounds(RayCrew(cluster, plans, ChessMember), every)


def _line(figures: Figures, recipe: ChessRecipe) -> str:
    """The figures of one measurement, for a person."""
    words = [f"step {figures.step:,} of {recipe.steps:,}", f"{figures.positions / 1e6:.2f}M seen"]
    words += [f"{head} loss {loss:.3f}" for head, loss in figures.loss.items()]
    if figures.match is not None:
        found = figures.match
        words.append(
            f"dev top-1 {found.top1:.2%}, top-3 {found.top3:.2%}, {found.cross_entropy:.3f} nats, "
            f"legal {found.legal:.1%}"
        )
    if figures.value_loss is not None:
        words.append(f"dev value {figures.value_loss:.4f}")
    words.append(f"{figures.rate:,.0f} positions/s, {figures.wait:.1%} waiting")
    return " · ".join(words)
