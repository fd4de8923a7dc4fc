"""The client for browsers, which a daemon brings along: a page needs one line to import it."""

from functools import cache
from importlib.resources import files


@cache
def client_script() -> bytes | None:
    """The JavaScript client, one module that imports nothing; None where it was not installed."""
    place = files("agentd") / "sdk" / "javascript" / "agentd.mjs"
    return place.read_bytes() if place.is_file() else None
