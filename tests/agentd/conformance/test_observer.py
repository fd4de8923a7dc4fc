"""What a client says, as byte strings: the observer needs neither socket nor clock."""

import random
import struct

import msgpack
import pytest

from agentd.conformance.findings import Findings
from agentd.conformance.observer import Observer, SeenFrame
from agentd.protocol.errors import ProtocolError
from agentd.protocol.messages import Welcome

HELLO = {
    "type": "hello", "protocol": [1, 2], "client": "c", "role": "train",
    "run": bytes(range(16)), "agent": "a", "streams": 2,
    "observation": {"x": {"dtype": "float32", "shape": [2]}},
    "action": {"kind": "discrete", "n": 3},
}  # fmt: skip


def frame(message):
    body = msgpack.packb(message)
    return struct.pack("<I", len(body)) + body


def step(seq, kinds, streams=None, **more):
    n = len(kinds)
    message = {
        "type": "step", "seq": seq, "kind": bytes(kinds), "reward": bytes(4 * n),
        "stream": struct.pack(f"<{n}I", *(streams or range(n))), "obs": {"x": bytes(8 * n)},
    } | more  # fmt: skip
    return frame(message)


def welcome(**facts):
    usual = {
        "protocol": 2, "session": b"s" * 16, "agent": "a", "version": 0, "max_frame": 1 << 20,
        "max_rows": 64, "window": 4, "heartbeat_s": 15.0, "resumed": False, "last_seq": 0,
    }  # fmt: skip
    return Welcome(**(usual | facts))


@pytest.fixture
def observer():
    made = Observer(Findings())
    made.connect()
    made.receive(frame(HELLO))
    made.next_message(0.0)
    made.open(welcome())
    return made


def hear(observer, data, now=0.0):
    observer.receive(data)
    heard = []
    while (message := observer.next_message(now)) is not None:
        heard.append(message)
    return heard


def broken(observer):
    return [v.rule.key for v in observer.findings.verdicts() if v.breach]


def test_bytes_may_come_in_any_pieces(observer):
    data = step(1, [0, 0]) + step(2, [1, 1]) + frame({"type": "goodbye", "reason": "client_done"})
    rng, heard = random.Random(1), []

    while data:
        size = rng.choice((1, 2, 3, 50))
        heard += hear(observer, data[:size])
        data = data[size:]

    assert [m.seq for m in heard[:2]] == [1, 2]
    assert all(isinstance(m, SeenFrame) for m in heard[:2])
    assert observer.left
    assert broken(observer) == []


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\0\0\0\0", "R2 frame length"),
        (struct.pack(">I", 40) + bytes(40), "R2 frame length"),
        (b"\1\0\0\0\x90", "R2 frame body"),
        (frame({"type": "dance"}), "R2 message keys"),
        (step(1, [0], reward=[0.0]), "R3 tensors are bin"),
        (frame(HELLO), "R2 message order"),
    ],
)
def test_what_cannot_be_read_raises_and_is_named(observer, data, rule):
    with pytest.raises(ProtocolError):
        hear(observer, data)

    assert broken(observer) == [rule]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (step(1, [0]) + step(2, [0]), "R5 kinds"),
        (step(1, [1]), "R5 first rows"),
        (step(1, [0]) + step(2, [2]) + step(3, [1]), "R5 after an end"),
        (step(1, [0]) + step(2, [4]), "R5 kinds"),
        (step(1, [0], [2]), "R5 stream ids"),
        (step(1, [0, 1], [0, 0]), "R5 stream ids"),
        (step(1, [0], [1 << 24]), "R3 little-endian"),
        (step(1, [0], obs={"x": struct.pack(">2f", 0.5, -2.0)}), "R3 little-endian"),
        (step(1, [0], obs={"x": bytes(7)}), "R3 tensor sizes"),
        (step(1, [0], obs={"x": bytes(8), "y": b""}), "R3 tensor sizes"),
        (step(1, []), "R3 tensor sizes"),
        (step(1, [0], obs={"x": struct.pack("<2f", float("nan"), 0)}), "R5 finite numbers"),
        (step(1, [0], mask=b"\0\0\0"), "R5 masks"),
        (step(1, [0], mask=b"\2\1\1"), "R5 masks"),
        (step(1, [0], mask=b"\0\1\1") + step(2, [1], taken=bytes(4)), "R15 taken"),
        (step(1, [0]) + step(2, [1], taken=b"\3\0\0\0"), "R15 taken"),
        (step(1, [0]) + step(2, [1], by=b"\0"), "R15 taken"),
        (step(1, [0]) + step(2, [1], elapsed=bytes(4)), "R18 elapsed"),
        (step(1, [0], success=b"\1"), "R16 success"),
        (step(1, [0]) + step(3, [1]), "R6 seq"),
        (b"".join(step(1 + k, [k > 0]) for k in range(5)), "R6 window"),
        (frame({"type": "log", "values": {"Big Name": 1.0}}), "R16 log"),
        (101 * frame({"type": "log", "values": {"x": 1.0}}), "R16 log"),
    ],
)
def test_a_broken_rule_is_named_and_the_client_heard_on(observer, data, rule):
    hear(observer, data)

    assert broken(observer) == [rule]
    assert hear(observer, frame({"type": "ping", "t": 1}))


def test_an_ended_row_and_the_next_first_one_may_share_a_frame(observer):
    hear(observer, step(1, [0, 0]) + step(2, [2, 3, 0, 0], [0, 1, 0, 1]) + step(3, [1, 1]))

    assert broken(observer) == []
    assert observer.findings.is_seen("R5 after an end")


def test_a_refused_frame_leaves_its_streams_as_they_were(observer):
    hear(observer, step(1, [0]))
    observer.answer(1)
    hear(observer, step(2, [2]))
    observer.answer(2, refused=True)
    hear(observer, step(3, [1]))

    assert broken(observer) == []


def test_a_resumed_session_wants_the_bytes_of_before(observer):
    first, second = step(1, [0]), step(2, [1])
    hear(observer, first + second)
    observer.answer(1)
    observer.cut = True
    observer.connect()
    hear(observer, frame(HELLO | {"resume": b"s" * 16}))
    observer.open(welcome(resumed=True, last_seq=1))
    (again,) = hear(observer, second)

    assert again.repeated
    assert again.check is not None
    assert broken(observer) == []
    hear(observer, step(3, [1], obs={"x": struct.pack("<2f", 1, 1)}))
    assert broken(observer) == []
