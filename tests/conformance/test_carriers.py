"""Rule R13 of PROTOCOL.md: the same sessions over WebSocket, by a client that knows RFC 6455."""

import base64
import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(bytes(range(16))).decode()
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]


def request(path: str = "/", **changes: str | None) -> bytes:
    """An upgrade request; keywords replace headers, None leaves one out."""
    headers: dict[str, str | None] = {
        "Host": "127.0.0.1:7331",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


def framed(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True) -> bytes:
    """One frame of RFC 6455, 5.2."""
    size = len(payload)
    key = os.urandom(4) if mask else b""
    head = bytes([opcode | 0x80 * fin])
    if size < 126:
        head += bytes([size | 0x80 * mask])
    elif size < 65536:
        head += struct.pack(">BH", 126 | 0x80 * mask, size)
    else:
        head += struct.pack(">BQ", 127 | 0x80 * mask, size)
    if mask:
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return head + key + payload


class WebSocket:
    """Looks like a socket of R2 to the client above it, and speaks WebSocket below."""

    def __init__(self, plain: socket.socket, **headers: str | None) -> None:
        self.plain = plain
        self.raw = self.body = b""  # read and not yet looked at; a frame of R2 not yet taken
        self.code: int | None = None  # of the server's close
        self.pongs: list[bytes] = []
        plain.sendall(request(**headers))
        while b"\r\n\r\n" not in self.raw:
            self._read()
        self.head, _, self.raw = self.raw.partition(b"\r\n\r\n")

    def sendall(self, frames: bytes) -> None:
        while frames:
            end = 4 + struct.unpack_from("<I", frames)[0]
            self.plain.sendall(framed(BINARY, frames[4:end]))
            frames = frames[end:]

    def recv(self, count: int) -> bytes:
        while not self.body:
            if self.code is not None:
                return b""
            opcode, payload = self._message()
            if opcode == BINARY:
                self.body = struct.pack("<I", len(payload)) + payload
            elif opcode == CLOSE:
                (self.code,) = struct.unpack(">H", payload[:2])
                self.plain.sendall(framed(CLOSE, payload[:2]))
            else:
                assert opcode == PONG, opcode
                self.pongs.append(payload)
        part, self.body = self.body[:count], self.body[count:]
        return part

    def _message(self) -> tuple[int, bytes]:
        first, size = self._exactly(2)
        assert first & 0x70 == 0, "a reserved bit"
        assert first & 0x80, "a server's message in fragments"
        assert size < 128, "a server's frame with a mask"
        if size == 126:
            (size,) = struct.unpack(">H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._exactly(8))
        return first & 0x0F, self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        while len(self.raw) < count:
            self._read()
        part, self.raw = self.raw[:count], self.raw[count:]
        return part

    def _read(self) -> None:
        data = self.plain.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed without a word")
        self.raw += data

    def close(self) -> None:
        self.plain.close()


@pytest.fixture
def web(dial: Dial) -> Client:
    """A WebSocket that has said nothing yet."""
    return dial(WebSocket)


def answer_to(client: Client, data: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body of the HTTP answer to ``data``."""
    client.socket.sendall(data)
    got = b""
    while part := client.socket.recv(65536):
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def expect_close(client: Client, code: int) -> None:
    """The server has closed with this code, and then the socket."""
    assert client.receive() is None
    assert client.socket.code == code
    with contextlib.suppress(ConnectionResetError):  # our own close came after that of the socket
        assert client.socket.plain.recv(1) == b""


# -- the handshake ---------------------------------------------------------------------------------


def test_r13_the_handshake_is_rfc_6455_s_and_takes_no_extension(dial: Dial) -> None:
    offer = "permessage-deflate; client_max_window_bits"
    client = dial(lambda plain: WebSocket(plain, Sec_WebSocket_Extensions=offer))
    magic = KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(magic).digest())

    first, *headers = client.socket.head.split(b"\r\n")
    assert first == b"HTTP/1.1 101 Switching Protocols"
    assert b"Sec-WebSocket-Accept: " + accept in headers
    assert b"xtensions" not in client.socket.head
    assert client.greet()["agent"] == "plain"


@pytest.mark.parametrize(
    "origin",
    [None, "http://localhost:8000", "https://127.0.0.1", "http://[::1]:5", "http://192.0.2.7"],
)
def test_r13_pages_of_this_machine_and_of_the_named_host_may_come(
    dial: Dial, origin: str | None
) -> None:
    client = dial(lambda plain: WebSocket(plain, Origin=origin, Host="192.0.2.7:7331"))
    assert client.greet()["type"] == "welcome"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "file://localhost"},
        {"Host": "evil.example"},  # it may point to 127.0.0.1
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": None},
        {"Origin": "https://evil.example", "Upgrade": None},
        {"Origin": "https://evil.example", "path": "/agentd.js"},
    ],
)
def test_r13_foreign_pages_and_names_are_refused_first(
    client: Client, headers: dict[str, str | None]
) -> None:
    status, _, body = answer_to(client, request(**headers))  # type: ignore[arg-type]
    assert status == 403
    assert b"is not listed in web." in body


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(Upgrade=None), 426),
        (request(Connection="close"), 426),
        (request("/game"), 404),
        (request("/?token=secret"), 404),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Key="short"), 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / SPDY/9\r\n\r\n", 400),
        (request(X="y" * 8192), 431),
        (request(**{f"X{n}": "y" for n in range(64)}), 431),
    ],
)
def test_r13_another_request_gets_a_short_answer(client: Client, data: bytes, status: int) -> None:
    got, head, body = answer_to(client, data)
    assert got == status
    assert b"Connection: close" in head
    assert 10 < len(body) < 150
    assert body.count(b"\n") == 1


def test_r13_a_request_may_come_byte_by_byte(dial: Dial) -> None:
    def dribble(plain: socket.socket) -> WebSocket:
        class Slow:
            def sendall(self, data: bytes) -> None:
                for at in range(len(data)):
                    plain.sendall(data[at : at + 1])

            def recv(self, count: int) -> bytes:
                return plain.recv(count)

        made = WebSocket(Slow())  # type: ignore[arg-type]
        made.plain = plain
        return made

    assert dial(dribble).greet()["type"] == "welcome"


def test_r13_half_a_request_is_no_hello(client: Client) -> None:
    status, _, body = answer_to(client, request()[:-2])
    assert (status, body) == (408, b"no hello in time\n")


def test_r13_an_upgrade_is_no_hello(web: Client) -> None:
    web.expect_end("HELLO_TIMEOUT", "idle")
    expect_close(web, 1001)


# -- sessions --------------------------------------------------------------------------------------


def test_r13_the_answers_are_those_of_tcp(dial: Dial) -> None:
    answers = []
    for client in (dial(), dial(WebSocket)):
        client.greet(role="play", explain=True)
        acts = []
        for n in range(20):
            obs = {"x": struct.pack("<4f", n, -n, n / 7, 3 - n)}
            kinds = [MID if n else FIRST] * 2
            acts.append(client.act(kinds, obs=obs))
        answers.append(acts)

    assert answers[0] == answers[1]


@pytest.mark.parametrize("wraps", [(None, WebSocket, None), (WebSocket, None, WebSocket)])
def test_r13_a_resume_may_change_the_carrier(dial: Dial, wraps: tuple[Any, ...]) -> None:
    first = dial(wraps[0])
    session = first.greet()["session"]
    answered = first.act([FIRST, FIRST])
    lost = first.rows([MID, MID])  # its answer never arrives
    first.send("step", **lost)
    first.ask("ping", t=1)
    first.close()

    second = dial(wraps[1])
    welcome = second.greet(resume=session)
    assert (welcome["resumed"], welcome["last_seq"]) == (True, 2)
    second.send("step", **lost)
    again = second.receive()
    assert (again["type"], again["seq"]) == ("act", 2)
    second.act([MID, TERMINATED])
    second.close()

    third = dial(wraps[2])
    welcome = third.greet(resume=session)
    assert (welcome["resumed"], welcome["last_seq"]) == (True, 3)
    third.act([MID, FIRST])
    assert answered["seq"] == 1


def test_r13_a_taken_over_session_ends_for_the_first(dial: Dial) -> None:
    first, second = dial(WebSocket), dial()
    session = first.greet()["session"]
    second.greet(resume=session)
    first.expect_goodbye("replaced")
    expect_close(first, 1000)


def test_r13_fragments_are_joined_and_pings_may_stand_between(web: Client) -> None:
    web.greet()
    body = msgpack.packb({"type": "step", **web.rows([FIRST] * 4)})
    parts = [body[at : at + 20] for at in range(0, len(body), 20)]
    data = framed(BINARY, parts[0], fin=False)
    for part in parts[1:]:
        data += framed(PING, b"still here") + framed(CONTINUATION, part, fin=False)
    web.socket.plain.sendall(data + framed(CONTINUATION))
    assert web.receive()["type"] == "act"
    assert web.socket.pongs == [b"still here"] * (len(parts) - 1)


def test_r13_several_messages_may_come_at_once(web: Client) -> None:
    web.hello()
    steps = [msgpack.packb({"type": "step", **web.rows([MID if n else FIRST])}) for n in range(30)]
    web.socket.plain.sendall(b"".join(framed(BINARY, step) for step in steps))
    assert web.receive()["type"] == "welcome"
    assert [web.receive()["seq"] for _ in steps] == [*range(1, 31)]


def test_r13_large_messages_come_and_go(web: Client) -> None:
    welcome = web.greet(streams=4096, explain=True)
    act = web.act([FIRST] * welcome["max_rows"])
    assert len(act["q"]) == 4 * 3 * 4096


# -- the end ---------------------------------------------------------------------------------------


def test_r13_goodbye_comes_before_close(web: Client) -> None:
    web.greet()
    web.send("goodbye", reason="client_done")
    web.expect_goodbye("client_done")
    expect_close(web, 1000)


def test_r13_a_peer_that_does_not_answer_close_is_waited_for_a_second(web: Client) -> None:
    web.greet()
    web.send("goodbye", reason="client_done")
    plain = web.socket.plain
    while plain.recv(4096):
        pass


def test_r13_a_bare_close_leaves_the_session_to_a_resume(dial: Dial) -> None:
    first = dial(WebSocket)
    session = first.greet()["session"]
    first.act([FIRST])
    first.socket.plain.sendall(framed(CLOSE, struct.pack(">H", 1001) + b"tab closed"))
    expect_close(first, 1001)
    assert dial().greet(resume=session)["resumed"] is True


@pytest.mark.parametrize(
    ("data", "code", "close"),
    [
        (framed(TEXT, b'{"type": "hello"}'), "BAD_FRAME", 1003),
        (framed(BINARY, b"\x81", mask=False), "BAD_FRAME", 1002),
        (b"\xc2\x80\0\0\0\0", "BAD_FRAME", 1002),  # RSV1: compressed
        (framed(3, b"x"), "BAD_FRAME", 1002),
        (framed(CONTINUATION, b"x"), "BAD_FRAME", 1002),
        (framed(PING, bytes(126)), "BAD_FRAME", 1002),
        (framed(CLOSE, b"\x03"), "BAD_FRAME", 1002),
        (framed(CLOSE, b"\x03\xe8\xff"), "BAD_FRAME", 1007),
        (framed(BINARY), "BAD_FRAME", 1002),
        (framed(BINARY, b"\xc0"), "BAD_FRAME", 1002),
        (framed(BINARY, bytes(16385)), "FRAME_TOO_LARGE", 1009),
        (b"\x82\xff" + struct.pack(">Q", 1 << 62), "FRAME_TOO_LARGE", 1009),
        (framed(BINARY, bytes(16000), fin=False) + b"\x00\xfe\x02\x00", "FRAME_TOO_LARGE", 1009),
        (framed(BINARY, msgpack.packb({"type": "ping", "t": 1})), "UNEXPECTED_MESSAGE", 1002),
    ],
    ids=map(str, range(14)),  # masks are drawn
)
def test_r13_what_breaks_a_rule_is_told_and_closed(
    web: Client, data: bytes, code: str, close: int
) -> None:
    web.socket.plain.sendall(data)
    web.expect_end(code, "limit" if close == 1009 else "protocol")
    expect_close(web, close)


def test_r13_after_welcome_a_message_may_be_as_large_as_a_frame(web: Client) -> None:
    welcome = web.greet()
    web.socket.plain.sendall(b"\x82\xff" + struct.pack(">Q", welcome["max_frame"] + 1))
    error = web.expect_end("FRAME_TOO_LARGE", "limit")
    assert error["expected"] == f"1..{welcome['max_frame']} bytes"
    expect_close(web, 1009)


def test_r13_data_errors_end_nothing(web: Client) -> None:
    web.greet()
    web.expect_refusal(web.step([FIRST], obs={"x": b"short"}), "BAD_SHAPE")
    web.act([FIRST])
