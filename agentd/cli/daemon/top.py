"""``agentd top``: how a running daemon does, read by the `stats` verb over its game port.

Drawing is a pure function of two readings of ``stats``; rates come from their difference. Curves of
the return grow with each reading, where there is room below.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.numbers import number
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.client import Client

RETRY_S = 2.0
UNBOUNDED = 10_000  # columns of what nobody watches: a file has room
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """One answer of `stats`, and when it came (seconds, monotonic)."""

    at: float
    server: Figures
    agents: Mapping[str, Figures]


def top(
    out: JsonScreen,
    address: Annotated[str, typer.Argument(help="The daemon's game port.")] = "127.0.0.1:7331",
    every: Annotated[float, typer.Option(min=0.1, max=3600.0, help="Seconds a reading.")] = 1.0,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="AGENTD_TOKEN", help="A token with grant admin, if asked.", show_default=False
        ),
    ] = None,
) -> None:
    """Show connections, rates, latencies, queues and learning of a running daemon until Ctrl-C.

    Where nobody watches (a pipe, --json) it reads once and ends.
    """
    with Client.connect(address, role="admin", token=token, wait=RETRY_S) as admin:

        def read() -> Sample:
            reply = admin.stats()
            return Sample(time.monotonic(), reply.server, reply.agents)

        if out.live:
            _watch(out, read, every)
            return
        sample = read()
        if out.json:
            out.report({"server": sample.server, "agents": sample.agents}, "")
            return
        console = Console(file=out.out, width=UNBOUNDED, no_color=True)
        console.print(render(sample, None, address))


def _watch(out: Terminal, read: Callable[[], Sample], every: float) -> None:
    before: Sample | None = None
    console, curves = Console(file=out.out), Curves()
    live = Live(console=console, auto_refresh=False, screen=True)
    with contextlib.suppress(KeyboardInterrupt), live as view:
        while True:
            now = read()
            curves.add(now)
            drawn = render(now, before, "", console.width)
            left = console.height - len(console.render_lines(drawn))
            view.update(Group(drawn, *curves.draw(console.width, left)), refresh=True)
            before = now
            time.sleep(every)


def render(
    now: Sample, before: Sample | None, title: str, width: int = UNBOUNDED
) -> RenderableType:
    """Draw ``now`` in ``width`` columns; rates a second since ``before``, a dash without it.

    Where there is no room for all of the table, whole columns are left out: see ``COLUMNS``.
    """
    server = now.server
    head = (
        f"connections {_whole(server, 'connections')}   accepted {_whole(server, 'accepted')}"
        f"   refusals {_whole(server, 'refusals')}"
        f"   queued {_whole(server, 'queued_frames')} frames"
        f"\nact p50 {_ms(server, 'act_p50_ms')}  p99 {_ms(server, 'act_p99_ms')}"
        f"  p99.9 {_ms(server, 'act_p999_ms')}   loop lag p50 {_ms(server, 'loop_lag_p50_ms')}"
        f"  p99 {_ms(server, 'loop_lag_p99_ms')}"
    )
    rows = []
    for name, agent in sorted(now.agents.items()):
        rates = {key: _rate(now, before, name, key) for key in ("frames", "rows", "updates")}
        rows.append((name, *_cells(agent, rates), str(agent.get("state", "-"))))
    shown = fitting([(column, *cells) for column, *cells in zip(HEADS, *rows, strict=True)], width)
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for at in shown:
        first = at == 0
        table.add_column(
            HEADS[at], justify="left" if first else "right", no_wrap=not first, overflow="fold"
        )
    for row in rows:
        table.add_row(*(row[at] for at in shown))
    parts: list[RenderableType] = [Text(f"agentd {title}".strip(), style="bold"), Text(head)]
    parts.append(table if now.agents else Text("no agent is in memory", style="dim"))
    parts += [
        Text(f"{name} is played by {_programs(agent['clients'])}", style="dim")
        for name, agent in sorted(now.agents.items())
        if agent.get("clients")
    ]
    parts += [
        Text(f"{name} is {agent['state']}: {agent['state_reason']}")
        for name, agent in sorted(now.agents.items())
        if agent.get("state_reason") and agent["state"] != QUIET
    ]
    return Group(*parts)


class Curves:
    """The return of each agent over its steps, as far as it was read."""

    def __init__(self) -> None:
        self._points: dict[str, list[tuple[float, float]]] = {}

    def add(self, now: Sample) -> None:
        """Take a reading; of many, every second one is kept."""
        self._points = {name: self._points.get(name, []) for name in now.agents}
        for name, points in self._points.items():
            agent = now.agents[name]
            point = _value(agent, "env_steps"), _value(agent, "return_mean")
            if not all(map(math.isfinite, point)):
                continue
            if points and point[0] < points[-1][0]:  # the agent has begun anew
                points.clear()
            if not points or point[0] > points[-1][0]:
                points.append(point)
            if len(points) > MOST_POINTS:
                del points[1::2]

    def draw(self, width: int, lines: int) -> list[RenderableType]:
        """The curves that fit into so many lines of ``width`` columns, each with its name."""
        grown = [name for name, points in sorted(self._points.items()) if len(points) > 1]
        shown = grown[: max(0, lines // (CURVE_LINES + FRAME_LINES))]
        drawn: list[RenderableType] = []
        for name in shown:
            drawn.append(Text(f"\nreturn of {name}", style="bold"))
            room = min(width, WIDEST_CURVE)
            curve = draw_curve(self._points[name], width=room, height=CURVE_LINES)
            drawn.append(Text("\n".join(curve), no_wrap=True, overflow="crop"))
        return drawn


MOST_POINTS = 1000
CURVE_LINES, FRAME_LINES = 7, 4  # of one curve, and of its name and axis
WIDEST_CURVE = 100
QUIET = "idle"
"""A state that needs no words."""


def fitting(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return which of ``columns`` (their heads and cells) fit into ``width``, in their order.

    The first is always there; the others go in the order of ``LEFT_OUT``.
    """
    widths = [2 + max(map(cell_len, column)) for column in columns]
    shown = list(range(len(columns)))
    for head in LEFT_OUT:
        if sum(widths[each] for each in shown) <= width:
            break
        shown.remove(HEADS.index(head))
    return shown


COLUMNS = (
    *("conn", "frames/s", "rows/s", "batch p50", "batch p99", "queued"),
    *("act p50", "act p99", "act p99.9"),
    *("upd/row", "possible/s", "owed", "gap"),
    *("ε", "success", "loss", "q", "return", "version", "lag", "upd/s"),
)
"""``possible/s``: updates that the learner could make; ``gap``: see `held_out_gap` in `stats`."""
HEADS = ("agent", *COLUMNS, "state")
LEFT_OUT = (
    *("act p99.9", "batch p99", "owed", "lag", "batch p50", "possible/s", "queued", "act p50"),
    *("q", "frames/s", "gap", "version", "act p99", "loss", "success", "upd/s", "conn", "ε"),
    *("upd/row", "rows/s", "return", "state"),
)
"""Columns in the order in which they are left out."""


def _cells(agent: Figures, rates: Mapping[str, float]) -> list[str]:
    return [
        _whole(agent, "connections"),
        number(rates["frames"], ",.0f"),
        number(rates["rows"], ",.0f"),
        _whole(agent, "batch_p50"),
        _whole(agent, "batch_p99"),
        _whole(agent, "queued_rows"),
        _ms(agent, "act_p50_ms"),
        _ms(agent, "act_p99_ms"),
        _ms(agent, "act_p999_ms"),
        number(_value(agent, "updates_per_row"), ".2f"),
        number(_value(agent, "possible_updates_per_second"), ",.0f"),
        _whole(agent, "updates_owed"),
        number(_value(agent, "held_out_gap"), ".3f"),
        number(_value(agent, "epsilon"), ".3f"),
        number(_value(agent, "success_rate"), ".2f"),
        number(_value(agent, "loss"), ".3g"),
        number(_value(agent, "q_mean"), ".3g"),
        number(_value(agent, "return_mean"), ".1f"),
        _whole(agent, "version"),
        _whole(agent, "policy_lag"),
        number(rates["updates"], ",.0f"),
    ]


def _programs(clients: Mapping[str, int]) -> str:
    """What the programs call themselves, with how many sessions where there are several."""
    return ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in sorted(clients.items()))


def _value(figures: Figures, key: str) -> float:
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) else float("nan")


def _whole(figures: Figures, key: str) -> str:
    return number(_value(figures, key), ",.0f")


def _ms(figures: Figures, key: str) -> str:
    return number(_value(figures, key), ".2f") + " ms"


def _rate(now: Sample, before: Sample | None, agent: str, key: str) -> float:
    if before is None or agent not in before.agents or now.at <= before.at:
        return float("nan")
    gained = _value(now.agents[agent], key) - _value(before.agents[agent], key)
    return gained / (now.at - before.at)
