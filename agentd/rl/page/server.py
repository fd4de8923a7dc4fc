"""Serves the page to browsers of this machine: a handful of files, and the newest facts as JSON."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Self

from agentd.config.records import WebConfig
from agentd.server.peers.script import client_script
from agentd.server.peers.visitors import Visitors

REQUEST_S = 10.0
TYPES = {"html": "text/html", "css": "text/css", "mjs": "text/javascript", "svg": "image/svg+xml"}
FILES = {"/": "index.html"} | {
    f"/{name}": name
    for name in ("page.css", "icon.svg", "page.mjs", "rally.mjs", "court.mjs", "curve.mjs", "hands.mjs")
}


class PageServer:
    """A page on a free port of loopback, for as long as the block lasts.

    ``facts`` are what it tells the page under ``/facts``; replace it at any time.
    """

    def __init__(self, game_port: int, facts: Mapping[str, Any]) -> None:
        """Raises OSError when no port can be had."""
        self.facts = facts
        page = self
        answers = read_answers()
        policy = content_policy(game_port)
        visitors = Visitors(WebConfig())

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_S

            def do_GET(self) -> None:  # noqa: N802 - http.server's name
                refusal = visitors.refusal(self.headers["origin"], self.headers["host"] or "")
                path = self.path.partition("?")[0]
                if refusal is not None:
                    self._answer(403, "text/plain", f"{refusal}\n".encode())
                elif path == "/facts":
                    self._answer(200, "application/json", json.dumps(dict(page.facts)).encode())
                elif path in answers:
                    self._answer(200, *answers[path])
                else:
                    self._answer(404, "text/plain", b"there is no such page\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", policy)
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                """Say nothing: the terminal belongs to the command."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def content_policy(game_port: int) -> str:
    """What the page may load: its own files, and the daemon's game port."""
    own = " ".join(f"{kind}-src 'self';" for kind in ("script", "style", "img"))
    connect = f"connect-src 'self' ws://127.0.0.1:{game_port};"
    return f"default-src 'none'; {own} {connect} base-uri 'none'; form-action 'none'; " + (
        "frame-ancestors 'none'"
    )


def read_answers() -> dict[str, tuple[str, bytes]]:
    """The page's files by their path: type and content."""
    folder = files("agentd") / "rl" / "page"
    found = {
        path: (TYPES[name.rpartition(".")[2]], (folder / name).read_bytes())
        for path, name in FILES.items()
    }
    return found | {"/agentd.js": (TYPES["mjs"], client_script() or b"")}
