"""The HTTP that a WebSocket begins with (RFC 6455, 4), sans-IO: one request, one answer.

No more of HTTP is spoken on the game port. A request has a bounded head and no body; whatever is
unclear in it is refused, not guessed.
"""

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

GET = b"GET "
"""How every request begins. As the length of a frame it would be beyond every limit of a hello."""

MOST_HEAD = 8 * 1024
MOST_HEADERS = 64
SUBPROTOCOL = "agentd.v1"

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_END = b"\r\n\r\n"
_LINE = re.compile(r"GET (/[\x21-\x7e]*) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_ONCE = ("host", "origin", "upgrade", "sec-websocket-key", "sec-websocket-version")
_WORDS = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class HttpFault(Exception):
    """A request that is answered with an error: ``status``, one line of text, more headers."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}: {text}")
        self.status, self.text, self.headers = status, text, headers or {}


class HttpRequest(NamedTuple):
    """A GET: its path, its headers by lower-case name, and whether it is HTTP/1.1."""

    path: str
    headers: dict[str, str]
    newest: bool = True

    def lists(self, name: str) -> set[str]:
        """The words of a header that is a list, in lower case."""
        return {word.strip().lower() for word in self.headers.get(name, "").split(",")} - {""}

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks for an upgrade to WebSocket."""
        return "websocket" in self.lists("upgrade") and "upgrade" in self.lists("connection")


def read_request(data: bytes) -> tuple[HttpRequest, bytes] | None:
    """A whole head and the bytes behind it; None while it is incomplete. Raises HttpFault."""
    end = data.find(_END)
    if end < 0 or end > MOST_HEAD:
        if len(data) > MOST_HEAD:
            raise HttpFault(431, f"a request head has at most {MOST_HEAD} bytes")
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise HttpFault(400, "want a request line as in: GET / HTTP/1.1")
    if len(lines) > MOST_HEADERS:
        raise HttpFault(431, f"a request has at most {MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for each in lines:
        header = _HEADER.fullmatch(each)
        if header is None:
            raise HttpFault(400, "want headers as in: Host: localhost")
        name, value = header[1].lower(), header[2].strip()
        if name in headers and name in _ONCE:
            raise HttpFault(400, f"header {name} stands there twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise HttpFault(400, "want a request without a body")
    return HttpRequest(line[1], headers, line[2] == "1"), data[end + len(_END) :]


def accept_upgrade(request: HttpRequest) -> bytes:
    """The answer 101 to a request that asks for a WebSocket rightly. Raises HttpFault."""
    if request.headers.get("sec-websocket-version") != "13":
        raise HttpFault(426, "want WebSocket version 13", {"Sec-WebSocket-Version": "13"})
    key = request.headers.get("sec-websocket-key", "")
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        whole = False
    if not whole or not request.newest:
        raise HttpFault(400, "want HTTP/1.1 and a Sec-WebSocket-Key of 16 bytes in base64")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    headers["Sec-WebSocket-Accept"] = accept_key(key)
    if SUBPROTOCOL in request.lists("sec-websocket-protocol"):
        headers["Sec-WebSocket-Protocol"] = SUBPROTOCOL
    return _head(101, headers)


def accept_key(key: str) -> str:
    """The proof that a server has understood a handshake with this key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()


def answer(status: int, body: bytes, media: str, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP answer, after which the connection ends."""
    fixed = {
        "Content-Type": media,
        "Content-Length": str(len(body)),
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
    }
    return _head(status, fixed | (headers or {})) + body


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_WORDS[status]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
