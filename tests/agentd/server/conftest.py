"""A daemon inside the test's own loop, and a bare connection to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from agentd.auth import Tokens
from agentd.config import LimitsConfig, ServerConfig, agent_config_from_wire
from agentd.protocol import messages as m
from agentd.protocol.codec import HEADER, FrameDecoder, decode_server, encode
from agentd.protocol.websocket import Opcode, WebSocketDecoder, encode_frame
from agentd.server import Server

RUN = bytes(range(16))


class Peer:
    """A client without any cleverness: it sends messages and reads messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.decoder = FrameDecoder(2**31 - 1)
        self.seq = 0

    async def say(self, *messages: m.Message) -> None:
        for message in messages:
            self.writer.write(encode(message))
        await self.writer.drain()

    async def hear(self, within: float = 10.0) -> m.ServerMessage | None:
        """The next message; None when the server has closed."""
        async with asyncio.timeout(within):
            while True:
                body = self.decoder.next_frame()
                if body is not None:
                    return decode_server(body)
                data = await self.reader.read(65536)
                if not data:
                    return None
                self.decoder.feed(data)

    async def hello(self, agent: str = "a", role: str = "train", **changes: object) -> m.Welcome:
        await self.say(hello(agent, role, **changes))
        welcome = await self.hear()
        assert isinstance(welcome, m.Welcome), welcome
        self.seq = welcome.last_seq
        return welcome

    @staticmethod
    def hello_message(agent: str = "a", role: str = "train", **changes: object) -> m.Hello:
        return hello(agent, role, **changes)

    def frame(self, kind, obs=None, reward=None, stream=None, **more) -> m.Step:
        self.seq += 1
        return step(self.seq, kind, obs, reward, stream, **more)

    async def step(self, kind, obs=None, reward=None, stream=None, **more):
        await self.say(self.frame(kind, obs, reward, stream, **more))
        return await self.hear()

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def hello(agent: str = "a", role: str = "train", **changes: object) -> m.Hello:
    fields: dict[str, object] = {
        "protocol": (1, 1),
        "client": "test",
        "agent": agent,
        "role": role,
        "observation": {"x": {"dtype": "float32", "shape": [4]}},
        "action": {"kind": "discrete", "n": 3},
        "streams": 4,
        "run": RUN,
    }
    return m.Hello(**(fields | changes))  # type: ignore[arg-type]


def step(seq, kind, obs=None, reward=None, stream=None, **more) -> m.Step:
    """A step of len(kind) rows on streams 0, 1, …, zeros where nothing is said."""
    n = len(kind)
    stream = range(n) if stream is None else stream
    obs = np.zeros((n, 4)) if obs is None else obs
    reward = np.zeros(n) if reward is None else reward
    return m.Step(
        seq=seq,
        stream=np.array(stream, "<u4").tobytes(),
        kind=bytes(kind),
        reward=np.array(reward, "<f4").tobytes(),
        obs={"x": np.ascontiguousarray(obs, "<f4").tobytes()},
        **more,
    )


class WebStreams:
    """Reader and writer of a `Peer` over WebSocket: frames go out and come in as messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.transport = writer.transport
        self.drain, self.wait_closed = writer.drain, writer.wait_closed
        self.decoder = WebSocketDecoder(2**31, masked=False)
        self.pongs: list[bytes] = []
        self.close_payload: bytes | None = None  # of the server's close

    async def upgrade(self) -> WebStreams:
        head = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self.writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\n{head}".encode())
        answer = await self.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return self

    def write(self, frame: bytes) -> None:
        self.send(Opcode.BINARY, frame[HEADER.size :])

    def send(self, opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> None:
        self.writer.write(encode_frame(opcode, payload, key=os.urandom(4), fin=fin))

    async def read(self, count: int) -> bytes:
        while self.close_payload is None:
            event = self.decoder.next_event()
            if event is None:
                data = await self.reader.read(count)
                if not data:
                    break
                self.decoder.receive(data)
                continue
            opcode, payload = event
            if opcode is Opcode.BINARY:
                return payload
            if opcode is Opcode.PONG:
                self.pongs.append(payload)
            elif opcode is Opcode.CLOSE:
                self.close_payload = payload
                self.send(Opcode.CLOSE, payload)
        return b""


class House:
    """A running server, its address, and peers that are closed at the end."""

    def __init__(self, config: ServerConfig, tokens: Tokens, data_dir: Path) -> None:
        self.server = Server(config, tokens, data_dir)
        self._ready = asyncio.Event()
        self._peers: list[Peer] = []
        self.task = asyncio.ensure_future(self.server.run(self._on_ready))

    def _on_ready(self, addresses: list[str]) -> None:
        host, port = addresses[0].rsplit(":", 1)
        self.host, self.port = host, int(port)
        self._ready.set()

    async def up(self) -> House:
        ready = asyncio.ensure_future(self._ready.wait())
        await asyncio.wait({ready, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            ready.cancel()
            self.task.result()
        return self

    async def peer(self, *, web: bool = False, unix: str = "", **options: object) -> Peer:
        """A connection, over WebSocket on demand; ``options`` as for open_connection."""
        if unix:
            streams = await asyncio.open_unix_connection(unix)
        else:
            streams = await asyncio.open_connection(self.host, self.port, **options)  # type: ignore
        peer = Peer(*streams)
        self._peers.append(peer)
        if web:
            peer.reader = peer.writer = await WebStreams(*streams).upgrade()  # type: ignore
        return peer

    async def down(self) -> None:
        for peer in self._peers:
            await peer.close()
        self.server.stop()
        await self.task


def server_config(agent: dict | None = None, device: str = "cpu", **limits: object) -> ServerConfig:
    config = agent_config_from_wire({"learner": "none"} | (agent or {}))
    return ServerConfig(
        port=0,
        device=device,
        http_port=None,
        autocreate=True,
        agent=config,
        limits=LimitsConfig(**limits),  # type: ignore[arg-type]
    )


@pytest.fixture(name="hello")
def hello_fixture():
    """What a game says first."""
    return hello()


@pytest.fixture
def build_house(tmp_path):
    """A daemon for tests that bring a loop of their own: ``await build_house(window=2).up()``."""
    return lambda **limits: House(server_config(**limits), Tokens(), tmp_path / "data")


@pytest.fixture
async def serve(tmp_path):
    """A factory of running daemons: ``await serve(agent={...}, window=2)``."""
    houses: list[House] = []

    async def start(agent=None, *, tokens=None, data_dir=None, config=None, **limits) -> House:
        config = config or server_config(agent, **limits)
        data_dir = data_dir or tmp_path / f"data{os.urandom(4).hex()}"
        house = House(config, tokens or Tokens(), data_dir)
        houses.append(house)
        return await house.up()

    yield start
    for house in houses:
        await house.down()
