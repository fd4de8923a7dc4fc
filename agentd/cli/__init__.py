"""The command line: the one place that prints, exits and turns errors into exit codes.

Modules here may import everything, games included; nothing imports them but ``agentd.__main__``.
A command's module loads when the command is called, so that ``agentd --help`` stays instant.
"""

import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from agentd.cli.menu import find_help


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (``sys.argv`` when ``arguments`` is None) and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    found = find_help(words)
    if found is not None:
        print(found)
        return 0
    if words[:1] == ["serve"]:
        signal.signal(signal.SIGTERM, _leave)  # until the daemon listens, nothing is to be saved
    from agentd.cli.app import app  # loading typer takes several times as long as the help
    from agentd.cli.boundary import run
    from agentd.cli.screen.terminal import Terminal

    return run(app, words, Terminal())


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)
