"""The HTTP request that a WebSocket begins with: RFC 6455's example, and what is refused."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.protocol.codec import HEADER
from agentd.protocol.connection import HANDSHAKE_FRAME
from agentd.protocol.upgrade import (
    GET,
    MOST_HEAD,
    HttpFault,
    accept_key,
    accept_upgrade,
    answer,
    read_request,
)

HEADERS = {
    "Host": "server.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(first: str = "GET / HTTP/1.1", **changes: str | None) -> bytes:
    """The request of RFC 6455, 1.3; keywords replace headers, None leaves one out."""
    headers = dict(HEADERS)
    for name, value in changes.items():
        headers.pop(name := name.replace("_", "-"), None)
        if value is not None:
            headers[name] = value
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def upgrade(data: bytes) -> bytes:
    whole = read_request(data)
    assert whole is not None
    return accept_upgrade(whole[0])


def test_no_frame_of_a_first_word_begins_as_a_request_does() -> None:
    (length,) = HEADER.unpack(GET)

    assert length == 542_393_671 > 1000 * HANDSHAKE_FRAME


def test_the_example_of_rfc_6455() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert upgrade(request()) == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )


def test_no_extension_is_accepted_and_one_subprotocol_is() -> None:
    data = request(
        Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
        Sec_WebSocket_Protocol="other, agentd.v1",
    )

    head = upgrade(data)
    assert b"xtensions" not in head
    assert b"Sec-WebSocket-Protocol: agentd.v1\r\n" in head
    assert b"Protocol:" not in upgrade(request(Sec_WebSocket_Protocol="other"))


def test_browsers_ask_in_their_own_way() -> None:
    whole = read_request(request(Connection="keep-alive, Upgrade", Upgrade="WebSocket"))

    assert whole is not None
    assert whole[0].wants_websocket


def test_a_plain_request_wants_no_websocket() -> None:
    whole = read_request(b"GET /agentd.js?x HTTP/1.0\r\nhost: a\r\n\r\nrest")

    assert whole is not None
    wanted, rest = whole
    assert (wanted.path, wanted.headers, wanted.newest) == ("/agentd.js?x", {"host": "a"}, False)
    assert (wanted.wants_websocket, rest) == (False, b"rest")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(request()) - 1))
def test_a_request_is_complete_at_its_end_and_not_before(cut: int) -> None:
    assert read_request(request()[:cut]) is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET /"), 400),
        (request("GET / HTTP/2.0"), 400),
        (request("GET http://evil.example/ HTTP/1.1"), 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nOrigin: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nOrigin: null\r\norigin: http://localhost\r\n\r\n", 400),
        (request(Content_Length="5"), 400),
        (request(Transfer_Encoding="chunked"), 400),
        (request(X="y" * MOST_HEAD), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * MOST_HEAD, 431),
        (request(**{f"X{n}": "y" for n in range(60)}), 431),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Version=None), 426),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ"), 400),
        (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (request("GET / HTTP/1.0"), 400),
    ],
)
def test_what_is_unclear_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(HttpFault) as fault:
        upgrade(data)
    assert fault.value.status == status
    assert len(fault.value.text.splitlines()) == 1


def test_an_answer_is_whole_and_the_last() -> None:
    assert answer(404, b"none\n", "text/plain", {"X": "y"}) == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
        b"Connection: close\r\nX-Content-Type-Options: nosniff\r\nX: y\r\n\r\nnone\n"
    )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    with contextlib.suppress(HttpFault):
        assert read_request(GET + data + b"\r\n\r\n") is not None
