"""The HTTP side: health, metrics and a page to look at. Optional: needs the ``web`` extra.

It stands under the rules of the game port: the same TLS and client certificates, a deadline from
the moment that a socket is accepted, and a bound on how many there are. A request must name a host
and come from a page that the game port would take too (`agentd.server.peers.visitors`).

GET /livez    200 while the process runs its loop
GET /readyz   200 while games are accepted, 503 while starting or draining; the text is `ready`, or
              begins with `degraded` when an agent is degraded or paused
GET /metrics  Prometheus or OpenMetrics text, by Accept; a bearer token when tokens are configured
GET /stats    the same numbers as JSON, per agent; token as above
GET /agentd.js  the JavaScript client, for pages
GET /         a page to look at and to operate by; `agentd.server.http.page_routes` has its paths
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from agentd.auth import Grant, Tokens
from agentd.config.records import ServerConfig
from agentd.protocol.connection import HANDSHAKE_FRAME
from agentd.server.http.board import Board
from agentd.server.http.metrics import make_metrics
from agentd.server.http.page_routes import (
    HEADERS,
    PATIENCE_S,
    page_routes,
    shown_grant,
    want_token,
)
from agentd.server.peers.script import client_script
from agentd.server.peers.visitors import Visitors

_NO_GAME_PORT = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    b"this is agentd's HTTP port; games connect to the game port\n"
)
REQUEST_S = 10.0
"""From a socket's accept to its answer."""
MOST_REQUESTS = 256


def make_app(tokens: Tokens, board: Board) -> Starlette:
    """The ASGI application that shows what ``board`` reads."""
    stats = board.stats
    render = make_metrics(stats)

    def guarded(answer: Callable[[], Response]) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            known = shown_grant(tokens, request) is not Grant.NONE
            return answer() if known else want_token()

        return handle

    async def livez(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        if not board.ready():
            return PlainTextResponse("draining\n", 503)
        unwell = len(stats.unwell())
        text = f"degraded: {unwell} agent(s), see /stats\n" if unwell else "ready\n"
        return PlainTextResponse(text)

    async def metrics(request: Request) -> Response:
        def answer() -> Response:
            text, media = render(request.headers.get("accept", ""))
            return Response(text, headers={"content-type": media})

        return guarded(answer)(request)

    async def show_stats(request: Request) -> Response:
        return guarded(lambda: JSONResponse({"server": stats.totals(), "agents": stats.agents()}))(
            request
        )

    async def script(request: Request) -> Response:
        origin, found = request.headers.get("origin"), client_script()
        if found is None:
            return PlainTextResponse("the JavaScript client was not installed\n", 404)
        headers = {} if origin is None else {"access-control-allow-origin": origin}
        return Response(found, media_type="text/javascript", headers=headers)

    paths = {
        "/livez": livez,
        "/readyz": readyz,
        "/metrics": metrics,
        "/stats": show_stats,
        "/agentd.js": script,
    }
    routes = [Route(path, handler) for path, handler in paths.items()]
    return Starlette(routes=[*routes, *page_routes(tokens, board)])


class _Embedded(uvicorn.Server):
    """uvicorn inside our loop: the daemon owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind_http(host: str, port: int) -> socket.socket:
    """A listening socket for the HTTP side. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


class _OneRequest(H11Protocol):
    """One request a connection, answered within ``REQUEST_S`` of its accept, or cut off.

    Where its path is one of ``PATIENCE_S``, it has that long.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a game's hello, which would never be a request, is told where it is."""
        size = int.from_bytes(data[:4], "little")
        if 0 < size <= HANDSHAKE_FRAME and data[4:5] >= b"\x80":
            self.transport.write(_NO_GAME_PORT)
            self.transport.close()
            return
        asked = self.scope is not None
        super().data_received(data)
        if not asked and self.scope is not None:
            patience = PATIENCE_S.get(self.scope["path"], REQUEST_S) - REQUEST_S
            if patience > 0:
                self._deadline.cancel()
                self._deadline = self.loop.call_later(patience, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


class _Known:
    """Refuses requests that name a host by which nobody should know this daemon, or come from one.

    A page may ask where its own host, or this machine, is asked.
    """

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app, self._visitors = app, visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers[b"origin"].decode("latin-1") if b"origin" in headers else None
        app = self._app
        if (refusal := self._visitors.unknown_host(host)) is not None:
            app = PlainTextResponse(f"{refusal}\n", 421)
        elif (refusal := self._visitors.unknown_origin(origin, host)) is not None:
            app = PlainTextResponse(f"{refusal}\n", 403)
        await app(scope, receive, send)


def make_http_server(config: ServerConfig, tokens: Tokens, board: Board) -> uvicorn.Server:
    """A uvicorn server to be run as a task; set ``should_exit`` to end it."""
    app, tls = make_app(tokens, board), config.tls
    asks = tls is not None and tls.client_ca is not None
    uvicorn_config = uvicorn.Config(
        _Known(app, Visitors(config.web)),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        http=_OneRequest,
        headers=[("connection", "close"), *HEADERS],
        limit_concurrency=MOST_REQUESTS,
        ssl_certfile=None if tls is None else tls.cert,
        ssl_keyfile=None if tls is None else tls.key,
        ssl_ca_certs=tls.client_ca if tls is not None else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if asks else ssl.CERT_NONE,
    )
    return _Embedded(uvicorn_config)
