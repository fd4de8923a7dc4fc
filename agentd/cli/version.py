"""``agentd version``."""

from __future__ import annotations

import typer

from agentd import __version__
from agentd.cli.screen.options import Json, Quiet, Verbose, terminal


def version(
    context: typer.Context, as_json: Json = False, verbose: Verbose = 0, quiet: Quiet = False
) -> None:
    """Print the version of agentd and of the wire protocol and checkpoint format it writes."""
    out = terminal(context, verbose=verbose, quiet=quiet, as_json=as_json)
    record = {"version": __version__, "protocol": [1, 1], "checkpoint_format": 1}
    out.report(record, f"agentd {__version__}")
