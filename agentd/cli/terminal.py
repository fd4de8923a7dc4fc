"""Everything a command may write to, in one object, so that a test can replace it."""

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

LOG_FORMAT = "time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
LOG_TIME = "%Y-%m-%dT%H:%M:%S"


class Terminal:
    """Results go to ``out``, logs and errors to ``err``; both follow -q, -v and --json."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.verbosity = 0
        self.json = False

    @property
    def live(self) -> bool:
        """True where a view may redraw itself: a person watches, and asked for no JSON."""
        return self.out.isatty() and not self.json and self.verbosity >= 0

    @property
    def quiet(self) -> bool:
        return self.verbosity < 0

    def configure(self, *, verbose: int = 0, quiet: bool = False, as_json: bool = False) -> None:
        """Set how much is said, and start logging to ``err``, one ``key=value`` line a fact."""
        self.verbosity = -1 if quiet else verbose
        self.json = as_json
        handler = logging.StreamHandler(self.err)
        handler.setFormatter(logging.Formatter(LOG_FORMAT, LOG_TIME))
        levels = {-1: logging.ERROR, 0: logging.INFO}
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
            self.say(json.dumps(msgspec.to_builtins(dict(record)), ensure_ascii=False))
        elif text:
            self.say(text)
