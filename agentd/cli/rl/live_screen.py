"""What a person sees of a live run: the game's picture beside how well it is played.

In a terminal the picture moves; elsewhere there is one plain line every few seconds.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import zip_longest

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.keys import Keys
from agentd.cli.screen.numbers import clock, number
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal
from agentd.games.pictures import WIDEST
from agentd.rl.live import LiveProgress
from agentd.rl.tasks import Steer

PLAIN_EVERY_S = 3.0
LOG_LINES = 2
BESIDE = 34  # columns at least of what stands beside the picture; else it goes under it
BINS = 60  # points of a curve
NAN = float("nan")

Points = Sequence[tuple[float, float]]


def draw_live(
    now: LiveProgress, title: str, log: Sequence[str] = (), hint: str = "", width: int = 80
) -> RenderableType:
    """Draw the view at ``width`` columns, under it the newest lines of ``log`` and a ``hint``."""
    scene = now.scene
    style = "bold yellow" if scene is not None and scene.taken else "bold green"
    room = width - WIDEST - 6
    stacked = room < BESIDE
    points = binned(now.curve)
    curve = draw_curve(points, width=width - 4 if stacked else room, height=7, x_label="s")
    drawn, figures = [Text(line, "cyan") for line in curve], _figures(now)
    picture = scene.picture if scene else []
    if stacked:
        lines = [Text(line, style) for line in picture] + figures + drawn
    else:
        lines = [
            Text.assemble((f"{left:<{WIDEST + 2}}", style), right)
            for left, right in zip_longest(picture, drawn + figures, fillvalue="")
        ]
    lines += [Text(line, style) for line in hint.splitlines()]
    lines += [Text(line, "dim") for line in log[-LOG_LINES:]]
    text = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
    parts: list[RenderableType] = [text]
    if now.plan.seconds is not None:
        parts.append(_progress(now, now.plan.seconds))
    return Panel(Group(*parts), title=title, width=width, title_align="left")


def binned(points: Points, bins: int = BINS) -> list[tuple[float, float]]:
    """``points`` (x, y), x ascending from 0, as at most ``bins`` means over equal parts of x."""
    if len(points) <= bins:
        return list(points)
    data = np.array(points)
    part = np.minimum((data[:, 0] / data[-1, 0] * bins).astype(int), bins - 1)
    count = np.bincount(part)
    sums = [np.bincount(part, column) for column in data.T]
    return [(x / n, y / n) for x, y, n in zip(*sums, count, strict=True) if n]


def _figures(now: LiveProgress) -> list[Text]:
    """Two figures a line."""
    scene = now.scene
    late, p99, longest = (scene.late, scene.p99_s, scene.longest_s) if scene else (0, NAN, NAN)
    rows = (
        ("mean of 10", number(now.mean), "best", number(now.best)),
        ("episodes", f"{len(now.curve):,}", "ε", number(now.epsilon, ".2f")),
        ("updates", f"{now.updates:,}", "a row", number(now.updates_per_row, ".1f")),
        ("frames", f"{scene.frames if scene else 0:,}", "late", f"{late:,}"),
        ("p99", _milliseconds(p99), "longest", _milliseconds(longest)),
    )
    red = "bold red" if late else "bold green"
    return [
        Text.assemble(
            (f"{name:<10}", "dim"),
            (f"{value:>8}", "bold"),
            (f" {other:<7}", "dim"),
            (f"{figure:>8}", red if other == "late" else "bold"),
        )
        for name, value, other, figure in rows
    ]


def _milliseconds(seconds: float) -> str:
    return number(seconds * 1e3, ".1f" if seconds < 0.1 else ".0f") + " ms"


def _progress(now: LiveProgress, seconds: float) -> Table:
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    gone = min(now.elapsed_s, seconds)
    row.add_row(
        ProgressBar(total=seconds, completed=gone), Text(f"{clock(gone)} of {clock(seconds)}")
    )
    return row


def live_line(now: LiveProgress) -> str:
    """The view as one ``key=value`` line, for logs and pipes."""
    scene = now.scene
    frames, late = (scene.frames, scene.late) if scene else (0, 0)
    p99 = number(scene.p99_s * 1e3, ".2f") if scene else number(float("nan"))
    return (
        f"seconds={now.elapsed_s:.0f} frames={frames} late={late} p99_ms={p99} "
        f"episodes={len(now.curve)} return={number(now.mean)} best={number(now.best)} "
        f"epsilon={number(now.epsilon, '.3f')} updates={now.updates} "
        f"updates_per_row={number(now.updates_per_row, '.1f')}"
    )


class LiveView(Picture):
    """Shows a live run to a person, and takes the keys: an ``agentd.rl.live.Audience``."""

    def __init__(self, terminal: Terminal, title: str, keys: Keys, hint: str = "") -> None:
        super().__init__(terminal)
        self._title, self._keys, self._hint = title, keys, hint
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._last_line_s = 0.0
        self._shown: object = None

    def update(self, now: LiveProgress) -> None:
        """Show the newest picture, unless it is shown already."""
        if self.is_drawn:
            if now.scene is not self._shown:
                self._shown = now.scene
                self.draw(draw_live(now, self._title, list(self._log), self._hint, self.width))
        elif now.elapsed_s - self._last_line_s >= PLAIN_EVERY_S:
            self._last_line_s = now.elapsed_s
            self._terminal.note(live_line(now))

    def tell(self, line: str) -> None:
        """Show one event: in the view, or as a line of its own."""
        self._log.append(line)
        if not self.is_drawn:
            self._terminal.note(line)

    def pressed(self) -> list[str]:
        """The keys since the last look."""
        return self._keys.read()

    def steers(self) -> Iterable[Steer] | None:
        """None once q was pressed."""
        return None if "q" in self.pressed() else ()
