"""``agentd rl calibrate``: the level at which an agent wins as often as it is wanted to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.cli.strength import LevelSearch, report_marks
from agentd.errors import MissingInput, UsageError
from agentd.games import GAMES, Against, make
from agentd.rl.daemon import Daemon
from agentd.rl.evaluation import GreedyPlayer
from agentd.rl.frozen_copy import FrozenCopy, agent_folder, frozen_copy
from agentd.rl.lookahead import MOST_PLIES, check_search, learned_values, play_ahead
from agentd.rl.strength import PlayGames, points_of
from agentd.rl.tasks import Evaluate, GameSource


def calibrate_agent(
    out: JsonScreen,
    data_dir: Annotated[Path, typer.Option(help="Where the agent is kept.")],
    agent: Annotated[str, typer.Option(help="Its name.")],
    game: Annotated[str, typer.Option("--env", help="A game of ours against a player of ours.")],
    asked: LevelSearch,
    search: Annotated[
        int, typer.Option(min=0, max=MOST_PLIES, help="Moves to look ahead, as in `rl eval`.")
    ] = 0,
) -> None:
    """Find the level at which an agent wins a wanted share of its games against a rival.

    The rival is the player whom the game seats opposite the agent. A draw is half a win. The level
    is what `rl eval --level` takes, and a client in its hello. Each result is of games that the
    search has not seen, with its 95 % interval (Wilson's). For chess: `agentd chess calibrate`.
    """
    _check_rival(game)
    if search:
        check_search(game)
    with (
        frozen_copy(agent_folder(data_dir, agent)) as copy,
        _table(out, copy, game, search) as play,
    ):
        record = {"agent": agent, "env": game, "checkpoint": copy.checkpoint, "search": search}
        report_marks(out, asked, play, record, "looking further ahead would do (--search)")


@contextmanager
def _table(out: Terminal, copy: FrozenCopy, game: str, search: int) -> Iterator[PlayGames]:
    """Where games of an agent are played: here where it looks ahead, else over TCP."""
    if search:
        values = learned_values(copy)
        yield lambda level, games, seed: points_of(
            play_ahead(values, game, games, seed, search, level).values
        )
        return
    with GreedyPlayer(out.note) as player, Daemon(copy.data_dir) as daemon:
        where = (daemon.host, daemon.port, copy.agent.name, GameSource(game))
        yield lambda level, games, seed: points_of(
            player.play(Evaluate(*where, games, seed, level=level)).values
        )


def _check_rival(game: str) -> None:
    """Raise MissingInput or UsageError unless the game seats a player of ours."""
    able = [name for name in GAMES if isinstance(make(name, 1, 0), Against)]
    if game not in able:
        kind = UsageError if game in GAMES else MissingInput
        raise kind(f"--env {game}: no game against a rival", hint=f"there are {', '.join(able)}")
