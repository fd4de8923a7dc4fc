"""The file of one recorded session: lines of text, written once and never changed.

    agentd-session 1 {"agentd": "0.1.0", "agent": "catch", …}
    = 0 connect
    > 112 a300000089a4747970…
    < 1204 920000008ba474797065…
    = 90211 end

The first line names the format and holds the facts of the session as JSON. A further line is a
mark, the microseconds since the recording began, and a frame of R2 in hex: ``>`` the client's,
``<`` the server's. ``=`` lines tell when connections came and went, and that a recording was cut
short (``full``). Secrets are blanked: the characters of a token by ``*``, the bytes of a session by
0. A last line that is cut, as by a full disk, is not read.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agentd.errors import AgentdError, ExitCode, MissingInput

MAGIC, FORMAT = "agentd-session", 1
SUFFIX = ".session"
Mark = Literal[">", "<", "="]
MARKS: dict[str, Mark] = {">": ">", "<": "<", "=": "="}
CONNECT, END, FULL = "connect", "end", "full"


class BadRecording(AgentdError):
    """A file that is no recorded session, or of a format that is not known."""

    exit_code = ExitCode.BAD_DATA


class Entry(NamedTuple):
    """One line: a frame with its header, or what happened (as bytes of ASCII)."""

    mark: Mark
    us: int
    data: bytes


class SessionFile(NamedTuple):
    """A recorded session, read."""

    path: Path
    facts: dict[str, Any]
    entries: list[Entry]


def head_line(facts: dict[str, Any]) -> str:
    """The first line of a file."""
    return f"{MAGIC} {FORMAT} {json.dumps(facts, sort_keys=True)}\n"


def entry_line(entry: Entry) -> str:
    """One further line."""
    text = entry.data.decode() if entry.mark == "=" else entry.data.hex()
    return f"{entry.mark} {entry.us} {text}\n"


def read_session(path: Path) -> SessionFile:
    """Read a file. Raises MissingInput, BadRecording."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInput(f"no recorded session {path}") from None
    except UnicodeDecodeError:
        raise BadRecording(f"{path}: no recorded session: want lines of text") from None
    first, newline, rest = text.partition("\n")
    words = first.split(" ", 2)
    if len(words) != 3 or words[0] != MAGIC or not newline:
        raise BadRecording(
            f"{path}: line 1: want {MAGIC!r}, a format and facts, got {first[:40]!r}"
        )
    if words[1] != str(FORMAT):
        hint = "it was written by another release of agentd"
        raise BadRecording(f"{path}: line 1: want format {FORMAT}, got {words[1][:20]}", hint=hint)
    try:
        facts = json.loads(words[2])
    except ValueError:
        raise BadRecording(f"{path}: line 1: its facts are no JSON") from None
    return SessionFile(path, facts, list(_entries(path, rest)))


def _entries(path: Path, text: str) -> Iterator[Entry]:
    *lines, _ = text.split("\n")  # behind the last newline is nothing, or a line that was cut
    for number, line in enumerate(lines, 2):
        words = line.split(" ", 2)
        try:
            mark, us, data = words
            yield Entry(MARKS[mark], int(us), data.encode() if mark == "=" else bytes.fromhex(data))
        except (ValueError, KeyError):
            want = "a mark, microseconds and hex"
            raise BadRecording(f"{path}: line {number}: want {want}, got {line[:40]!r}") from None
