"""The command line: the one place that prints, exits and turns errors into exit codes.

Modules here may import everything, games included; nothing imports them but ``agentd.__main__``.
A command's module loads when the command is called, so that ``agentd --help`` stays instant.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from agentd import __version__
from agentd.cli.bare_flags import fill
from agentd.cli.menu import find_help
from agentd.cli.screen.encoding import let_everything_be_written
from agentd.errors import ExitCode


def chess_uci() -> int:
    """``agentd-chess-uci``: ``agentd chess uci`` for programs that take a path and no words."""
    return main(["chess", "uci", *sys.argv[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (``sys.argv`` when ``arguments`` is None) and return its exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away; nobody is left to tell
        _discard_output()
        return ExitCode.FAILED
    return code


def _run(arguments: Sequence[str] | None) -> int:
    words = fill(sys.argv[1:] if arguments is None else arguments)
    found = find_help(words)
    if list(words) == ["--version"]:
        found = f"agentd {__version__}"
    if found is not None:
        let_everything_be_written(sys.stdout)
        print(found)
        return 0
    if words[:1] == ["serve"]:
        signal.signal(signal.SIGTERM, _leave)  # until the daemon listens, nothing is to be saved
    try:
        # Loading typer takes several times as long as the help.
        from agentd.cli.app import app
        from agentd.cli.boundary import run
        from agentd.cli.screen.terminal import Terminal
    except Exception:
        from agentd.cli.shadows import find_shadow

        shadow = find_shadow()
        if shadow is None:
            raise
        print(f"agentd: {shadow}", file=sys.stderr)
        return ExitCode.CONFIG
    return run(app, words, Terminal())


def _discard_output() -> None:
    """Send what is left to be written to nowhere, or Python complains of it when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)
