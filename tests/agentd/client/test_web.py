"""The client's end of a WebSocket: what a server may answer, and what is wrong with it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.client import AsyncClient, Client, Unreachable
from agentd.client.web import WebSocketEnd
from agentd.protocol.codec import HEADER
from agentd.protocol.upgrade import accept_upgrade, read_request
from agentd.protocol.websocket import (
    CloseCode,
    Opcode,
    WebSocketDecoder,
    encode_close,
    encode_frame,
    encode_message,
)


def agreed(end: WebSocketEnd) -> bytes:
    """A server's answer to the handshake."""
    whole = read_request(end.request())
    assert whole is not None
    assert whole[0].wants_websocket
    return accept_upgrade(whole[0])


def framed(*bodies: bytes) -> bytes:
    return b"".join(HEADER.pack(len(body)) + body for body in bodies)


def test_frames_go_out_as_masked_messages() -> None:
    end = WebSocketEnd("localhost:7331")
    end.receive(agreed(end))
    decoder = WebSocketDecoder(1 << 20, masked=True)
    decoder.receive(end.wrap(framed(b"one", bytes(70_000))))

    assert decoder.next_event() == (Opcode.BINARY, framed(b"one"))
    assert decoder.next_event() == (Opcode.BINARY, framed(bytes(70_000)))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=4), st.integers(1, 90))
def test_any_cut_of_what_a_server_sends_gives_the_same_frames(
    bodies: list[bytes], step: int
) -> None:
    end = WebSocketEnd("localhost")
    data = agreed(end) + encode_frame(Opcode.PING, b"you?")
    data += b"".join(encode_message(framed(body)) for body in bodies)
    data += encode_close(CloseCode.NORMAL, "client_done")
    frames = back = b""
    for at in range(0, len(data), step):
        assert not end.over
        found, answer = end.receive(data[at : at + step])
        frames, back = frames + found, back + answer

    assert frames == framed(*bodies)
    assert end.over
    decoder = WebSocketDecoder(1 << 20, masked=True)
    decoder.receive(back)
    assert decoder.next_event() == (Opcode.PONG, b"you?")
    assert decoder.next_event() == (Opcode.CLOSE, b"\x03\xe8")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\nhost 'x' is not listed\n", "403 Forbidden: host 'x'"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "200 OK"),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n", "is not one"),
        (b"\x21\x00\x00\x00\x82", "no WebSocket is spoken there"),
    ],
)
def test_another_answer_to_the_handshake_is_told(answer: bytes, said: str) -> None:
    with pytest.raises(ConnectionRefusedError, match=re.escape(said)):
        WebSocketEnd("localhost").receive(answer)


def test_a_server_that_breaks_the_carrier_is_left() -> None:
    end = WebSocketEnd("localhost")
    end.receive(agreed(end))
    with pytest.raises(ConnectionAbortedError, match="want no mask, got one"):
        end.receive(encode_frame(Opcode.BINARY, b"x", key=b"abcd"))


async def test_where_no_websocket_is_both_clients_say_so(peer) -> None:
    """``peer`` speaks frames of R2 alone."""
    url = f"ws://127.0.0.1:{peer.address[1]}"
    with pytest.raises(Unreachable, match=f"{url}: "):
        Client.connect(url, "a", ("float32", (2,)), 3)
    with pytest.raises(Unreachable, match=f"{url}: "):
        await AsyncClient.connect(url, "a", ("float32", (2,)), 3)
