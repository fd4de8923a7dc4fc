"""Everything a command may write to, in one object, so that a test can replace it."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

from agentd.cli.screen.encoding import has_every_character, let_everything_be_written
from agentd.log_lines import log_formatter


def in_foreground(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that is ours to change and to draw on.

    A job in the background that touches its terminal is stopped by the shell.
    """
    if not stream.isatty():
        return False
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # not the terminal of our session, or none with a number
        return True


class Terminal:
    """Results go to ``out``, logs and errors to ``err``; both follow -q, -v and --json."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        for stream in (self.out, self.err):
            let_everything_be_written(stream)
        self.verbosity = 0
        self.json = False

    @property
    def live(self) -> bool:
        """True where a view may redraw itself: a person watches, and asked for no JSON.

        A terminal that moves no cursor gets lines, as a file does.
        """
        able = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
        return able and not self.json and self.verbosity >= 0 and in_foreground(self.out)

    @property
    def quiet(self) -> bool:
        return self.verbosity < 0

    def configure(
        self,
        *,
        verbose: int = 0,
        quiet: bool = False,
        as_json: bool = False,
        logs: bool = False,
    ) -> None:
        """Set how much is said, and log to ``err``: ``logs`` says that facts belong there too.

        Without it only warnings are logged unless -v asks for more.
        """
        self.verbosity = -1 if quiet else verbose
        self.json = as_json
        handler = logging.StreamHandler(self.err)
        handler.setFormatter(log_formatter())
        levels = {-1: logging.ERROR, 0: logging.INFO if logs else logging.WARNING}
        logging.basicConfig(
            level=levels.get(self.verbosity, logging.DEBUG), handlers=[handler], force=True
        )
        for chatty in ("asyncio", "uvicorn.error"):
            logging.getLogger(chatty).setLevel(logging.WARNING)

    def say(self, line: str = "") -> None:
        """Write one line of a result to ``out``."""
        print(line, file=self.out, flush=True)

    def note(self, line: str) -> None:
        """Write one line for a person to ``err``; nothing with -q."""
        if not self.quiet:
            print(line, file=self.err, flush=True)

    def complain(self, line: str) -> None:
        """Write one line to ``err``, even with -q."""
        print(line, file=self.err, flush=True)

    def report(self, record: Mapping[str, Any], text: str) -> None:
        """Write a result: ``record`` as one line of JSON with --json, else ``text``."""
        if self.json:
            plain = not has_every_character(self.out)
            self.say(json.dumps(msgspec.to_builtins(dict(record)), ensure_ascii=plain))
        elif text:
            self.say(text)
