"""``agentd rl eval``: how well an agent of a data directory plays."""

from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.rl.environment import EnvArg, MaxEpisodeSteps, read_arguments
from agentd.cli.screen.options import JsonScreen, Level
from agentd.cli.screen.terminal import Terminal
from agentd.config import load_preset
from agentd.errors import UsageError
from agentd.protocol.messages import MAX_LEVEL
from agentd.rl.client_eval import ADDRESS, play_client
from agentd.rl.daemon import Daemon
from agentd.rl.evaluation import GreedyPlayer
from agentd.rl.frozen_copy import FrozenCopy, agent_folder, frozen_copy
from agentd.rl.games import LONGEST, check_game
from agentd.rl.lookahead import MOST_PLIES, check_search, learned_values, play_ahead
from agentd.rl.scores import Scores
from agentd.rl.tasks import Evaluate, GameSource
from agentd.rl.trace import append_evaluation


def evaluate(
    out: JsonScreen,
    data_dir: Annotated[Path, typer.Option(help="Where the agent is kept.")],
    agent: Annotated[str, typer.Option(help="Its name.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND ...]",
            help=f"Starts a client that plays the agent; {ADDRESS} in it becomes HOST:PORT.",
            show_default=False,
        ),
    ] = None,
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
    search: Annotated[
        int,
        typer.Option(min=0, max=MOST_PLIES, help="Moves to look ahead in a game of two players."),
    ] = 0,
    level: Level = None,
) -> None:
    """Play an agent of a data directory greedily and print what it gets.

    Plays a copy of its newest checkpoint, so that a daemon may run there meanwhile; nothing is
    learned. The game is one of ours, on ``--seed``, or a client of any language. With ``--search``
    the agent looks so many moves ahead: wins and losses are exact, and what it learned counts after
    the last. With ``--level`` it plays weaker: actions near the best one, drawn by ``--seed``. `rl
    compare` knows the result of what was played with neither. The interval is the 95 % bootstrap
    interval of the interquartile mean (IQM).
    """
    name = _game(preset, game, command)
    if command and level is not None:
        raise UsageError("--level: a client says its level itself, as `level` of its hello")
    source = GameSource(name, read_arguments(env_arg or ()), max_episode_steps)
    if not command:
        check_game(source)
    if search:
        check_search(name)
    folder = agent_folder(data_dir, agent)
    with frozen_copy(folder) as copy:
        if search:
            at = MAX_LEVEL if level is None else level
            found = play_ahead(learned_values(copy), name, episodes, seed, search, at)
        elif command:
            found = play_client(copy, command, episodes, out.note)
        else:
            found = _play_game(out, copy, source, episodes, seed, level)
        if not search and level is None:
            append_evaluation(folder, found, copy.steps)
    record = {
        "agent": agent,
        "env": name,
        **found.record,
        "episodes": len(found.values),
        "returns": list(found.values),
        "seed": None if command else seed,
        "checkpoint": copy.checkpoint,
        **({"search": search} if search else {}),
        **({} if level is None else {"level": level}),
    }
    what = "greedy return" if level is None else f"return at level {level:g}"
    out.report(record, f"{what} {found}\n{found.explain()}")


def _play_game(
    out: Terminal,
    copy: FrozenCopy,
    source: GameSource,
    episodes: int,
    seed: int,
    level: float | None,
) -> Scores:
    """The returns of a game of ours, or of Gymnasium's."""
    with GreedyPlayer(out.note) as evaluator:
        looks = evaluator.look(source)
        if looks.time_limit is None:
            out.note(f"{source.name} has no time limit: episodes are cut off at {LONGEST:,} steps")
        with Daemon(copy.data_dir) as daemon:
            where = (daemon.host, daemon.port, copy.agent.name)
            return evaluator.play(Evaluate(*where, source, episodes, seed, level=level))


def _game(preset: str | None, game: str | None, command: list[str] | None) -> str:
    """What the flags name to play. Raises UsageError unless exactly one of them does."""
    if sum(bool(way) for way in (preset, game, command)) != 1:
        raise UsageError("name the game: --preset NAME or --env GAME, or a client: -- COMMAND")
    if command:
        return command[0]
    if game is not None:
        return game
    assert preset is not None
    play = load_preset(preset).play
    return play.evaluation or play.game
