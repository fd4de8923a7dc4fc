"""What the commands that calibrate a level share: their options, their marks, their report."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from agentd.cli.screen.terminal import Terminal
from agentd.errors import JobFailed, UsageError
from agentd.rl.strength import PlayGames, WinShare, calibrate


@dataclass(frozen=True)
class LevelSearch:
    """Which shares are looked for, and by how many games."""

    want: Annotated[
        list[float] | None,
        typer.Option(metavar="PERCENT", help="Share to be won; repeatable.", show_default="50"),
    ] = None
    probes: Annotated[int, typer.Option(min=1, max=100, help="Probes for each share.")] = 6
    probe_games: Annotated[int, typer.Option(min=10, max=10_000, help="Games of a probe.")] = 100
    games: Annotated[int, typer.Option(min=10, max=100_000, help="Games of a result.")] = 400
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of games and draws.")] = 0

    def __post_init__(self) -> None:
        for share in self.wanted:
            if not 1 <= share <= 99:
                raise UsageError(f"--want {share:g}: want a percentage from 1 to 99")

    @property
    def wanted(self) -> list[float]:
        """The shares, in percent."""
        return self.want or [50.0]


def report_marks(
    out: Terminal, asked: LevelSearch, play: PlayGames, record: dict[str, Any], best: str
) -> None:
    """Play probes and results, and report them with what ``record`` says.

    ``best`` tells how the player could become stronger than at level 100. Raises JobFailed, after
    the report, where no level wins a share.
    """
    wanted, found = asked.wanted, list[WinShare]()
    shares = [share / 100 for share in wanted]
    for mark in calibrate(play, shares, asked.probes, asked.probe_games, asked.games, asked.seed):
        found.append(mark)
        out.note(f"level {_shown(mark)}")
    results = list(zip(wanted, found[-len(wanted) :], strict=True))
    record["marks"] = [
        {
            "want": share,
            "level": mark.level,
            "won": round(100 * mark.share, 2),
            "low": round(100 * mark.interval[0], 2),
            "high": round(100 * mark.interval[1], 2),
            "games": mark.games,
        }
        for share, mark in results
    ]
    record |= {"interval": "Wilson, 95 %", "seed": asked.seed}
    out.report(record, "\n".join(f"{share:g} %: level {_shown(mark)}" for share, mark in results))
    for share, mark in results:
        if mark.unreachable(share / 100):
            weaker = "a stronger rival would do" if mark.level <= 0 else best
            raise JobFailed(f"no level wins {share:g} %: level {_shown(mark)}", hint=weaker)


def _shown(mark: WinShare) -> str:
    low, high = mark.interval
    return (
        f"{mark.level:g} wins {100 * mark.share:.1f} % "
        f"({100 * low:.1f} to {100 * high:.1f}, 95 %) of {mark.games} games"
    )
