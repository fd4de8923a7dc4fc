"""The live view of a running agent: what it knows, and a pure function that draws it.

In a terminal the view redraws itself; elsewhere it is one plain line every few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agentd.cli.screen.curve import draw_curve, draw_spark
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal

PLAIN_EVERY_S = 2.0
HISTORY = 4096


@dataclass(frozen=True)
class Reading:
    """One look at the agent. Times in seconds; NaN for what is not known yet."""

    elapsed_s: float
    env_steps: int
    episodes: int
    return_mean: float  # of the last episodes, exploration included
    greedy_mean: float  # of the last evaluation
    loss: float
    q_mean: float
    epsilon: float
    updates: int
    version: int
    steps_per_s: float
    p50_s: float  # from a step frame's arrival to its answer
    p99_s: float
    clients: int


@dataclass
class History:
    """The readings of one run, thinned out so that a long run stays small."""

    title: str
    total_steps: int
    solved: float | None = None
    readings: list[Reading] = field(default_factory=list)
    greedy: list[tuple[float, float]] = field(default_factory=list)  # (env steps, mean return)
    log: list[str] = field(default_factory=list)

    def add(self, reading: Reading) -> None:
        """Append a reading; every second of the older ones goes when there are too many."""
        self.readings.append(reading)
        if len(self.readings) > HISTORY:
            self.readings[: HISTORY // 2] = self.readings[: HISTORY // 2 : 2]

    def note_greedy(self, steps: int, mean: float) -> None:
        """Remember the mean return of an evaluation."""
        self.greedy.append((float(steps), mean))

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(env steps, mean return) of the readings that had a return."""
        known = [r for r in self.readings if r.return_mean == r.return_mean]
        return [(float(r.env_steps), r.return_mean) for r in known]

    @property
    def left_s(self) -> float:
        """Seconds to the last step at the present speed; NaN before there is one."""
        if not self.readings or self.readings[-1].steps_per_s <= 0:
            return float("nan")
        last = self.readings[-1]
        return max(0.0, (self.total_steps - last.env_steps) / last.steps_per_s)


def number(value: float, form: str = ",.1f") -> str:
    """``value`` in ``form``, or a dash for one that is not known."""
    return format(value, form) if value == value else "–"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or a dash."""
    if seconds != seconds:
        return "–"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def render(history: History, width: int = 80) -> RenderableType:
    """Draw the view at ``width`` columns."""
    now = history.readings[-1] if history.readings else None
    curve = draw_curve(history.curve, width=width - 4, height=8, x_label="environment steps")
    parts: list[RenderableType] = [Text("\n".join(curve), style="cyan")]
    if now is not None:
        parts.append(_numbers(history, now))
        parts.append(_progress(history, now))
    parts += [Text(line, style="dim") for line in history.log[-3:]]
    return Panel(Group(*parts), title=history.title, width=width, title_align="left")


def _numbers(history: History, now: Reading) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    for _ in range(4):
        table.add_column(justify="left", style="dim")
        table.add_column(justify="right", style="bold")
    table.add_row(
        *("return", number(now.return_mean)),
        *("greedy", number(now.greedy_mean)),
        *("loss", number(now.loss, ".4f")),
        *("Q", number(now.q_mean, ".2f")),
    )
    table.add_row(
        *("ε", number(now.epsilon, ".3f")),
        *("steps/s", number(now.steps_per_s, ",.0f")),
        *("act p50", number(now.p50_s * 1e3, ".2f") + " ms"),
        *("act p99", number(now.p99_s * 1e3, ".2f") + " ms"),
    )
    table.add_row(
        *("episodes", f"{now.episodes:,}"),
        *("updates", f"{now.updates:,}"),
        *("clients", str(now.clients)),
        *("speed", draw_spark([r.steps_per_s for r in history.readings], 10)),
    )
    return table


def _progress(history: History, now: Reading) -> Table:
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column(justify="right")
    done = min(now.env_steps, history.total_steps)
    steps = f"{now.env_steps:,}/{history.total_steps:,}"
    row.add_row(
        ProgressBar(total=history.total_steps, completed=done),
        Text(f"{steps}  {clock(now.elapsed_s)} gone, {clock(history.left_s)} left"),
    )
    return row


def plain_line(history: History, now: Reading) -> str:
    """The view as one ``key=value`` line, for logs and pipes."""
    return (
        f"steps={now.env_steps}/{history.total_steps} episodes={now.episodes} "
        f"return={number(now.return_mean)} greedy={number(now.greedy_mean)} "
        f"loss={number(now.loss, '.4f')} q={number(now.q_mean, '.2f')} "
        f"epsilon={number(now.epsilon, '.3f')} steps_per_s={number(now.steps_per_s, '.0f')} "
        f"p50_ms={number(now.p50_s * 1e3, '.2f')} p99_ms={number(now.p99_s * 1e3, '.2f')} "
        f"clients={now.clients} left={clock(history.left_s)}"
    )


class View(Picture):
    """Shows a ``History`` as it grows: ``with View(terminal, history) as view: view.update()``."""

    def __init__(self, terminal: Terminal, history: History) -> None:
        super().__init__(terminal)
        self._history = history
        self._last_line_s = float("-inf")

    def update(self) -> None:
        """Show the newest reading."""
        if not self._history.readings:
            return
        now = self._history.readings[-1]
        if self.is_drawn:
            self.draw(render(self._history, self.width))
        elif now.elapsed_s - self._last_line_s >= PLAIN_EVERY_S:
            self._last_line_s = now.elapsed_s
            self._terminal.note(plain_line(self._history, now))

    def tell(self, line: str) -> None:
        """Show one event: in the view, or as a line of its own."""
        self._history.log.append(line)
        if not self.is_drawn:
            self._terminal.note(line)
