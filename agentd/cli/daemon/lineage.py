"""``agentd agent reset|copy|migrate|delete``: agents begun anew, made of others, and ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agentd.cli.daemon.admin import AgentName, DaemonFlags, NewName, Yes, ask_first
from agentd.cli.screen.options import JsonScreen
from agentd.client.operations import expect
from agentd.engine import strictyaml
from agentd.errors import MissingInput, UsageError
from agentd.protocol import messages as m

Wire = dict[str, Any]


def reset(
    out: JsonScreen,
    name: AgentName,
    daemon: DaemonFlags,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Only forget the rows: a reward has changed.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Begin an agent anew with the same configuration; what it knew is kept as a checkpoint."""
    what = "forgets its rows" if keep_weights else "begins anew: rows, weights and counters go"
    with daemon.open() as admin:
        ask_first(f"{name} {what}", yes)
        before = admin.reset(name, keep_weights=keep_weights)
    text = f"{name} {'has forgotten its rows' if keep_weights else 'begins anew'}"
    back = f"; back: agentd agent load {name} {before}" if before else ""
    out.report({"agent": name, "checkpoint": before}, text + back)


def copy(
    out: JsonScreen,
    name: AgentName,
    to: NewName,
    daemon: DaemonFlags,
    replay: Annotated[
        bool, typer.Option("--replay", help="Its rows too; no game may be connected.")
    ] = False,
) -> None:
    """Make a new agent that knows what another one knows."""
    with daemon.open() as admin:
        copied = admin.copy(name, to, replay=replay)
    rows = "its rows too" if replay else "without its rows"
    text = f"{to} knows what {name} knows ({copied.step:,} updates), {rows}"
    out.report(msgspec.to_builtins(copied), text)


@dataclass(frozen=True)
class SchemaFlags:
    """What the games of a migrated agent look like: a file, or what is different."""

    to_schema: Annotated[
        Path | None,
        typer.Option(help="JSON or YAML with the maps `observation` and `action` of hello."),
    ] = None
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:DTYPE[:SHAPE]",
            help="A tensor that is new, or is now so: radar:float32:8, view:uint8:8x8x3.",
        ),
    ] = None
    drop: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A tensor that is gone.")
    ] = None
    actions: Annotated[
        str | None, typer.Option(metavar="N[,N…]", help="How many actions, in each branch.")
    ] = None

    def read(self, known: Wire | None, name: str) -> Wire:
        """The maps of the new schema; ``known`` are the agent's. Raises UsageError."""
        changes = self.add or self.drop or self.actions is not None
        if bool(changes) == (self.to_schema is not None):
            raise UsageError("want --to-schema FILE, or what changes: --add, --drop, --actions")
        if self.to_schema is not None:
            return read_schema_file(self.to_schema)
        if known is None:
            raise UsageError(f"{name} has no schema yet: its first hello brings one")
        tensors = dict(known["observation"])
        for gone in self.drop or ():
            if tensors.pop(gone, None) is None:
                raise UsageError(f"--drop {gone}: want one of {', '.join(tensors)}")
        tensors |= dict(map(read_tensor, self.add or ()))
        action = known["action"] if self.actions is None else read_actions(self.actions)
        return {"observation": tensors, "action": action}


def migrate(
    out: JsonScreen, name: AgentName, to: NewName, schema: SchemaFlags, daemon: DaemonFlags
) -> None:
    """Make a new agent of another schema whose network keeps what fits: a sensor or action more.

    The error SCHEMA_MISMATCH of a refused game holds the whole command.
    """
    with daemon.open() as admin:
        known = admin.info(name)["schema"]
        wire = schema.read(known, name)
        migrated = expect(admin.operate(m.Migrate(agent=name, to=to, **wire)), m.Migrated)
    text = f"{to} knows what {name} knows ({migrated.step:,} updates): {_difference(known, wire)}"
    out.report(msgspec.to_builtins(migrated), f"{text}; its games say hello to {to}")


def delete(out: JsonScreen, name: AgentName, daemon: DaemonFlags, yes: Yes = False) -> None:
    """Remove an agent with all that it has learned."""
    with daemon.open() as admin:
        admin.info(name)  # one that there is not is told before anybody is asked
        ask_first(f"{name} is deleted with all of its checkpoints", yes)
        admin.delete(name)
    out.report({"agent": name, "deleted": True}, f"{name} is gone")


def read_schema_file(path: Path) -> Wire:
    """The maps ``observation`` and ``action`` of a file. Raises MissingInput, ConfigError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MissingInput(f"{path}: {(error.strerror or str(error)).lower()}") from None
    document = strictyaml.parse(text, str(path))
    found = document.value
    if not isinstance(found, dict) or not {"observation", "action"} <= found.keys():
        got = ", ".join(map(str, found)) if isinstance(found, dict) else strictyaml.describe(found)
        want = "the maps observation and action of hello"
        raise document.error((), "no schema", expected=want, got=got or "nothing")
    for key in ("observation", "action"):
        if not isinstance(found[key], dict):
            got = strictyaml.describe(found[key])
            raise document.error((key,), "no schema", expected="a map", got=got)
    return {key: found[key] for key in ("observation", "action")}


def read_tensor(text: str) -> tuple[str, Wire]:
    """A tensor as --add has it: its name, and what hello says of it. Raises UsageError."""
    name, *rest = text.split(":")
    sizes = rest[1].split("x") if len(rest) == 2 and rest[1] else []
    if not name or not 1 <= len(rest) <= 2 or not all(size.isdecimal() for size in sizes):
        raise UsageError(f"--add {text}: want NAME:DTYPE or NAME:DTYPE:SHAPE, as radar:float32:8")
    return name, {"dtype": rest[0], "shape": [int(size) for size in sizes]}


def read_actions(text: str) -> Wire:
    """Actions as --actions has them: ``4``, or ``3,2`` for branches. Raises UsageError."""
    sizes = text.rstrip(",").split(",")
    if not all(size.isdecimal() for size in sizes):
        raise UsageError(f"--actions {text}: want numbers, as 4, or 3,2 for two branches")
    counts = [int(size) for size in sizes]
    if "," in text:
        return {"kind": "multi_discrete", "n": counts}
    return {"kind": "discrete", "n": counts[0]}


def _difference(known: Wire | None, wire: Wire) -> str:
    """What has changed, in words."""
    before = {} if known is None else known["observation"]
    after = wire["observation"]
    parts = [
        f"{word} {', '.join(names)}"
        for word, names in (
            ("new", [name for name in after if name not in before]),
            ("other", [n for n in after if n in before and after[n] != before[n]]),
            ("gone", [name for name in before if name not in after]),
        )
        if names
    ]
    if known is not None and known["action"] != wire["action"]:
        parts.append(f"actions {known['action']['n']}, now {wire['action']['n']}")
    return "; ".join(parts) or "the same schema"
