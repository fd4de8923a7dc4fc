"""``agentd rl eval``: how well an agent of a data directory plays."""

from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.rl.environment import EnvArg, MaxEpisodeSteps, read_arguments
from agentd.cli.screen.options import JsonScreen
from agentd.config import load_preset
from agentd.errors import MissingInput, UsageError
from agentd.rl.daemon import Daemon
from agentd.rl.evaluation import GreedyPlayer
from agentd.rl.games import LONGEST, check_game
from agentd.rl.tasks import Evaluate, GameSource


def evaluate(
    out: JsonScreen,
    data_dir: Annotated[Path, typer.Option(help="Where the agent is kept.")],
    agent: Annotated[str, typer.Option(help="Its name.")],
    preset: Annotated[
        str | None, typer.Option(help="Play this preset's game.", show_default=False)
    ] = None,
    game: Annotated[
        str | None,
        typer.Option("--env", help="Play this game, gym:<id> or module:<id>.", show_default=False),
    ] = None,
    env_arg: EnvArg = None,
    max_episode_steps: MaxEpisodeSteps = None,
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the game.")] = 0,
) -> None:
    """Play an agent of a data directory greedily and print what it gets.

    Episodes of their own, on ``--seed``; nothing of them is learned. The interval is the 95 %
    bootstrap interval of the interquartile mean (IQM).
    """
    name = _game(preset, game)
    source = GameSource(name, read_arguments(env_arg or ()), max_episode_steps)
    check_game(source)
    if not (data_dir / "agents" / agent).is_dir():
        known = sorted(p.name for p in (data_dir / "agents").glob("[!.]*") if p.is_dir())
        hint = f"there are {', '.join(known)}" if known else "no agent is kept there"
        raise MissingInput(f"no agent {agent!r} in {data_dir}", hint=hint)
    with GreedyPlayer(out.note) as evaluator:
        looks = evaluator.look(source)
        if looks.time_limit is None:
            out.note(f"{name} has no time limit: episodes are cut off at {LONGEST:,} steps")
        with Daemon(data_dir) as daemon:
            task = Evaluate(daemon.host, daemon.port, agent, source, episodes, seed)
            found = evaluator.play(task)
    record = {
        "agent": agent,
        "env": name,
        **found.record,
        "episodes": len(found.values),
        "returns": list(found.values),
        "seed": seed,
    }
    out.report(record, f"greedy return {found}\n{found.explain()}")


def _game(preset: str | None, game: str | None) -> str:
    """The game that the flags name. Raises UsageError unless exactly one of them does."""
    if (preset is None) == (game is None):
        raise UsageError("name the game: --preset NAME or --env GAME")
    if game is not None:
        return game
    assert preset is not None
    play = load_preset(preset).play
    return play.evaluation or play.game
