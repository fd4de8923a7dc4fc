"""The live view of a run of Q-learning, and the pure functions that draw it.

In a terminal the view redraws itself; elsewhere it is one plain line every few seconds.
"""

from collections import deque
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agentd.cli.screen.curve import draw_curve, draw_spark
from agentd.cli.screen.numbers import clock, number
from agentd.cli.screen.picture import Picture
from agentd.cli.screen.terminal import Terminal
from agentd.rl.history import History, Reading

PLAIN_EVERY_S = 2.0
LOG_LINES = 3


def render(
    history: History, title: str, log: Sequence[str] = (), width: int = 80
) -> RenderableType:
    """Draw the view at ``width`` columns, under it the newest lines of ``log``."""
    now = history.readings[-1] if history.readings else None
    curve = draw_curve(history.curve, width=width - 4, height=8, x_label="environment steps")
    parts: list[RenderableType] = [Text("\n".join(curve), style="cyan")]
    if now is not None:
        parts.append(_numbers(history, now))
        parts.append(_progress(history, now))
        if now.too_slow:
            parts.append(Text(now.too_slow, style="yellow"))
    parts += [Text(line, style="dim") for line in log[-LOG_LINES:]]
    return Panel(Group(*parts), title=title, width=width, title_align="left")


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
    if now.updates_per_row == now.updates_per_row:
        table.add_row(
            *("upd/row", number(now.updates_per_row, ".2f")),
            *("possible/s", number(now.possible_updates_per_s, ",.0f")),
            *("owed", number(now.updates_owed, ",.0f")),
            *("gap", number(now.held_out_gap, ".3f")),
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
    live = ""
    if now.updates_per_row == now.updates_per_row:
        live = (
            f" updates_per_row={number(now.updates_per_row, '.2f')}"
            f" rows_per_s={number(now.rows_per_s, '.0f')}"
            f" possible_updates_per_s={number(now.possible_updates_per_s, '.0f')}"
            f" updates_owed={number(now.updates_owed, '.0f')}"
            f" held_out_gap={number(now.held_out_gap, '.3f')}"
        )
    return (
        f"steps={now.env_steps}/{history.total_steps} episodes={now.episodes} "
        f"return={number(now.return_mean)} greedy={number(now.greedy_mean)} "
        f"loss={number(now.loss, '.4f')} q={number(now.q_mean, '.2f')} "
        f"epsilon={number(now.epsilon, '.3f')} steps_per_s={number(now.steps_per_s, '.0f')} "
        f"p50_ms={number(now.p50_s * 1e3, '.2f')} p99_ms={number(now.p99_s * 1e3, '.2f')} "
        f"clients={now.clients} left={clock(history.left_s)}{live}"
    )


class RunView(Picture):
    """Shows a run: ``with RunView(terminal, title) as view: run_plan(plan, view)``."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        super().__init__(terminal)
        self._title = title
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._last_line_s = float("-inf")

    def update(self, history: History) -> None:
        """Show the newest reading."""
        now = history.readings[-1]
        if self.is_drawn:
            self.draw(render(history, self._title, list(self._log), self.width))
        elif now.elapsed_s - self._last_line_s >= PLAIN_EVERY_S:
            self._last_line_s = now.elapsed_s
            self._terminal.note(plain_line(history, now))

    def tell(self, line: str) -> None:
        """Show one event: in the view, or as a line of its own."""
        self._log.append(line)
        if not self.is_drawn:
            self._terminal.note(line)
