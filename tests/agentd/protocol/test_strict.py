"""What is no message is refused by field, in bounded time, with nothing but ProtocolError."""

import json
import random
import struct
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.protocol import messages as m
from agentd.protocol.codec import CONTROL_FRAME, decode_client, decode_hello, decode_server, encode
from agentd.protocol.errors import Code, ProtocolError

pack = msgpack.packb
TYPES1 = "hello | step | teach | ping | pong | goodbye | agents | info | create | save | load"
TYPES1 += " | unload | delete | freeze | stats"
TYPES = TYPES1.replace("teach", "teach | log") + " | settings | reset | explore | copy | migrate"
MAX = 8 << 20


def refusal(decode: Callable[[bytes], object], body: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(body)
    return caught.value


def best_of(times: int, work: Callable[[], object]) -> float:
    """The shortest of several runs, in milliseconds of this thread's processor time."""
    best = float("inf")
    for _ in range(times):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return 1e3 * best


# -- refusals -------------------------------------------------------------------------------------

STEP = {
    "type": "step",
    "seq": 1,
    "stream": bytes(4),
    "kind": b"\0",
    "reward": bytes(4),
    "obs": {"x": bytes(8)},
}


def without(fields: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != key}


@pytest.mark.parametrize(
    ("fields", "field", "expected", "got"),
    [
        (STEP | {"seq": 1.0}, "seq", "int", "float"),
        (STEP | {"seq": "1"}, "seq", "int", "str"),
        (STEP | {"stream": [0]}, "stream", "bin", "array"),
        (STEP | {"kind": "0"}, "kind", "bin", "str"),
        (STEP | {"obs": [1.0]}, "obs", "map", "array"),
        (STEP | {"obs": {"x": [1.0]}}, "obs[...]", "bin", "array"),
        (STEP | {"obs": {1: b""}}, "obs", "str", "int"),
        (STEP | {"reward": None}, "reward", "bin", "nil"),
        (STEP | {"reward": msgpack.ExtType(7, b"1234")}, "reward", "bin", "ext"),
        (STEP | {"obs": {"x": msgpack.Timestamp(1)}}, "obs[...]", "bin", "ext"),
        (STEP | {"extra": 1}, "extra", "no such key", "an unknown key"),
        (without(STEP, "reward"), "reward", "this key", "nothing"),
        (without(STEP, "type"), "type", "this key", "nothing"),
        (STEP | {"type": "walk"}, "type", TYPES, "'walk'"),
        (STEP | {"type": 1}, "type", "str", "int"),
        (
            {"type": "goodbye", "reason": "tired"},
            "reason",
            " | ".join(m.GOODBYE_REASONS),
            "'tired'",
        ),
        ({"type": "ping", "t": "now"}, "t", "int | float", "str"),
        ({"type": "freeze", "agent": "a", "on": 1}, "on", "bool", "int"),
        (
            {"type": "create", "agent": "a", "config": {"a": [msgpack.ExtType(3, b"")]}},
            "config.a.0",
            "no extension type",
            "an extension type",
        ),
        (
            {"type": "create", "agent": "a", "config": {"a": msgpack.Timestamp(3)}},
            "config.a",
            "no extension type",
            "an extension type",
        ),
    ],
)
def test_what_is_no_message_is_refused_by_field(
    fields: dict[str, Any], field: str, expected: str | None, got: str | None
) -> None:
    fault = refusal(decode_client, pack(fields))

    assert (fault.code, fault.fatal) == (Code.BAD_MESSAGE, True)
    assert (fault.field, fault.expected, fault.got) == (field, expected, got)


@pytest.mark.parametrize("value", [b"\0\0\0\0", None])
@pytest.mark.parametrize("key", ["taken", "by", "elapsed", "success"])
def test_version_1_does_not_know_the_keys_of_version_2(key: str, value: bytes | None) -> None:
    for body in (pack(STEP | {key: value}), pack(STEP | {"obs": {"x": bytes(2**15)}, key: value})):
        fault = refusal(lambda body: decode_client(body, 1), body)
        assert (fault.code, fault.field) == (Code.BAD_MESSAGE, key)
        assert (fault.expected, fault.got) == ("no such key", "an unknown key")
        assert isinstance(decode_client(body, 2), m.Step)


def test_version_1_does_not_know_the_types_of_version_2() -> None:
    for fields in ({"type": "log", "values": {}}, {"type": "settings", "agent": "a", "values": {}}):
        fault = refusal(lambda body: decode_client(body, 1), pack(fields))
        assert (fault.field, fault.expected) == ("type", TYPES1)
        decode_client(pack(fields), 2)


@pytest.mark.parametrize("key", ["dt_ms", "level"])
@pytest.mark.parametrize("versions", [[1, 1], [0, 1]])
def test_a_hello_of_version_1_does_not_know_a_key_of_version_2(
    versions: list[int], key: str
) -> None:
    hello = {"type": "hello", "protocol": versions, "client": "c", "role": "admin", "run": b""}

    fault = refusal(decode_hello, pack(hello | {key: 16.0}))

    assert (fault.code, fault.field) == (Code.BAD_HELLO, key)
    newer = decode_hello(pack(hello | {key: 16.0, "protocol": [1, 2]}))
    assert isinstance(newer, m.Hello)
    assert getattr(newer, key) == 16.0
    assert type(decode_hello(pack(hello))) is m.Hello


def test_an_allowed_key_that_is_no_string_is_refused() -> None:
    assert refusal(decode_client, pack({1: 2, "type": "ping"})).code is Code.BAD_MESSAGE


@pytest.mark.parametrize(
    "body",
    [
        pack([1]),
        pack(1),
        pack("step"),
        pack({"type": "ping", "t": 1}) + b"\0",
        pack({"type": "ping", "t": 1})[:-1],
        b"\xc1",
        b"\x82\xa4type\xa4ping\xa1\xff\x01",
        b"\x82\xa4type\xa4ping\xa1t\xc1",
        b"\xde\0",
        b"\xdf\0\0",
        b"\x82\xa4type\xdb\xff\xff\xff\xffping",
        b"\x82\xa4type\xa4step\xa6stream\xc6\xff\xff\xff\xff\0",
    ],
)
def test_what_is_not_exactly_one_map_is_a_bad_frame(body: bytes) -> None:
    fault = refusal(decode_client, body)

    assert (fault.code, fault.fatal) == (Code.BAD_FRAME, True)


@pytest.mark.parametrize(
    "body",
    [
        b"\x83\xa4type\xa4ping\xa1t\x01\xa1t\x02",
        b"\x83\xa4type\xa4ping\xa4type\xa4ping\xa1t\x01",
        b"\x87" + pack(STEP)[1:] + b"\xa3seq\x01",
        pack(STEP | {"obs": {}})[:-1]
        + b"\x82\xa1x\xc4\x08"
        + bytes(8)
        + b"\xa1x\xc4\x08"
        + bytes(8),
        b"\x86"
        + pack({"type": "teach", "seq": 1, "obs": {}, "target": b"", "weight": b""})[1:]
        + b"\xa6target\xc4\0",
        b"\x83\xa4type\xa6create\xa5agent\xa1a\xa6config\x82\xa1k\1\xa1k\2",
        b"\x83\xa4type\xa4info\xa5agent\xa1a\xa5agent\xa1b",
    ],
)
def test_a_key_twice_is_refused(body: bytes) -> None:
    fault = refusal(decode_client, body)

    assert (fault.code, fault.expected) == (Code.BAD_MESSAGE, "each key once")


def test_only_rows_may_be_long() -> None:
    info = {"type": "info", "agent": "a" * CONTROL_FRAME}
    step = STEP | {"obs": {"x": bytes(CONTROL_FRAME)}}

    fault = refusal(decode_client, pack(info))

    assert (fault.code, fault.field) == (Code.BAD_MESSAGE, "type")
    assert str(CONTROL_FRAME) in str(fault.expected)
    assert isinstance(decode_client(pack(step)), m.Step)
    assert isinstance(decode_client(pack(without(step, "type") | {"type": "step"})), m.Step)


# -- hostile bodies -------------------------------------------------------------------------------


def lists(count: int, item: bytes = b"\x90") -> bytes:
    return b"\xdd" + struct.pack(">I", count) + item * count


def tree(depth: int) -> bytes:
    return b"\x01" if depth == 0 else b"\xdc\0\x40" + tree(depth - 1) * 64


CREATE = b"\x83\xa4type\xa6create\xa5agent\xa1a\xa6config"
BOMBS = {
    "lists": lists(MAX - 8),
    "deep lists": b"\x91" * MAX,
    "deep maps": b"\x81\xa1a" * (MAX // 3),
    "huge map": b"\xdf\xff\xff\xff\xff\xa1a\1",
    "huge list": b"\xdd\xff\xff\xff\xff",
    "huge bin": b"\x82\xa4type\xa4step\xa6stream\xc6\xff\xff\xff\xff",
    "huge obs": b"\x82\xa4type\xa4step\xa3obs\xdf\xff\xff\xff\xff",
    "same tensor": b"\x82\xa4type\xa4step\xa3obs"
    + b"\xdf\0\x1e\x84\x80"
    + b"\xa1a\xc4\0" * 2_000_000,
    "same key": b"\xdf\0\x19\0\0" + b"\xa3seq\1" * 0x190000,
    "lists in obs": b"\x82\xa4type\xa4step\xa3obs" + lists(MAX - 32),
    "tree in obs": b"\x82\xa4type\xa4step\xa3obs\x81\xa1x" + tree(3),
    "lists before type": b"\x82\xa3seq" + lists(MAX - 32) + b"\xa4type\xa4step",
    "tree before type": b"\x82\xa3seq" + tree(3) + b"\xa4type\xa4step",
    "unknown before type": b"\x82\xa3abc" + lists(MAX - 32) + b"\xa4type\xa4step",
    "deep before type": b"\x82\xa3seq" + b"\x91" * (MAX - 32),
    "lists in create": CREATE + b"\x81\xa1a" + lists(CONTROL_FRAME - 64),
    "maps in create": CREATE + b"\x81\xa1a" + lists(CONTROL_FRAME - 64, b"\x80"),
    "numbers in create": CREATE + b"\x81\xa1a" + lists(CONTROL_FRAME - 64, b"\1"),
    "tree in create": CREATE + b"\x81\xa1a" + tree(2),
    "deep create": CREATE + b"\x81\xa1a" + b"\x91" * 100 + b"\1",
    "deeper create": CREATE + b"\x81\xa1a" + b"\x91" * (CONTROL_FRAME - 64) + b"\1",
    "lists in long create": CREATE + b"\x81\xa1a" + lists(MAX - 64),
    "keys in create": CREATE
    + b"\xde\x14\0"
    + b"".join(b"\xa2a%c\1" % (97 + i % 20) for i in range(0x1400))[:16000],
    "tensors in hello": b"\x82\xa4type\xa5hello\xabobservation\xde\x0f\0"
    + b"".join(pack(f"{i:x}") + b"\x80" for i in range(0xF00))[:16000],
    "text": b"\xdb\0\x7f\xff\xf0" + b"\xff" * 0x7FFFF0,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_costs_under_5_ms(name: str) -> None:
    body = BOMBS[name]
    fault = refusal(decode_client, body)

    def again() -> None:
        with pytest.raises(ProtocolError):
            decode_client(body)

    assert fault.fatal
    assert len(str(fault.to_message())) < 2000
    assert best_of(10, again) < 5.0


@given(body=st.binary(max_size=200))
def test_any_bytes_raise_only_protocol_errors(body: bytes) -> None:
    for decode in (decode_client, decode_hello, decode_server):
        try:
            decode(body or b"\0")
        except ProtocolError as fault:
            encode(fault.to_message())


@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_byte_raises_only_protocol_errors(data: Any) -> None:
    body = bytearray(pack(STEP | {"mask": b"\1\1\1"}))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = decode_client(bytes(body))
    except ProtocolError as fault:
        encode(fault.to_message())
    else:
        assert type(message) in get_args(m.ClientMessage)


# -- corpora --------------------------------------------------------------------------------------


def in_every_place(value: bytes) -> list[bytes]:
    """Bodies that carry an encoded value as the body, as a field, a tensor, a key, config, junk."""
    step = b"\x86\xa4type\xa4step\xa4kind\xc4\0\xa6reward\xc4\0\xa6stream\xc4\0"
    return [
        value,
        b"\x82\xa4type\xa4ping\xa1t" + value,
        step + b"\xa3obs\x80\xa3seq" + value,
        step + b"\xa3seq\1\xa3obs\x81\xa1x" + value,
        step + b"\xa3seq\1\xa3obs\x81" + value + b"\xc4\0",
        CREATE + b"\x81\xa1k" + value,
        CREATE + b"\x81" + value + b"\1",
        b"\x82\xa4type\xa4ping\xa1t\1" + value,
        b"\x82" + value + b"\1\xa4type\xa4ping",
    ]


def survive(body: bytes) -> None:
    """Let every decoder have its say; whatever it refuses can be told."""
    for decode in (decode_client, decode_hello, decode_server):
        try:
            decode(body)
        except ProtocolError as fault:
            encode(fault.to_message())


def test_suite_of_known_values_raises_only_protocol_errors(corpora: Path) -> None:
    suite = json.loads((corpora / "msgpack-test-suite.json").read_text(encoding="utf-8"))
    values = [
        bytes.fromhex(text.replace("-", ""))
        for group in suite.values()
        for case in group
        for text in case["msgpack"]
    ]
    assert len(values) >= 233

    for value in values:
        for body in in_every_place(value):
            survive(body)


def test_suite_s_extension_types_are_refused_everywhere(corpora: Path) -> None:
    suite = json.loads((corpora / "msgpack-test-suite.json").read_text(encoding="utf-8"))
    for group in suite.values():
        for case in group:
            if "ext" in case or "timestamp" in case:
                for text in case["msgpack"]:
                    for body in in_every_place(bytes.fromhex(text.replace("-", ""))):
                        assert refusal(decode_client, body).fatal


def test_files_of_other_encoders_raise_only_protocol_errors(corpora: Path) -> None:
    rng, count = random.Random(7), 0
    with tarfile.open(corpora / "nlohmann-msgpack.tar.xz") as archive:
        for entry in archive:
            held = archive.extractfile(entry) if entry.isfile() else None
            if held is None:
                continue
            value = held.read() or b"\xc0"
            count += 1
            for body in in_every_place(value):
                survive(body)
            for _ in range(5):
                at = rng.randrange(len(value))
                survive(value[:at] + bytes([rng.randrange(256)]) + value[at + 1 :])
                survive(value[: at + 1])
    assert count >= 137
