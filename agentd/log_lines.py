"""What a line of the log looks like: ``key=value`` pairs, or JSON where AGENTD_LOG_FORMAT says so.

The daemon, its workers and its learners write to one stderr; the variable reaches all of them.
"""

import datetime
import json
import logging
import os
import re
import sys
from typing import Any

FORMAT = "AGENTD_LOG_FORMAT"
"""The variable; ``json`` asks for JSON, whatever else it holds does not."""
_PAIRS = re.compile(r"(?:^| )\w+=\S")
_PAIR = re.compile(r"""(?:^| )(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\S*)""")


def log_formatter() -> logging.Formatter:
    """The formatter that this process's environment asks for."""
    return JsonFormatter() if os.environ.get(FORMAT) == "json" else KeyValueFormatter()


def log_to_stderr() -> None:
    """Write the log of a process that a daemon started to stderr, as the environment asks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(log_formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class KeyValueFormatter(logging.Formatter):
    """One fact a line: ``time=… level=… logger=… event="frame refused" agent=a seq=3``.

    The words of a message before its first ``key=`` are the event.
    """

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without a traceback."""
        event, rest = _split(record)
        event = json.dumps(event, ensure_ascii=False) if event.count(" ") or '"' in event else event
        head = f"time={self.formatTime(record, self.datefmt)} level={record.levelname.lower()}"
        return (
            f"{head} logger={record.name}"
            + (f" event={event}" if event else "")
            + (f" {rest}" if rest else "")
        )

    def usesTime(self) -> bool:  # noqa: N802 - logging's name
        """Every line has its time."""
        return True


class JsonFormatter(logging.Formatter):
    """One fact a line, as a JSON object: time (UTC), level, logger, event, and the message's pairs.

    ``text`` is what stands behind the pairs, ``traceback`` what Python says of an exception.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line; without a line break, whatever it says."""
        event, rest = _split(record)
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        found: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        found |= {"event": event} if event else {}
        for name, value in _PAIR.findall(rest):
            quoted = len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]
            found.setdefault(name, value[1:-1] if quoted else value)
        if text := _PAIR.sub("", rest).strip():
            found["text"] = text
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


def _split(record: logging.LogRecord) -> tuple[str, str]:
    """A message's event and what follows it, on one line."""
    text = " ".join(record.getMessage().split())
    pairs = _PAIRS.search(text)
    return (text[: pairs.start()], text[pairs.start() :].strip()) if pairs else (text, "")
