"""The page on the HTTP port: its files, the events that keep it live, and what its buttons ask.

Nothing is loaded from elsewhere and nothing is inline, so the policy on content is the strictest.
``GET /events`` wants any token where tokens are configured, ``POST /operate`` that of an operator.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from agentd.auth import Grant, Tokens
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError
from agentd.server.http.board import Board
from agentd.server.peers.visitors import not_the_own_page

MOST_PAGES = 16
"""Streams of events at a time."""
LARGEST_OPERATION = 4096
PATIENCE_S = {"/events": 90.0, "/operate": 300.0}
"""How long these paths may take from a socket's accept to the end of their answer."""
OPERATIONS = m.Save | m.Load | m.Freeze | m.Reset | m.Explore
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
]
_TYPES = {"html": "text/html", "css": "text/css", "mjs": "text/javascript", "svg": "image/svg+xml"}
_NAMES = ("page.css", "icon.svg", "page.mjs", "charts.mjs", "past.mjs", "words.mjs", "link.mjs")
FILES = {"/": "index.html"} | {f"/{name}": name for name in _NAMES}
_STATUS = {
    Code.FORBIDDEN: 403,
    Code.UNKNOWN_AGENT: 404,
    Code.UNKNOWN_CHECKPOINT: 404,
    Code.AGENT_IN_USE: 409,
    Code.STORAGE_FAILED: 507,
    Code.LIMIT: 503,
    Code.INTERNAL: 500,
}
_TOLD = ("code", "message", "field", "expected", "got")

Handler = Callable[[Request], Awaitable[Response]]


def page_routes(tokens: Tokens, board: Board) -> list[Route]:
    """The routes of the page."""
    door = _Door(tokens, board)
    routes = [Route(path, _answer_file(name)) for path, name in FILES.items()]
    return [
        *routes,
        Route("/events", door.events),
        Route("/operate", door.operate, methods=["POST"]),
    ]


@cache
def read_page_file(name: str) -> bytes:
    """A file of the page."""
    return (files("agentd") / "server" / "http" / "page" / name).read_bytes()


def shown_grant(tokens: Tokens, request: Request) -> Grant:
    """The grant of the bearer token that a request shows."""
    shown = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    return tokens.grant(shown)


def want_token() -> Response:
    """The answer to a request without a known token."""
    return PlainTextResponse("want a bearer token\n", 401, {"www-authenticate": "Bearer"})


def _answer_file(name: str) -> Handler:
    kind = _TYPES[name.rpartition(".")[2]]

    async def answer(request: Request) -> Response:
        return Response(read_page_file(name), media_type=kind)

    return answer


class _Door:
    """What the page asks of its daemon."""

    def __init__(self, tokens: Tokens, board: Board) -> None:
        self._tokens, self._board = tokens, board
        self._pages = 0

    async def events(self, request: Request) -> Response:
        """Tell of the daemon, and closely of ``?agent=NAME``, until the stream's time is over."""
        grant = shown_grant(self._tokens, request)
        if grant is Grant.NONE:
            return want_token()
        if self._pages >= MOST_PAGES:
            return PlainTextResponse(f"{MOST_PAGES} pages look already\n", 503)
        told = self._board.events(request.query_params.get("agent") or None, grant)
        return StreamingResponse(self._counted(told), media_type="text/event-stream")

    async def _counted(self, told: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._pages += 1
        try:
            async for event in told:
                yield event
        finally:
            self._pages -= 1

    async def operate(self, request: Request) -> Response:
        """Do the one operation in the body, a JSON map as R11 has it; answer as R11 does."""
        heads = request.headers
        named = heads.get("host", "")
        foreign = not_the_own_page(heads.get("origin"), heads.get("sec-fetch-site"), named)
        if foreign is not None:
            return PlainTextResponse(f"{foreign}\n", 403)
        grant = shown_grant(self._tokens, request)
        if grant is Grant.NONE:
            return want_token()
        try:
            operation = await _read_operation(request)
            reply = await self._board.operate(grant, operation)
        except ProtocolError as fault:
            said = fault.to_message()
            body = {key: getattr(said, key) for key in _TOLD}
            return JSONResponse(body, _STATUS.get(fault.code, 400))
        return Response(msgspec.json.encode(reply), media_type="application/json")


async def _read_operation(request: Request) -> m.Operation:
    """The operation that a request asks for. Raises ProtocolError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":  # what no form of a foreign page can send
        raise ProtocolError.unfit(Code.BAD_MESSAGE, "content-type", "application/json", kind[:40])
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_OPERATION:
            want = f"at most {LARGEST_OPERATION} bytes"
            raise ProtocolError.unfit(Code.BAD_MESSAGE, "body", want, "more")
    try:
        operation: m.Operation = msgspec.json.decode(body, type=OPERATIONS)
    except msgspec.DecodeError as fault:
        want = "one of save, load, freeze, reset, explore as a JSON map"
        raise ProtocolError.unfit(Code.BAD_MESSAGE, "body", want, str(fault)[:120]) from None
    return operation
