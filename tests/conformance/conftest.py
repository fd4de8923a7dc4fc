"""A client written from PROTOCOL.md alone, and daemons as processes for it to talk to.

Nothing here or in the tests beside it imports agentd: what they know of it is the text and a port.
"""

import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
START_S = 30.0
Map = dict[str, Any]


class RawClient:
    """A blocking client: one socket, one frame at a time, no state but the last seq."""

    def __init__(
        self,
        address: tuple[str, int],
        wrap: Callable[[Any], Any] | None = None,
        buffer: int | None = None,
    ) -> None:
        """``buffer``: about so many bytes may be on the way to us unread, not some megabytes."""
        self.socket: Any = socket.socket()
        self.socket.settimeout(15.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if buffer is not None:  # the sender's kernel sizes its own by the segments that we allow
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.socket.connect(address)
        if wrap is not None:
            self.socket = wrap(self.socket)
        self.seq = 0
        self.features = 2
        self.agent = ""

    # -- frames

    def send_body(self, body: bytes) -> None:
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def send(self, type: str, **fields: Any) -> None:
        self.send_body(msgpack.packb({"type": type} | fields))

    def receive(self, *, pings: bool = False) -> Map | None:
        """The next message, or None when the server has closed; pings are answered on the way."""
        while True:
            header = self._exactly(4)
            if header is None:
                return None
            body = self._exactly(struct.unpack("<I", header)[0])
            assert body is not None, "the stream ends inside a frame"
            message = msgpack.unpackb(body)
            assert isinstance(message, dict)
            if message["type"] != "ping" or pings:
                return message
            self.send("pong", t=message["t"])

    def _exactly(self, count: int) -> bytes | None:
        parts = []
        while count:
            try:
                part = self.socket.recv(count)
            except ConnectionResetError:
                return None
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    # -- the conversation

    def hello(self, agent: str = "plain", **changes: Any) -> None:
        """Send a valid hello; keywords replace its keys, None leaves one out."""
        fields = {
            "protocol": [1, 1],
            "client": "raw",
            "role": "train",
            "run": bytes(16),
            "agent": agent,
            "observation": {"x": {"dtype": "float32", "shape": [2]}},
            "action": {"kind": "discrete", "n": 3},
            "streams": 4,
        } | changes
        self.send("hello", **{key: value for key, value in fields.items() if value is not None})

    def greet(self, agent: str = "plain", **changes: Any) -> Map:
        """hello and its welcome."""
        self.hello(agent, **changes)
        self.agent = agent or ""
        welcome = self.receive()
        assert welcome is not None
        assert welcome["type"] == "welcome", welcome
        self.seq = welcome["last_seq"]
        return welcome

    def rows(self, kinds: list[int], streams: list[int] | None = None, **changes: Any) -> Map:
        """The keys of the next step, rows of zeros; keywords replace them."""
        self.seq += 1
        n = len(kinds)
        ids = list(range(n)) if streams is None else streams
        return {
            "seq": self.seq,
            "stream": struct.pack(f"<{n}I", *ids),
            "kind": bytes(kinds),
            "reward": bytes(4 * n),
            "obs": {"x": bytes(4 * self.features * n)},
        } | changes

    def step(self, kinds: list[int], streams: list[int] | None = None, **changes: Any) -> Map:
        """Send a step; its answer."""
        self.send("step", **self.rows(kinds, streams, **changes))
        answer = self.receive()
        assert answer is not None
        return answer

    def act(self, kinds: list[int], streams: list[int] | None = None, **changes: Any) -> Map:
        """Send a step that must be answered by an act; the act, its actions as numbers."""
        answer = self.step(kinds, streams, **changes)
        assert answer["type"] == "act", answer
        assert answer["seq"] == self.seq
        return answer | {"actions": np.frombuffer(answer["action"], "<i4").tolist()}

    def ask(self, type: str, **fields: Any) -> Map:
        """Send an operation; its reply or error."""
        self.send(type, **fields)
        reply = self.receive()
        assert reply is not None
        return reply

    # -- expectations

    def expect_refusal(self, answer: Map, code: str, field: str | None = None) -> Map:
        """A non-fatal error; the connection answers on."""
        assert answer["type"] == "error", answer
        assert (answer["code"], answer["fatal"]) == (code, False), answer
        if field is not None:
            assert answer["field"] == field, answer
        self.send("ping", t=17)
        assert self.receive() == {"type": "pong", "t": 17}
        return answer

    def expect_end(self, code: str, reason: str, field: str | None = None) -> Map:
        """A fatal error, the goodbye and the end of the stream."""
        error = self.receive()
        assert error is not None, "closed without an error"
        assert error["type"] == "error", error
        assert (error["code"], error["fatal"]) == (code, True), error
        assert error["message"]
        if field is not None:
            assert error["field"] == field, error
        self.expect_goodbye(reason)
        return error

    def expect_goodbye(self, reason: str) -> None:
        assert self.receive() == {"type": "goodbye", "reason": reason}
        assert self.receive() is None

    def close(self) -> None:
        self.socket.close()


class Daemon:
    """``python -m agentd serve`` as a process of its own."""

    def __init__(self, folder: Path, *settings: str, port: int = 0) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / "log.txt"
        words = [word for setting in settings for word in ("--set", setting)]
        command = [
            *(sys.executable, "-m", "agentd", "serve"),
            *("--port", str(port), "--http-port", "0", "--data-dir", str(folder / "data")),
            *words,
        ]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        self.address = self._address()
        self.clients: list[RawClient] = []

    def _address(self) -> tuple[str, int]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on "), f"{line!r}\n{self.log()}"
        host, port = line.split()[-1].rsplit(":", 1)
        return host, int(port)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def client(
        self, wrap: Callable[[Any], Any] | None = None, buffer: int | None = None
    ) -> RawClient:
        made = RawClient(self.address, wrap, buffer)
        self.clients.append(made)
        return made

    def hang_up(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End orderly, if it has not ended; the exit status."""
        self.hang_up()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=START_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons, each in a data directory of its own unless ``folder`` says otherwise."""
    os.environ["PYTHONUNBUFFERED"] = "1"
    started: list[Daemon] = []

    def start(*settings: str, folder: Path | None = None, port: int = 0) -> Daemon:
        daemon = Daemon(folder or tmp_path_factory.mktemp("daemon"), *settings, port=port)
        started.append(daemon)
        return daemon

    yield start
    statuses = [daemon.stop() for daemon in started]
    assert [status for status in statuses if status not in (0, -signal.SIGKILL)] == []


@pytest.fixture(scope="module")
def daemon(serve: Callable[..., Daemon]) -> Daemon:
    """A daemon with the defaults, and an agent ``plain`` in it that learns nothing."""
    made = serve()
    admin = made.client()
    admin.greet(agent=None, role="admin", observation=None, action=None, streams=None)
    config = {"learner": "none", "model": {"layers": [{"dense": 8}, "relu"]}}
    assert admin.ask("create", agent="plain", config=config) == {
        "type": "created",
        "agent": "plain",
    }
    made.hang_up()
    return made


@pytest.fixture
def dial(daemon: Daemon) -> Iterator[Callable[..., RawClient]]:
    """Opens connections to ``daemon``, closed after the test."""
    yield daemon.client
    daemon.hang_up()


@pytest.fixture
def client(dial: Callable[..., RawClient]) -> RawClient:
    """A connection that has said nothing yet."""
    return dial()


@pytest.fixture
def player(client: RawClient) -> RawClient:
    """A connection with an open session of agent ``plain``."""
    client.greet()
    return client


@pytest.fixture
def admin(dial: Callable[..., RawClient]) -> RawClient:
    """A connection of role admin."""
    made = dial()
    made.greet(agent=None, role="admin", observation=None, action=None, streams=None)
    return made


@pytest.fixture
def name() -> Callable[[], str]:
    """Names for agents, each new."""
    counter = itertools.count()
    return lambda: f"agent-{time.monotonic_ns()}-{next(counter)}"


@pytest.fixture(scope="session")
def deadline() -> Callable[[Callable[[], Any], float], Any]:
    """Asks again and again until the answer is true, for so many seconds."""

    def wait(question: Callable[[], Any], seconds: float) -> Any:
        end = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)
        return answer

    return wait
