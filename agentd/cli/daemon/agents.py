"""``agentd agent list|show|save|load|freeze|explore``: look after the agents of a daemon."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer

from agentd.cli.daemon.admin import AgentName, DaemonFlags, Yes, ask_first
from agentd.cli.screen.numbers import number
from agentd.cli.screen.options import JsonScreen
from agentd.protocol.schema import Schema

Facts = Mapping[str, Any]
FIGURES = (
    *("state", "state_reason", "sessions", "version", "updates", "rows_kept", "env_steps"),
    *("episodes", "return_mean", "epsilon", "lost"),
)
"""What ``show`` tells of an agent in memory, where it is known."""


def list_agents(out: JsonScreen, daemon: DaemonFlags) -> None:
    """List the agents of a daemon: which are in memory, how they are, who plays them."""
    with daemon.open() as admin:
        agents, stats = admin.agents(), admin.stats().agents
    rows = [each | _short(stats.get(each["agent"], {})) for each in agents]
    out.report({"agents": rows}, _table(rows) if rows else "there is no agent yet")


def show(out: JsonScreen, name: AgentName, daemon: DaemonFlags) -> None:
    """Show one agent: what its games look like, how it does, its checkpoints."""
    with daemon.open() as admin:
        info, stats = admin.info(name), admin.stats(name).agents[name]
    out.report({"agent": name, "info": info, "stats": stats}, _described(name, info, stats))


def save(out: JsonScreen, name: AgentName, daemon: DaemonFlags) -> None:
    """Write a checkpoint of an agent; it is on disk when this ends."""
    with daemon.open() as admin:
        saved = admin.save(name)
    out.report(msgspec.to_builtins(saved), f"saved {saved.checkpoint} ({saved.step:,} updates)")


def load(
    out: JsonScreen,
    name: AgentName,
    checkpoint: Annotated[str, typer.Argument(help="As `agentd agent show NAME` lists them.")],
    daemon: DaemonFlags,
    yes: Yes = False,
) -> None:
    """Send an agent back to one of its checkpoints; its rows stay."""
    with daemon.open() as admin:
        ask_first(f"{name} forgets what it learned since its newest checkpoint", yes)
        loaded = admin.load(name, checkpoint)
    text = f"{name} goes on from {checkpoint} ({loaded.step:,} updates)"
    out.report(msgspec.to_builtins(loaded), text)


def freeze(
    out: JsonScreen,
    name: AgentName,
    daemon: DaemonFlags,
    off: Annotated[bool, typer.Option("--off", help="Let it learn again.")] = False,
) -> None:
    """Stop an agent's learning, over restarts too; it goes on acting."""
    with daemon.open() as admin:
        admin.freeze(name, not off)
    text = f"{name} learns again" if off else f"{name} learns no more"
    out.report({"agent": name, "frozen": not off}, text)


def explore(
    out: JsonScreen,
    name: AgentName,
    daemon: DaemonFlags,
    value: Annotated[
        float | None,
        typer.Argument(help="ε, or the temperature; without it the schedule holds again."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Begin the schedule anew.")] = False,
) -> None:
    """Say how much an agent explores from now on, over restarts too."""
    with daemon.open() as admin:
        now = admin.explore(name, value, again=again)
    by = "by its schedule, begun anew" if again else "by its schedule"
    text = f"{name} explores {by if value is None else 'as was said'}: {now.kind} {now.value:g}"
    out.report(msgspec.to_builtins(now), text)


def _short(stats: Facts) -> dict[str, Any]:
    """What ``list`` tells of an agent's counters; None where it is not in memory."""
    return {key: stats.get(key) for key in ("state", "version", "return_mean", "connections")}


def _table(rows: Sequence[Facts]) -> str:
    head = ("agent", "state", "games", "version", "return", "")
    cells = [head, *map(_cells, rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    left = (True, True, False, False, False, True)
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _cells(row: Facts) -> tuple[str, ...]:
    mean = row["return_mean"]
    return (
        row["agent"],
        row["state"] or ("in memory" if row["loaded"] else "on disk"),
        str(row["connections"] or 0),
        "–" if row["version"] is None else f"{row['version']:,}",
        number(float("nan") if mean is None else float(mean), ",.1f"),
        "frozen" if row["frozen"] else "",
    )


def _described(name: str, info: Facts, stats: Facts) -> str:
    schema, config = info["schema"], info["config"]
    shown: dict[str, Any] = {
        "agent": name,
        "learner": config["learner"],
        "schema": "no game has said hello yet",
        "frozen": "yes" if info["frozen"] else "no",
    }
    if schema is not None:
        shown["schema"] = Schema.from_wire(schema["observation"], schema["action"]).describe()
    if info.get("exploring"):
        shown["exploring"] = _said(info["exploring"])
    shown |= {key: stats[key] for key in FIGURES if stats.get(key) not in (None, "", [])}
    shown["checkpoints"] = info["checkpoints"] or "none"
    width = max(map(len, shown))
    return "\n".join(f"{key:<{width}}  {_text(value)}" for key, value in shown.items())


def _said(exploring: Facts) -> str:
    if exploring["value"] is not None:
        return f"set to {exploring['value']:g}"
    return f"its schedule, begun anew at step {exploring['since']:,}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if type(value) is int else str(value)
