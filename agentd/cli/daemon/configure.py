"""``agentd config init|show|schema``."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.cli.screen.flags import ServerFlags
from agentd.cli.screen.options import JsonScreen, Screen
from agentd.config import resolve
from agentd.config.template import json_schema, render_template
from agentd.errors import UsageError


def init(
    out: Screen,
    path: Annotated[Path | None, typer.Argument(help="Where to write; stdout without.")] = None,
    preset: Annotated[str | None, typer.Option(help="Start the agent from this preset.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a configuration with every key, its default and what it means."""
    text = render_template(preset)
    if path is None:
        out.say(text.rstrip("\n"))
        return
    if path.exists() and not force:
        raise UsageError(f"{path} exists", hint="choose another name or add --force")
    path.write_text(text, encoding="utf-8")
    out.note(f"wrote {path}; check it with: agentd config show {path}")


def show(
    out: JsonScreen,
    flags: ServerFlags,
) -> None:
    """Print every value that `serve` would run with, and where each came from."""
    resolved = resolve(flags.config, flags.values(), os.environ)
    values = list(resolved.values())
    record: dict[str, Any] = {
        key: {"value": value, "from": str(origin)} for key, value, origin in values
    }
    width = max(len(key) for key, _, _ in values)
    lines = [f"{key:<{width}}  {_text(value)}  # {origin}" for key, value, origin in values]
    out.report(record, "\n".join(lines))


def schema(out: Screen) -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    out.say(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
