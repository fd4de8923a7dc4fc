"""Frames and messages: round trips, every refusal with its field, bounded cost, linear time."""

import struct
import time
from collections.abc import Callable
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.protocol import messages as m
from agentd.protocol.codec import (
    HEADER,
    FrameDecoder,
    decode_client,
    decode_hello,
    decode_server,
    encode,
    encode_into,
)
from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError

pack = msgpack.packb
STEP = {
    "type": "step",
    "seq": 1,
    "stream": bytes(4),
    "kind": b"\0",
    "reward": bytes(4),
    "obs": {"x": bytes(8)},
}
MAX = 8 << 20


def framed(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


def refusal(decode: Callable[[bytes], object], body: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(body)
    return caught.value


def best_of(times: int, work: Callable[[], object]) -> float:
    """The shortest of several runs, in milliseconds: what the work costs on an idle core."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def without(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


# -- frames ---------------------------------------------------------------------------------------


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=300), max_size=12),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=40),
)
def test_frames_come_back_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream, decoder, found = b"".join(framed(b) for b in bodies), FrameDecoder(300), []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
        if turn % 3:
            while (frame := decoder.next_frame()) is not None:
                found.append(frame)
    while (frame := decoder.next_frame()) is not None:
        found.append(frame)

    assert [bytes(frame) for frame in found] == bodies  # views are still good at the end
    assert not decoder.has_partial


def test_a_frame_inside_one_chunk_is_not_copied() -> None:
    chunk = framed(b"first") + framed(b"second")
    decoder = FrameDecoder(100)
    decoder.feed(chunk)

    frame = decoder.next_frame()

    assert isinstance(frame, memoryview)
    assert frame.obj is chunk


@pytest.mark.parametrize("size", [101, 2**31, 2**32 - 1])
def test_a_long_frame_is_refused_from_its_header(size: int) -> None:
    decoder = FrameDecoder(100)
    decoder.feed(HEADER.pack(size)[:3])
    assert decoder.next_frame() is None

    decoder.feed(HEADER.pack(size)[3:])

    with pytest.raises(FrameTooLarge) as caught:
        decoder.next_frame()
    assert (caught.value.code, caught.value.expected) == (Code.FRAME_TOO_LARGE, "1..100")
    assert caught.value.got == str(size)
    assert caught.value.fatal


def test_an_empty_frame_is_refused() -> None:
    decoder = FrameDecoder(100)
    decoder.feed(bytes(4))

    with pytest.raises(ProtocolError) as caught:
        decoder.next_frame()
    assert (caught.value.code, caught.value.field) == (Code.BAD_FRAME, "length")


def test_an_unfinished_frame_is_seen() -> None:
    decoder = FrameDecoder(100)
    assert not decoder.has_partial
    decoder.feed(framed(b"body")[:-1])
    assert decoder.next_frame() is None
    assert decoder.has_partial
    decoder.feed(b"y")
    assert bytes(decoder.next_frame() or b"") == b"body"
    assert not decoder.has_partial


def test_single_bytes_cost_no_more_memory_than_they_are() -> None:
    import tracemalloc

    decoder, size = FrameDecoder(MAX), 200_000
    stream = framed(bytes(size))
    tracemalloc.start()
    for at in range(len(stream)):
        decoder.feed(stream[at : at + 1])
        if at < len(stream) - 1:
            assert decoder.next_frame() is None
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 1.5 * size
    assert decoder.next_frame() == bytes(size)


def test_time_is_linear_in_the_bytes() -> None:
    def dribble(size: int) -> None:
        decoder, chunk = FrameDecoder(MAX), bytes(1000)
        decoder.feed(HEADER.pack(size))
        for _ in range(size // 1000):
            decoder.next_frame()
            decoder.feed(chunk)
        assert decoder.next_frame() is not None

    def many_frames(count: int) -> None:
        decoder = FrameDecoder(MAX)
        decoder.feed(framed(b"x") * count)
        for _ in range(count):
            decoder.next_frame()

    assert best_of(3, lambda: dribble(4_000_000)) < 16 * best_of(3, lambda: dribble(1_000_000)) + 5
    assert best_of(3, lambda: many_frames(40_000)) < 16 * best_of(3, lambda: many_frames(10_000))


def test_encode_into_appends_the_frame_of_encode() -> None:
    out = bytearray(b"before")
    first, second = m.Ping(t=1), m.ActReply(seq=1, action=b"\0\0\0\0", version=2)

    encode_into(first, out)
    encode_into(second, out)

    assert bytes(out) == b"before" + encode(first) + encode(second)


# -- round trips ----------------------------------------------------------------------------------

names = st.text("abcXYZ09_.-", min_size=1, max_size=64)
bins = st.binary(max_size=300).map(memoryview)
scalars = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=5)
free = st.recursive(
    scalars | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
seqs = st.integers(0, 2**63 - 1)
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    int: seqs,
    str: st.text(max_size=40),
    bytes: st.binary(max_size=20),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    int | float: seqs | st.floats(allow_nan=False),
    memoryview: bins,
    m.Tensors: st.dictionaries(names, bins, max_size=20),
    m.Reason: st.sampled_from(m.GOODBYE_REASONS),
    m.Keep: st.sampled_from(["nothing", "weights"]),
    tuple[int, int]: st.tuples(st.just(1), st.just(1)),
    dict[str, Any]: st.dictionaries(st.text(max_size=5), free, max_size=3),
    dict[str, dict[str, Any]]: st.dictionaries(names, st.dictionaries(names, free, max_size=2)),
    list[dict[str, Any]]: st.lists(st.dictionaries(st.text(max_size=5), free, max_size=3)),
    str | None: st.none() | st.text(max_size=40),
    int | None: st.none() | seqs,
    float | None: st.none() | st.floats(allow_nan=False),
    dict[str, float]: st.dictionaries(names, st.floats(allow_nan=False), max_size=3),
    dict[str, float] | None: st.none()
    | st.dictionaries(names, st.floats(allow_nan=False), max_size=3),
    bytes | None: st.none() | st.binary(max_size=20),
    memoryview | None: st.none() | bins,
    dict[str, Any] | None: st.none() | st.dictionaries(st.text(max_size=5), free, max_size=3),
    dict[str, dict[str, Any]] | None: st.none()
    | st.dictionaries(names, st.dictionaries(names, free, max_size=2), max_size=3),
}


def messages(kind: type[m.Message]) -> st.SearchStrategy[m.Message]:
    """Any message of a type, made from the types of its fields."""
    import typing

    hints = typing.get_type_hints(kind, include_extras=True)
    priority = st.sampled_from(["realtime", "bulk"])
    fields = {
        name: priority if name == "priority" else FIELDS[hints[name]]
        for name in kind.__struct_fields__
    }
    return st.builds(kind, **fields)


@settings(max_examples=25)
@pytest.mark.parametrize("kind", get_args(m.ClientMessage), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_client_messages_come_back_equal(kind: type[m.Message], data: Any) -> None:
    message = data.draw(messages(kind))

    assert decode_client(encode(message)[HEADER.size :]) == message


@settings(max_examples=25)
@pytest.mark.parametrize("kind", get_args(m.ServerMessage), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_server_messages_come_back_equal(kind: type[m.Message], data: Any) -> None:
    message = data.draw(messages(kind))

    assert decode_server(encode(message)[HEADER.size :]) == message


def test_any_width_and_key_order_is_read(step: Callable[..., m.Step]) -> None:
    wide = b"\xdf\0\0\0\x06"
    for key, value in (
        (b"obs", b"\xdf\0\0\0\x01\xdb\0\0\0\x01x\xc6\0\0\0\x10" + bytes(16)),
        (b"reward", b"\xc6\0\0\0\x08" + bytes(8)),
        (b"seq", b"\xcf" + struct.pack(">Q", 1)),
        (b"kind", b"\xc5\0\x02" + bytes(2)),
        (b"type", b"\xda\0\x04step"),
        (b"stream", b"\xc4\x08" + struct.pack("<2I", 0, 1)),
    ):
        wide += b"\xd9" + bytes([len(key)]) + key + value

    assert decode_client(wide) == step()


def test_nil_is_the_same_as_absent(step: Callable[..., m.Step]) -> None:
    fields = msgpack.unpackb(encode(step())[HEADER.size :])

    assert decode_client(pack(fields | {"mask": None})) == step()


def test_tensors_are_views_of_the_frame(step: Callable[..., m.Step]) -> None:
    body = encode(step())[HEADER.size :]

    decoded = decode_client(body)

    assert isinstance(decoded, m.Step)
    assert decoded.obs["x"].obj is body


# -- the first words ------------------------------------------------------------------------------


def test_another_version_is_told_the_range_whatever_else_it_says() -> None:
    for extra in ({}, {"colour": "blue"}, {"role": 7}):
        fault = refusal(decode_hello, pack({"type": "hello", "protocol": [3, 9]} | extra))
        assert (fault.code, fault.field) == (Code.UNSUPPORTED_VERSION, "protocol")
        assert (fault.expected, fault.got) == ("[1, 2]", "[3, 9]")
        assert fault.fatal


def test_a_hello_that_cannot_be_read_is_a_bad_hello(hello: Callable[..., m.Hello]) -> None:
    fields = msgpack.unpackb(encode(hello())[HEADER.size :])
    for broken, field in (
        (without(fields, "client"), "client"),
        (without(fields, "protocol"), "protocol"),
        (fields | {"protocol": "1"}, "protocol"),
        (fields | {"protocol": [1]}, "protocol"),
        (fields | {"streams": "2"}, "streams"),
        (fields | {"colour": "blue"}, "colour"),
        (fields | {"priority": "urgent"}, "priority"),
    ):
        fault = refusal(decode_hello, pack(broken))
        assert (fault.code, fault.field) == (Code.BAD_HELLO, field)


def test_first_words_that_are_no_hello_keep_their_code() -> None:
    assert refusal(decode_hello, pack({"type": "walk"})).code is Code.BAD_MESSAGE
    assert refusal(decode_hello, pack([1])).code is Code.BAD_FRAME
    assert isinstance(decode_hello(pack(STEP)), m.Step)
