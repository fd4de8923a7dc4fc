"""``agentd chess match``: games against an engine or another model, with a score and an error bar.

Adjudication: games end by the rules alone. Mate decides; stalemate, bare kings and the like are
draws, threefold repetition and fifty moves are claimed as soon as they may be; nobody resigns.
After --max-plies half-moves a game is a draw. A player that crashes, times out or answers
illegally loses this game, and is started anew for the next one; too many such games fail the match.
"""

from pathlib import Path
from typing import Annotated

import typer

from agentd.chess.play.level import check_no_other_variety
from agentd.chess.play.match import Ledger, MatchPlan, check_players, load_openings, play_match
from agentd.chess.play.players import Side, parse_limit
from agentd.cli.chess.options import Against, Engine, EngineOptions, Limit, Model
from agentd.cli.screen.options import JsonScreen, Level
from agentd.cli.screen.terminal import Terminal
from agentd.errors import UsageError
from agentd.games.chess.play.elo import MatchScore


def match(
    screen: JsonScreen,
    out: Annotated[Path, typer.Option(help="Folder of the match; goes on with what is there.")],
    engine: Engine = None,
    option: EngineOptions = None,
    limit: Limit = "nodes=2000",
    against: Against = None,
    model: Model = None,
    strength: Annotated[str, typer.Option(help="Ours, a move.")] = "nodes=400",
    rating: Annotated[
        int | None, typer.Option(help="Rating our model imitates.", min=1, show_default=False)
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="How varied ours plays.")] = 0.0,
    level: Level = None,
    games: Annotated[int, typer.Option(min=1, max=100_000, help="How many.")] = 200,
    openings: Annotated[
        Path | None,
        typer.Option(help="EPD list, also .gz or .zip.", show_default="random ones"),
    ] = None,
    max_plies: Annotated[int, typer.Option(min=1, help="Then it is a draw.")] = 400,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Games at once.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of openings and draws.")] = 0,
) -> None:
    """Play a match: each opening twice, colours swapped. Kept as PGN; a killed match goes on."""
    rival = read_rival(engine, option or [], limit, against)
    check_no_other_variety(level, rating, temperature)
    ours = Side(parse_limit(strength), None, {}, model, rating, temperature, level)
    source, positions = load_openings(openings, (games + 1) // 2, seed)
    plan = MatchPlan(ours, rival, games, seed, max_plies, source)
    check_players(plan)
    _play(screen, positions, Ledger(out, plan), jobs)


def read_rival(engine: str | None, option: list[str], limit: str, against: str | None) -> Side:
    """Return who plays against ours. Raises UsageError where that is not clear."""
    if (engine is None) == (against is None):
        raise UsageError("a match needs a rival", hint="give either --engine or --against")
    if against is not None and option:
        raise UsageError("--option is for an engine", hint="leave it out, or give --engine")
    options = {}
    for text in option:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--option {text!r}: expected NAME=VALUE")
        options[name.strip()] = value.strip()
    return Side(parse_limit(limit), engine=engine, options=options, model=against)


def _play(screen: Terminal, positions: list[str], ledger: Ledger, jobs: int) -> None:
    plan = ledger.plan
    if ledger.games:
        screen.note(f"going on after {len(ledger.games)} of {plan.games} games")
    try:
        for game in play_match(positions, ledger, jobs):
            screen.note(
                f"{len(ledger.games)}/{plan.games}  game {game.game + 1}"
                f" ({'White' if game.white else 'Black'}): {game.result} {game.reason},"
                f" {len(game.moves)} plies  {_shown(ledger.score)}"
            )
    finally:
        pgn = ledger.write_pgn()
    record = ledger.record() | {"pgn": str(pgn)}
    elo, low, high = ledger.score.elo
    screen.report(
        record,
        f"{plan.ours.name} against {plan.rival.name}\n{_shown(ledger.score)}\n"
        f"Elo {elo:+.0f} ({low:+.0f} to {high:+.0f}, 95 %)\n"
        f"{_forfeits(ledger)}"
        f"{record['seconds_per_move']:.3f} s a move, at most {record['slowest_move']:.3f} s\n"
        f"{pgn}",
    )


def _forfeits(ledger: Ledger) -> str:
    """A line on the games that a player's failure decided; nothing where there are none."""
    failed = ledger.forfeits()
    return f"{len(failed)} forfeited: {failed[-1].reason}\n" if failed else ""


def _shown(found: MatchScore) -> str:
    return (
        f"+{found.wins} ={found.draws} -{found.losses}"
        f"  {100 * found.score:.1f} % ± {100 * found.error:.1f}"
    )
