"""Options that several verbs share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.screen.terminal import Terminal

Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Say more; errors with a traceback.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say only results and errors.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
ConfigFile = Annotated[
    Path | None, typer.Argument(help="Configuration file (YAML).", show_default=False)
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)]
Port = Annotated[
    int | None, typer.Option(help="Port for games; 0 picks a free one.", show_default=False)
]
HttpPort = Annotated[
    int | None,
    typer.Option(help="Port for health and metrics; 0 picks a free one.", show_default=False),
]
NoHttp = Annotated[bool, typer.Option("--no-http", help="No health and metrics port.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Where agents are kept.", show_default="$XDG_DATA_HOME/agentd")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, opencl or opencl:<i or name>; without any OpenCL the CPU, or with ! an error.",
        show_default=False,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other value, e.g. limits.window=16."),
]


def terminal(
    context: typer.Context,
    *,
    verbose: int = 0,
    quiet: bool = False,
    as_json: bool = False,
    logs: bool = False,
) -> Terminal:
    """The terminal of this run, with the shared options applied; ``logs`` is for daemons."""
    found = context.obj if isinstance(context.obj, Terminal) else Terminal()
    found.configure(verbose=verbose, quiet=quiet, as_json=as_json, logs=logs)
    return found
