"""The WebSocket codec: RFC 6455's own vectors, any cut of the bytes, and everything it refuses."""

import contextlib
import itertools
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.protocol.codec import HEADER
from agentd.protocol.errors import Code
from agentd.protocol.websocket import (
    LONG,
    CloseCode,
    Event,
    Opcode,
    WebSocketDecoder,
    WebSocketFault,
    encode_close,
    encode_frame,
    encode_message,
    read_close,
)

KEY = bytes.fromhex("37fa213d")  # of the examples in RFC 6455, 5.7
SIZES = [0, 1, 5, 125, 126, 127, 1000, LONG, LONG + 3, 65535, 65536, 70001]


def framed(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


def decoded(data: bytes, *, masked: bool = False, text: bool = True) -> list[Event]:
    decoder = WebSocketDecoder(1 << 20, masked=masked, text=text)
    decoder.receive(data)
    return events(decoder)


def events(decoder: WebSocketDecoder) -> list[Event]:
    found = []
    while (event := decoder.next_event()) is not None:
        found.append(event)
    return found


def body_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# -- RFC 6455, 5.7 ---------------------------------------------------------------------------------


def test_single_unmasked_text_message() -> None:
    assert decoded(bytes.fromhex("810548656c6c6f")) == [(Opcode.TEXT, framed(b"Hello"))]


def test_single_masked_text_message() -> None:
    data = bytes.fromhex("818537fa213d7f9f4d5158")

    assert decoded(data, masked=True) == [(Opcode.TEXT, framed(b"Hello"))]
    assert encode_frame(Opcode.TEXT, b"Hello", key=KEY) == data


def test_fragmented_unmasked_text_message() -> None:
    first, rest = bytes.fromhex("010348656c"), bytes.fromhex("80026c6f")

    assert decoded(first) == []
    assert decoded(first + rest) == [(Opcode.TEXT, framed(b"Hello"))]
    assert encode_frame(Opcode.TEXT, b"Hel", fin=False) == first
    assert encode_frame(Opcode.CONTINUATION, b"lo") == rest


def test_unmasked_ping_and_masked_pong() -> None:
    ping, pong = bytes.fromhex("890548656c6c6f"), bytes.fromhex("8a8537fa213d7f9f4d5158")

    assert decoded(ping) == [(Opcode.PING, b"Hello")]
    assert decoded(pong, masked=True) == [(Opcode.PONG, b"Hello")]
    assert encode_frame(Opcode.PING, b"Hello") == ping
    assert encode_frame(Opcode.PONG, b"Hello", key=KEY) == pong


@pytest.mark.parametrize(("size", "head"), [(256, "827e0100"), (65536, "827f0000000000010000")])
def test_longer_binary_messages(size: int, head: str) -> None:
    body = body_of(size)
    data = bytes.fromhex(head) + body

    assert decoded(data) == [(Opcode.BINARY, framed(body))]
    assert encode_message(framed(body)) == data == encode_frame(Opcode.BINARY, body)


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_masked_message_comes_out_as_a_frame(size: int) -> None:
    body = body_of(size)
    data = encode_frame(Opcode.BINARY, body, key=KEY)
    decoder = WebSocketDecoder(1 << 20, masked=True)

    assert decoded(data, masked=True) == [(Opcode.BINARY, framed(body))]
    assert decoder.whole(data) == (framed(body) if size < 65536 else None)
    assert decoder.whole(data[:-1]) is None
    assert decoder.whole(data + b"\x82") is None
    assert not decoder.has_partial


def test_what_is_no_single_message_is_left_alone() -> None:
    decoder = WebSocketDecoder(100, masked=True)
    part = encode_frame(Opcode.BINARY, b"ab", key=KEY, fin=False)
    message = encode_frame(Opcode.BINARY, b"cd", key=KEY)
    others = [
        part,
        encode_frame(Opcode.TEXT, b"ab", key=KEY),
        encode_frame(Opcode.PING, b"ab", key=KEY),
        encode_frame(Opcode.BINARY, b"abcdef"),
        encode_frame(Opcode.BINARY, bytes(101), key=KEY),
        bytes([message[0] | 0x40]) + message[1:],
    ]

    assert [decoder.whole(data) for data in others] == [None] * len(others)
    decoder.receive(part)
    decoder.next_event()
    assert decoder.whole(message) is None


Piece = tuple[Opcode, bytes, bool]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Event], bytes]:
    """Messages, some in fragments with pings between them, and the bytes that bring them."""
    expected: list[Event] = []
    pieces: list[Piece] = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            ping = draw(st.binary(max_size=125))
            expected.append((Opcode.PING, ping))
            pieces.append((Opcode.PING, ping, True))
            continue
        parts = draw(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
        for at, part in enumerate(parts):
            opcode = Opcode.CONTINUATION if at else Opcode.BINARY
            pieces.append((opcode, part, at == len(parts) - 1))
            if at < len(parts) - 1 and draw(st.booleans()):
                expected.append((Opcode.PONG, b"between"))
                pieces.append((Opcode.PONG, b"between", True))
        expected.append((Opcode.BINARY, framed(b"".join(parts))))
    key = draw(st.binary(min_size=4, max_size=4))
    data = b"".join(encode_frame(code, part, key=key, fin=fin) for code, part, fin in pieces)
    return expected, data


@settings(max_examples=150, deadline=None)
@given(conversations(), st.lists(st.integers(0, 4000), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_messages(
    conversation: tuple[list[Event], bytes], cuts: list[int]
) -> None:
    expected, data = conversation
    decoder = WebSocketDecoder(1 << 20, masked=True)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    found: list[Event] = []
    for start, end in itertools.pairwise(places):
        chunk = data[start:end]
        frame = decoder.whole(chunk)
        if frame is not None:
            found.append((Opcode.BINARY, frame))
        else:
            decoder.receive(chunk)
            found += events(decoder)

    assert found == expected
    assert not decoder.has_partial


@settings(max_examples=100, deadline=None)
@given(conversations(), st.integers(0, 4000))
def test_what_is_unread_goes_on_in_another_decoder(
    conversation: tuple[list[Event], bytes], cut: int
) -> None:
    expected, data = conversation
    cut %= len(data) + 1
    first, second = (WebSocketDecoder(1 << 20, masked=True) for _ in range(2))
    first.receive(data[:cut])
    found = events(first)
    second.receive(first.rest() + data[cut:])

    assert found + events(second) == expected
    assert not first.has_partial


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_messages_or_a_fault(data: bytes, masked: bool) -> None:
    with contextlib.suppress(WebSocketFault):
        decoded(data, masked=masked)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "close"),
    [
        (encode_frame(Opcode.BINARY, b"ab"), CloseCode.PROTOCOL),  # no mask
        (b"\xc2" + encode_frame(Opcode.BINARY, b"ab", key=KEY)[1:], CloseCode.PROTOCOL),  # RSV1
        (b"\x83" + encode_frame(Opcode.BINARY, b"ab", key=KEY)[1:], CloseCode.PROTOCOL),  # opcode 3
        (b"\x8b" + encode_frame(Opcode.PING, b"ab", key=KEY)[1:], CloseCode.PROTOCOL),  # opcode 11
        (encode_frame(Opcode.PING, bytes(126), key=KEY), CloseCode.PROTOCOL),
        (encode_frame(Opcode.PING, b"ab", key=KEY, fin=False), CloseCode.PROTOCOL),
        (encode_frame(Opcode.CONTINUATION, b"ab", key=KEY), CloseCode.PROTOCOL),
        (2 * encode_frame(Opcode.BINARY, b"ab", key=KEY, fin=False), CloseCode.PROTOCOL),
        (encode_frame(Opcode.TEXT, b"ab", key=KEY), CloseCode.UNSUPPORTED),
        (encode_frame(Opcode.BINARY, bytes(101), key=KEY), CloseCode.TOO_LARGE),
        (b"\x82\xff\x7f" + bytes(8), CloseCode.TOO_LARGE),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused_before_its_payload(
    data: bytes, close: CloseCode
) -> None:
    decoder = WebSocketDecoder(100, masked=True)
    decoder.receive(data[:-1])  # the payload is not there yet

    with pytest.raises(WebSocketFault) as fault:
        events(decoder)
    assert fault.value.close is close
    large = close is CloseCode.TOO_LARGE
    assert fault.value.code is (Code.FRAME_TOO_LARGE if large else Code.BAD_FRAME)


def test_a_server_s_frames_are_not_masked() -> None:
    with pytest.raises(WebSocketFault, match="want no mask, got one"):
        decoded(encode_frame(Opcode.BINARY, b"ab", key=KEY))


def test_fragments_have_the_limit_of_one_message() -> None:
    decoder = WebSocketDecoder(100, masked=True)
    decoder.receive(encode_frame(Opcode.BINARY, bytes(60), key=KEY, fin=False))
    decoder.receive(encode_frame(Opcode.CONTINUATION, bytes(41), key=KEY, fin=False)[:6])

    with pytest.raises(WebSocketFault, match="a message of 101 bytes is over the limit") as fault:
        events(decoder)
    assert fault.value.close is CloseCode.TOO_LARGE


def test_tiny_fragments_cost_no_more_memory_than_they_bring() -> None:
    decoder = WebSocketDecoder(1 << 20, masked=True)
    part = encode_frame(Opcode.CONTINUATION, b"x", key=KEY, fin=False)
    tracemalloc.start()
    try:
        decoder.receive(encode_frame(Opcode.BINARY, b"x", key=KEY, fin=False))
        for _ in range(5_000):
            decoder.receive(part)
            assert decoder.next_event() is None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 32 * 1024


def test_nothing_counts_after_a_close() -> None:
    close = encode_close(CloseCode.NORMAL, "done", key=KEY)

    assert decoded(close + b"\xff\xff" + close, masked=True) == [(Opcode.CLOSE, b"\x03\xe8done")]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", CloseCode.ABSENT),
        (b"\x03\xe8", 1000),
        (b"\x03\xe9gone", 1001),
        (b"\x0f\xa0", 4000),
        (b"\x03", None),  # half a code
        (b"\x03\xe7", None),  # 999
        (b"\x03\xed", None),  # 1005 is never sent
        (b"\x03\xf7", None),  # nor is 1015
        (b"\x07\xd0", None),  # 2000
        (b"\x03\xe8\xff", None),  # no UTF-8
    ],
)
def test_close_codes(payload: bytes, code: int | None) -> None:
    if code is None:
        with pytest.raises(WebSocketFault):
            read_close(payload)
    else:
        assert read_close(payload) == code
