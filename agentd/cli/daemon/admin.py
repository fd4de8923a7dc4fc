"""What the commands of `agentd agent` share: a connection of role admin, and asking first."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agentd.client import Client
from agentd.errors import JobFailed, MissingInput, UsageError

RETRY_S = 2.0
ADDRESS = "127.0.0.1:7331"

AgentName = Annotated[str, typer.Argument(metavar="NAME", help="The agent.")]
NewName = Annotated[str, typer.Argument(metavar="NEW", help="The name of the new agent.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True)
class DaemonFlags:
    """Which daemon is asked, and by what token."""

    connect: Annotated[str, typer.Option(metavar="HOST:PORT", help="The daemon's game port.")] = (
        ADDRESS
    )
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a token of grant admin; the daemon's own will do."),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(envvar="AGENTD_TOKEN", help="The token itself.", show_default=False),
    ] = None

    def open(self, wait: float = RETRY_S) -> Client:
        """Connect as an admin. Raises Unreachable, Refused, MissingInput, UsageError."""
        token = self.token if self.token_file is None else read_token(self.token_file)
        return Client.connect(self.connect, role="admin", token=token, wait=wait)


def read_token(path: Path) -> str:
    """The token in a file: its only word, or the first ``admin TOKEN`` line of a daemon's file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        lines = []
    except OSError as error:
        raise MissingInput(f"{path}: {(error.strerror or str(error)).lower()}") from None
    words = [found for line in lines if (found := line.split("#", 1)[0].split())]
    if len(words) == 1 and len(words[0]) == 1:
        return words[0][0]
    admins = [found[1] for found in words if len(found) == 2 and found[0] == "admin"]
    if not admins:
        raise UsageError(f"{path}: want a token, or a line `admin TOKEN`, got neither")
    return admins[0]


def ask_first(what: str, yes: bool) -> None:
    """Have a person agree to ``what``. Raises UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: want --yes where nobody can be asked")
    if not typer.confirm(f"{what}. Go on?", err=True):
        raise JobFailed("nothing was done")
