"""JSON as Godot writes and reads it: one map, ASCII; what it writes may hold a bare nan or inf."""

import json
import re
from typing import Any

import msgspec

from agentd.protocol.codec import HEADER
from agentd.protocol.errors import Code, ProtocolError

_decoder = msgspec.json.Decoder(dict[str, Any])
_TOKEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|[-+]?(?:1\.#(?:INF|IND|QNAN|SNAN)\w*|nan(?:\(\w*\))?|inf(?:inity)?)',
    re.I | re.S,
)


def encode_text(message: dict[str, Any]) -> bytes:
    """One message as a whole frame: u32 length, ASCII JSON as Python's own encoder spaces it."""
    body = json.dumps(message).encode("ascii")
    return HEADER.pack(len(body)) + body


def decode_text(body: memoryview | bytes) -> dict[str, Any]:
    """The map of one frame, bare nan and inf (also as C libraries write them) as floats.

    Raises ProtocolError BAD_FRAME for what is no map of JSON.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        pass  # what msgspec is too strict for, or nothing at all
    try:
        found = json.loads(_TOKEN.sub(_plain_token, bytes(body).decode()))
    except (ValueError, RecursionError) as fault:
        raise _no_map(f"{type(fault).__name__}: {fault}"[:200]) from None
    if not isinstance(found, dict):
        raise _no_map(type(found).__name__)
    return found


def _plain_token(match: re.Match[str]) -> str:
    """A string as it is; a number that JSON has no word for as Python's decoder knows it."""
    token = match[0]
    if token.startswith('"'):
        return token
    if "inf" in token.lower():
        return "-Infinity" if token.startswith("-") else "Infinity"
    return "NaN"


def _no_map(got: str) -> ProtocolError:
    return ProtocolError.unfit(Code.BAD_FRAME, "body", "one map of JSON", got)
