"""Known layouts: what is read without decoding is what decoding reads, and nothing more."""

import itertools

import msgpack
import numpy as np
import pytest

from agentd.protocol import messages as m
from agentd.protocol.codec import HEADER, decode_client, encode
from agentd.protocol.connection import MOST_LAYOUTS, ServerConnection
from agentd.protocol.errors import ProtocolError
from agentd.protocol.pattern import MOST_BYTES, Pattern, Patterns, encode_acts

HELLO = m.Hello(protocol=(1, 1), client="t", role="play", run=bytes(16), agent="a", streams=4)
WELCOME = m.Welcome(
    protocol=1, session=bytes(16), agent="a", version=0, max_frame=1 << 22, max_rows=64,
    window=8, heartbeat_s=15.0, resumed=True, last_seq=1 << 40,
)  # fmt: skip


def body(seq: int, rows: int = 2, seed: int = 0, mask: bool = True, **more: object) -> dict:
    rng = np.random.default_rng(seed)
    fields = {
        "type": "step",
        "seq": seq,
        "stream": np.arange(rows, dtype="<u4").tobytes(),
        "kind": bytes(rows),
        "reward": rng.standard_normal(rows).astype("<f4").tobytes(),
        "obs": {"view": rng.bytes(12 * rows), "ammo": rng.bytes(4 * rows)},
    }
    return fields | ({"mask": bytes([1]) * 5 * rows} if mask else {}) | more


def frame(fields: dict) -> bytes:
    data = msgpack.packb(fields)
    return HEADER.pack(len(data)) + data


def layout(data: bytes, patterns: Patterns | None = None) -> Pattern | None:
    view = memoryview(data)[HEADER.size :]
    return (patterns or Patterns()).of(view, decode_client(view))


def fields_of(step: m.Step) -> list:
    bins = (step.stream, step.kind, step.reward, step.mask, *step.obs.values())
    return [step.seq, *step.obs, *(None if part is None else bytes(part) for part in bins)]


@pytest.mark.parametrize("seq", [1, 122, 128, 250, 300, 70_000, 1 << 33])
@pytest.mark.parametrize("mask", [False, True])
def test_a_frame_of_a_known_layout_reads_as_if_it_were_decoded(seq, mask):
    keys = list(body(0, mask=mask))
    for order in itertools.islice(itertools.permutations(keys), 0, None, 97):
        known = layout(frame({key: body(seq, mask=mask)[key] for key in order}))
        other = body(seq + 5, seed=1, mask=mask)
        data = frame({key: other[key] for key in order})

        assert known is not None
        assert known.seq_of(data) == seq + 5
        assert fields_of(known.step(data, seq + 5)) == fields_of(decode_client(data[4:]))


def test_every_byte_that_is_no_number_counts():
    data = frame(body(300))
    known = layout(data)
    other = frame(body(301, seed=1))
    numbers = {at for at in range(len(data)) if data[at] != other[at]}
    free = set()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x5A
        if known.seq_of(bytes(changed)):
            free.add(at)

    step = known.step(data, 300)
    bins = [step.stream, step.kind, step.reward, step.mask, *step.obs.values()]
    assert len(free) == sum(map(len, bins)) + 2  # and the two bytes of the seq
    assert numbers <= free
    assert known.seq_of(data + b"\0") == known.seq_of(data[:-1]) == 0


def test_a_seq_of_one_byte_is_a_number_below_128():
    data = frame(body(9))
    known = layout(data)
    at = data.index(b"\xa3seq") + 4
    for byte in range(256):
        changed = bytearray(data)
        changed[at] = byte
        assert known.seq_of(bytes(changed)) == (byte if byte < 128 else 0)


def test_equal_layouts_are_one_object_and_many_are_forgotten():
    patterns = Patterns(most=3)
    first = layout(frame(body(300)), patterns)
    assert layout(frame(body(999, seed=3)), patterns) is first
    assert layout(frame(body(300, rows=3)), patterns) is not first
    for rows in range(4, 7):
        layout(frame(body(300, rows=rows)), patterns)
    assert layout(frame(body(300)), patterns) is not first


@pytest.mark.parametrize(
    "fields",
    [
        body(300, obs={"seq": bytes(8)}),  # which of the two is the seq is not plain to see
        body(300, rows=0),
        body(300, obs={"x": bytes(MOST_BYTES)}),
    ],
)
def test_a_layout_that_is_not_plain_has_no_pattern(fields):
    assert layout(frame(fields)) is None


def opened() -> ServerConnection:
    connection = ServerConnection(1 << 22)
    connection.receive(encode(HELLO))
    assert isinstance(connection.next_event(), m.Hello)
    connection.welcome(WELCOME)
    return connection


def play(connection: ServerConnection, *frames: dict) -> None:
    for fields in frames:
        connection.receive(frame(fields))
        assert isinstance(connection.next_event(), m.Step)


def test_the_third_step_of_a_size_is_taken_without_decoding():
    connection = opened()
    assert connection.known_step(frame(body(300))) is None
    play(connection, body(300), body(300 + 1))

    data = frame(body(300 + 2, seed=2))
    pattern, seq = connection.known_step(data)
    assert seq == 300 + 2
    assert connection.known_step(data) is None  # it has been taken
    play(connection, body(300 + 3))  # and the order goes on from it
    assert connection.known_step(frame(body(300 + 4)))[0] is pattern


def test_a_step_out_of_order_is_left_to_the_rules():
    connection = opened()
    play(connection, body(300), body(301))
    wrong = frame(body(303))

    assert connection.known_step(wrong) is None
    connection.receive(wrong)
    with pytest.raises(ProtocolError, match="seq must grow by 1"):
        connection.next_event()
    assert connection.known_step(frame(body(302))) is None  # closed


def test_nothing_is_taken_behind_an_unfinished_frame():
    connection = opened()
    play(connection, body(300), body(301))
    connection.receive(frame(body(302))[:7])
    assert connection.known_step(frame(body(302))) is None


def test_a_client_of_ever_new_sizes_leaves_no_heap_of_layouts():
    connection, seq = opened(), 300
    for rows in range(1, 3 * MOST_LAYOUTS):
        play(connection, body(seq, rows=rows), body(seq + 1, rows=rows))
        seq += 2
    known = sum(
        connection._layouts.get(len(frame(body(seq, rows=rows)))) is not None
        for rows in range(1, 3 * MOST_LAYOUTS)
    )
    assert 0 < known <= MOST_LAYOUTS


@pytest.mark.parametrize("first", [1, 120, 250, 300, 65_530, 70_000, 2**32 - 3, 2**40])
@pytest.mark.parametrize("count", [1, 3, 4, 20])
@pytest.mark.parametrize("rows", [1, 100, 20_000])
def test_acts_are_encoded_together_as_they_are_one_by_one(first, count, rows):
    if count * rows > 100_000:
        count = 4
    rng = np.random.default_rng(0)
    action = rng.integers(-1, 9, (count * rows, 2)).astype(np.int32)
    seqs = [first + 3 * i for i in range(count)]
    parts = [action[i * rows : (i + 1) * rows].tobytes() for i in range(count)]

    assert encode_acts(seqs, action.tobytes(), 77) == [
        encode(m.ActReply(seq=seq, action=part, version=77))
        for seq, part in zip(seqs, parts, strict=True)
    ]
