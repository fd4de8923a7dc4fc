"""``agentd rl eval``, and the greedy evaluation that training uses too."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.options import Json, Quiet, Verbose, terminal
from agentd.errors import MissingInput, UsageError

MAX_STREAMS = 32
RETRY_S = 2.0  # a daemon of our own that stays away for longer has failed


@dataclass(frozen=True)
class Greedy:
    """Returns of episodes played without exploration."""

    returns: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean return; NaN of no episodes."""
        return sum(self.returns) / len(self.returns) if self.returns else math.nan

    @property
    def std(self) -> float:
        """Population standard deviation of the returns."""
        mean = self.mean
        spread = sum((value - mean) ** 2 for value in self.returns)
        return math.sqrt(spread / len(self.returns)) if self.returns else math.nan

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.std:.1f} over {len(self.returns)} episodes"


def evaluate(
    context: typer.Context,
    data_dir: Annotated[Path, typer.Option(help="Where the agent is kept.")],
    agent: Annotated[str, typer.Option(help="Its name.")],
    preset: Annotated[
        str | None, typer.Option(help="Play this preset's game.", show_default=False)
    ] = None,
    game: Annotated[
        str | None,
        typer.Option("--env", help="Play this game, or gym:<id>.", show_default=False),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the game.")] = 0,
    as_json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Play an agent of a data directory greedily and print its mean return."""
    out = terminal(context, verbose=verbose, quiet=quiet, as_json=as_json)
    from agentd.cli.daemon import Daemon
    from agentd.cli.playing import check_game

    name = _game(preset, game)
    check_game(name)
    if not (data_dir / "agents" / agent).is_dir():
        known = sorted(p.name for p in (data_dir / "agents").glob("[!.]*") if p.is_dir())
        hint = f"there are {', '.join(known)}" if known else "no agent is kept there"
        raise MissingInput(f"no agent {agent!r} in {data_dir}", hint=hint)
    with Daemon(data_dir) as daemon:
        found = play_greedily((daemon.host, daemon.port), agent, name, episodes, seed)
    record = {
        "agent": agent,
        "env": name,
        "greedy_mean": round(found.mean, 4),
        "greedy_std": round(found.std, 4),
        "episodes": len(found.returns),
        "seed": seed,
    }
    out.report(record, f"greedy return {found}")


def play_greedily(
    address: tuple[str, int], agent: str, game: str, episodes: int, seed: int
) -> Greedy:
    """Play ``episodes`` episodes with role eval; nothing of them is learned."""
    from agentd.cli.playing import open_game
    from agentd.client import rollout

    table = open_game(game, min(episodes, MAX_STREAMS), seed)
    with rollout.join(address, agent, table, role="eval", retry_for=RETRY_S) as client:
        found = rollout.evaluate(client, table, episodes)
    return Greedy(tuple(float(total) for total in found.totals))


def _game(preset: str | None, game: str | None) -> str:
    """The game that the flags name. Raises UsageError unless exactly one of them does."""
    if (preset is None) == (game is None):
        raise UsageError("name the game: --preset NAME or --env GAME")
    if game is not None:
        return game
    from agentd.config import load_preset

    assert preset is not None
    return load_preset(preset).play.game
