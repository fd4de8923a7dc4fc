"""``agentd chess release``: a run's best model as one small file, with its recipe and figures."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.chess.model.model import read_run, write_model
from agentd.cli.screen.options import JsonScreen
from agentd.errors import UsageError


def release(
    screen: JsonScreen,
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    out: Annotated[Path, typer.Option("--out", help="The file, .safetensors.")],
    figures: Annotated[
        Path | None,
        typer.Option(help="What `agentd chess eval --json` printed, to keep inside."),
    ] = None,
    note: Annotated[
        str | None, typer.Option(help="What else is to be known of its making, kept inside.")
    ] = None,
) -> None:
    """Write a run's best model as a file: half precision, recipe, data's checksum, figures."""
    model = read_run(run)
    facts: dict[str, Any] = {
        "data": model.facts["data"],
        "trainer": model.facts["trainer"],
        "figures": None if figures is None else _figures(figures),
    }
    if note is not None:
        facts["note"] = note
    write_model(out, model, facts)
    size = out.stat().st_size
    screen.report({"file": str(out), "bytes": size, **facts}, f"{out}: {size / 2**20:.1f} MiB")


def _figures(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise UsageError(
            f"{path}: expected the JSON of `agentd chess eval --json`: {fault}"
        ) from None
