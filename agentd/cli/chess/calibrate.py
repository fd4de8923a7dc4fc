"""``agentd chess calibrate``: the level at which the bot wins as often as it is wanted to."""

from typing import Annotated

import typer

from agentd.chess.play.match import MatchPlan, check_players, play_points
from agentd.chess.play.players import Side, parse_limit
from agentd.cli.chess.match import read_rival
from agentd.cli.chess.options import Against, Engine, EngineOptions, Limit, Model
from agentd.cli.screen.options import JsonScreen
from agentd.cli.strength import LevelSearch, report_marks


def calibrate_bot(
    out: JsonScreen,
    asked: LevelSearch,
    engine: Engine = None,
    option: EngineOptions = None,
    limit: Limit = "nodes=400",
    against: Against = None,
    model: Model = None,
    strength: Annotated[str, typer.Option(help="Ours, a move.")] = "nodes=400",
    max_plies: Annotated[int, typer.Option(min=1, help="Then it is a draw.")] = 400,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Games at once.")] = 2,
) -> None:
    """Find the level at which the bot wins a wanted share of the points against a rival.

    A draw is half a win. Openings are random ones, each played twice, colours swapped. The level is
    what `chess play`, `chess match` and the UCI option Level take, with the same limit as here.
    Each result is of games that the search has not seen, with its 95 % interval (Wilson's).
    """
    rival = read_rival(engine, option or [], limit, against)

    def plan(level: float | None, games: int, seed: int) -> MatchPlan:
        ours = Side(parse_limit(strength), model=model, level=level)
        return MatchPlan(ours, rival, games, seed, max_plies, "random")

    best = plan(None, asked.games, asked.seed)
    check_players(best)
    record = {"bot": best.ours.name, "rival": rival.name}

    def play(level: float, games: int, seed: int) -> list[float]:
        return play_points(plan(level, games, seed), jobs)

    report_marks(out, asked, play, record, "a larger --strength would do")
