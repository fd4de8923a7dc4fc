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
GET /         a page that shows /stats
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from agentd.auth import Grant, Tokens
from agentd.config.records import ServerConfig
from agentd.protocol.connection import HANDSHAKE_FRAME
from agentd.server.http.metrics import make_metrics
from agentd.server.peers.script import client_script
from agentd.server.peers.visitors import Visitors
from agentd.server.stats import Statistics

_NO_GAME_PORT = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    b"this is agentd's HTTP port; games connect to the game port\n"
)
REQUEST_S = 10.0
"""From a socket's accept to its answer."""
MOST_REQUESTS = 256


def make_app(tokens: Tokens, stats: Statistics, ready: Callable[[], bool]) -> Starlette:
    """The ASGI application that shows ``stats``; ``ready`` is True while games are accepted."""
    render = make_metrics(stats)

    def guarded(answer: Callable[[], Response]) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            shown = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
            if tokens.required and tokens.grant(shown) is Grant.NONE:
                return PlainTextResponse(
                    "want a bearer token\n", 401, {"www-authenticate": "Bearer"}
                )
            return answer()

        return handle

    async def livez(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        if not ready():
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

    async def page(request: Request) -> Response:
        return HTMLResponse(_PAGE)

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
        "/": page,
    }
    return Starlette(routes=[Route(path, handler) for path, handler in paths.items()])


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
    """One request a connection, answered within ``REQUEST_S`` of its accept, or cut off."""

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
        super().data_received(data)

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


def make_http_server(
    config: ServerConfig, tokens: Tokens, stats: Statistics, ready: Callable[[], bool]
) -> uvicorn.Server:
    """A uvicorn server to be run as a task; set ``should_exit`` to end it."""
    app, tls = make_app(tokens, stats, ready), config.tls
    asks = tls is not None and tls.client_ca is not None
    uvicorn_config = uvicorn.Config(
        _Known(app, Visitors(config.web)),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        http=_OneRequest,
        headers=[("connection", "close")],
        limit_concurrency=MOST_REQUESTS,
        ssl_certfile=None if tls is None else tls.cert,
        ssl_keyfile=None if tls is None else tls.key,
        ssl_ca_certs=tls.client_ca if tls is not None else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if asks else ssl.CERT_NONE,
    )
    return _Embedded(uvicorn_config)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>agentd</title>
<style>
 body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
 table{border-collapse:collapse;width:100%} th,td{text-align:right;padding:.3rem .6rem}
 th:first-child,td:first-child{text-align:left} tr+tr{border-top:1px solid #8884}
</style>
<h1>agentd</h1><p id="server"></p>
<table><thead><tr id="head"></tr></thead><tbody id="rows"></tbody></table><p id="words"></p>
<script>
const columns=["agent","state","env_steps","episodes","return_mean","epsilon","updates",
 "updates_per_row","rows_per_second","possible_updates_per_second","updates_owed",
 "updates_forgotten","held_out_gap","loss","q_mean","version","policy_lag","queued_frames","batch_p50","act_p50_ms","act_p99_ms","act_p999_ms"];
const show=v=>typeof v=="number"?(Number.isInteger(v)?v.toLocaleString():v.toPrecision(4)):v??"";
const cell=(tag,text)=>{const c=document.createElement(tag);c.textContent=text;return c};
document.getElementById("head").append(...columns.map(c=>cell("th",c)));
const token=new URLSearchParams(location.hash.slice(1)).get("token");
async function refresh(){
 const reply=await fetch("/stats",token?{headers:{authorization:"Bearer "+token}}:{});
 if(!reply.ok){document.getElementById("server").textContent=await reply.text();return}
 const data=await reply.json();
 document.getElementById("server").textContent=
  Object.entries(data.server).map(([k,v])=>k+" "+show(v)).join(" · ");
 document.getElementById("rows").replaceChildren(...Object.entries(data.agents).map(([name,a])=>{
  const row=document.createElement("tr");
  row.append(...columns.map(c=>cell("td",c=="agent"?name:show(a[c]))));return row}));
 document.getElementById("words").textContent=Object.entries(data.agents)
  .filter(([_,a])=>a.state_reason).map(([n,a])=>`${n} is ${a.state}: ${a.state_reason}`)
  .join(" · ");
}
refresh();setInterval(refresh,1000);
</script></html>
"""
