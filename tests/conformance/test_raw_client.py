"""Rules R1–R7 of PROTOCOL.md, clause by clause, by a client that knows only that text."""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
pack = msgpack.packb
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


# -- R1 transport ---------------------------------------------------------------------------------


def test_r1_one_port_serves_several_agents_and_games(dial: Dial, admin: Client, name: Any) -> None:
    other = name()
    config = {"learner": "none", "model": {"layers": []}}
    assert admin.ask("create", agent=other, config=config)["type"] == "created"
    clients = [(dial(), agent) for agent in ("plain", other, "plain", other)]
    for client, agent in clients:
        assert client.greet(agent)["agent"] == agent
    for client, _ in clients:
        assert client.act([FIRST, FIRST])["seq"] == 1


def test_r1_a_unix_socket_speaks_the_same(serve: Any, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("u") / "s"
    daemon = serve(f"unix={path}")
    client = daemon.client()
    client.socket.close()
    client.socket = socket.socket(socket.AF_UNIX)
    client.socket.settimeout(15)
    client.socket.connect(str(path))
    client.greet()
    assert len(client.act([FIRST])["actions"]) == 1
    daemon.stop()


# -- R2 frames ------------------------------------------------------------------------------------


def test_r2_a_frame_may_come_byte_by_byte(player: Client) -> None:
    body = pack({"type": "step"} | player.rows([FIRST]))
    for byte in struct.pack("<I", len(body)) + body:
        player.socket.sendall(bytes([byte]))
    assert player.receive()["type"] == "act"


def test_r2_several_frames_may_come_at_once(player: Client) -> None:
    frames = b""
    for kind in (FIRST, MID, TERMINATED):
        body = pack({"type": "step"} | player.rows([kind]))
        frames += struct.pack("<I", len(body)) + body
    player.socket.sendall(frames)
    assert [player.receive()["seq"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("size", [16385, 2**31, 2**32 - 1])
def test_r2_before_welcome_a_longer_frame_is_refused_from_its_header(
    client: Client, size: int
) -> None:
    start = time.monotonic()
    client.socket.sendall(struct.pack("<I", size))
    client.expect_end("FRAME_TOO_LARGE", "limit", "length")
    assert time.monotonic() - start < 1.9  # that is, not by the deadline for hello


@pytest.mark.parametrize("over", [1, 2**31 - 2**23, 2**32 - 1 - 2**23])
def test_r2_after_welcome_max_frame_is_the_limit(client: Client, over: int) -> None:
    limit = client.greet()["max_frame"]
    assert limit == 8 << 20
    client.socket.sendall(struct.pack("<I", limit + over))
    client.expect_end("FRAME_TOO_LARGE", "limit", "length")


def test_r2_a_long_frame_is_read_after_welcome(player: Client) -> None:
    answer = player.step([FIRST] * 4, obs={"x": bytes(1 << 20)})
    player.expect_refusal(answer, "BAD_SHAPE", "obs.x")


BAD_BODIES = {
    "a list": pack(["ping"]),
    "a number": pack(7),
    "bytes after the map": pack({"type": "ping", "t": 1}) + b"\0",
    "two maps": pack({"type": "ping", "t": 1}) * 2,
    "a cut map": pack({"type": "ping", "t": 1})[:-1],
    "a byte that msgpack never uses": b"\x82\xa4type\xa4ping\xa1t\xc1",
    "broken text": b"\x82\xa4type\xa4ping\xa1\xff\x01",
    "lists without end": b"\x82\xa4type\xa4ping\xa1t" + b"\x91" * 9000,
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_r2_a_body_is_exactly_one_map(player: Client, what: str) -> None:
    player.send_body(BAD_BODIES[what])
    player.expect_end("BAD_FRAME", "protocol")


def test_r2_an_empty_frame_is_refused(player: Client) -> None:
    player.send_body(b"")
    player.expect_end("BAD_FRAME", "protocol", "length")


BAD_MAPS = {
    "unknown type": (pack({"type": "walk"}), "type"),
    "no type": (pack({"t": 1}), "type"),
    "unknown key": (pack({"type": "ping", "t": 1, "u": 1}), "u"),
    "missing key": (pack({"type": "ping"}), "t"),
    "key twice": (b"\x83\xa4type\xa4ping\xa1t\x01\xa1t\x01", "t"),
    "another type": (pack({"type": "ping", "t": "now"}), "t"),
    "a float for an integer": (pack({"type": "step", "seq": 1.0}), "seq"),
    "a long ping": (pack({"type": "goodbye", "reason": "x" * 17000}), "type"),
}


@pytest.mark.parametrize("what", BAD_MAPS)
def test_r2_a_map_is_a_message_or_refused(player: Client, what: str) -> None:
    body, field = BAD_MAPS[what]
    player.send_body(body)
    player.expect_end("BAD_MESSAGE", "protocol", field)


def test_r2_keys_come_in_any_order_and_nil_is_absent(player: Client) -> None:
    rows = player.rows([FIRST])
    player.send_body(pack(dict(reversed(rows.items())) | {"mask": None, "type": "step"}))
    assert player.receive()["type"] == "act"


# -- R3 tensors -----------------------------------------------------------------------------------


def test_r3_every_dtype_is_read_little_endian_in_c_order(
    dial: Dial, admin: Client, name: Any
) -> None:
    """A linear agent answers the same values for the same numbers in every dtype."""
    values = [(0, 1, 2, 3, 4, 5), (7, 0, 1, 90, 3, 100)]
    config = {"learner": "none", "seed": 5, "model": {"layers": []}}
    answers = []
    for dtype, code in {
        "uint8": "B", "int8": "b", "int32": "i", "float16": "e", "float32": "f",
    }.items():  # fmt: skip
        agent, client = name(), dial()
        assert admin.ask("create", agent=agent, config=config)["type"] == "created"
        client.greet(
            agent,
            observation={"x": {"dtype": dtype, "shape": [2, 3]}},
            explain=True,
            role="eval",
        )
        data = b"".join(struct.pack(f"<6{code}", *row) for row in values)
        answers.append(np.frombuffer(client.act([FIRST, FIRST], obs={"x": data})["q"], "<f4"))
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-4, atol=1e-4)
    assert np.abs(answers[0]).max() > 0


@pytest.mark.parametrize(
    "tensor", [[0.0, 0.0], "00000000", msgpack.ExtType(1, bytes(8)), msgpack.Timestamp(1), None]
)
def test_r3_only_bins_are_tensors(player: Client, tensor: Any) -> None:
    player.send("step", **player.rows([FIRST], obs={"x": tensor}))
    player.expect_end("BAD_MESSAGE", "protocol")


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_r3_the_byte_count_is_exact(player: Client, size: int) -> None:
    answer = player.step([FIRST], obs={"x": bytes(size)})
    refused = player.expect_refusal(answer, "BAD_SHAPE", "obs.x")
    assert "8 bytes" in refused["expected"]
    assert f"{size} bytes" in refused["got"]


def test_r3_scalars_and_several_tensors(dial: Dial, admin: Client, name: Any) -> None:
    agent, client = name(), dial()
    assert admin.ask("create", agent=agent, config={"learner": "none"})["type"] == "created"
    observation = {
        "view": {"dtype": "uint8", "shape": [2, 2, 2]},
        "a": {"dtype": "float16", "shape": []},
    }
    client.greet(agent, observation=observation)
    good = {"view": bytes(16), "a": bytes(4)}
    assert len(client.act([FIRST, FIRST], obs=good)["actions"]) == 2
    for bad, field in (
        ({"view": bytes(16)}, "obs.a"),
        (good | {"b": b""}, "obs.b"),
        (good | {"a": bytes(8)}, "obs.a"),
    ):
        client.expect_refusal(client.step([MID, MID], obs=bad), "BAD_SHAPE", field)


# -- R5 steps -------------------------------------------------------------------------------------


def test_r5_ended_rows_get_minus_one_and_others_an_action(player: Client) -> None:
    assert all(0 <= a < 3 for a in player.act([FIRST] * 4)["actions"])
    actions = player.act([MID, TERMINATED, TRUNCATED, MID])["actions"]
    assert actions[1:3] == [-1, -1]
    assert 0 <= actions[0] < 3
    assert 0 <= actions[3] < 3


def test_r5_after_an_end_comes_first(player: Client) -> None:
    player.act([FIRST, FIRST])
    player.act([TERMINATED, TRUNCATED])
    for kind in (MID, TERMINATED, TRUNCATED):
        player.expect_refusal(player.step([kind], [1]), "BAD_KIND", "kind")
    player.act([FIRST, FIRST])
    player.expect_refusal(player.step([FIRST], [0]), "BAD_KIND", "kind")


def test_r5_a_game_that_resets_at_once_pays_no_round_trip(player: Client) -> None:
    player.act([FIRST, FIRST])
    actions = player.act([TERMINATED, TRUNCATED, FIRST, FIRST], [0, 1, 0, 1])["actions"]
    assert actions[:2] == [-1, -1]
    assert min(actions[2:]) >= 0
    player.act([MID, MID])


@pytest.mark.parametrize(
    ("kinds", "streams"),
    [
        ([MID, MID], [0, 0]),
        ([MID, TERMINATED], [0, 0]),
        ([TERMINATED, MID], [0, 0]),
        ([TERMINATED, FIRST, MID], [0, 0, 0]),
        ([FIRST, FIRST], [1, 1]),
    ],
)
def test_r5_anything_else_twice_is_refused(
    player: Client, kinds: list[int], streams: list[int]
) -> None:
    player.act([FIRST])
    answer = player.step(kinds, streams)
    player.expect_refusal(answer, "DUPLICATE_STREAM", "stream")
    player.act([MID])


def test_r5_not_every_stream_is_in_every_frame(player: Client) -> None:
    player.act([FIRST], [2])
    player.act([FIRST, MID], [0, 2])
    player.act([MID], [0])
    player.act([FIRST, MID, TERMINATED], [3, 0, 2])


@pytest.mark.parametrize("stream", [4, 2**32 - 1])
def test_r5_a_stream_is_below_streams(player: Client, stream: int) -> None:
    player.expect_refusal(player.step([FIRST], [stream]), "UNKNOWN_STREAM", "stream")


def test_r5_the_reward_of_first_is_ignored_and_others_are_finite(player: Client) -> None:
    player.act([FIRST], reward=floats(float("nan")))
    for bad in (float("nan"), float("inf"), float("-inf")):
        answer = player.step([MID], reward=floats(bad))
        player.expect_refusal(answer, "NOT_FINITE", "reward")
        player.expect_refusal(player.step([MID], obs={"x": floats(0, bad)}), "NOT_FINITE", "obs.x")
    player.act([MID])


def test_r5_masks_choose_the_action(player: Client) -> None:
    mask = bytes([1, 0, 0, 0, 1, 0, 0, 0, 1])
    assert player.act([FIRST] * 3, mask=mask)["actions"] == [0, 1, 2]
    for legal in range(3):
        mask = bytes(int(a == legal) for a in range(3)) * 3
        assert player.act([MID] * 3, mask=mask)["actions"] == [legal] * 3


@pytest.mark.parametrize("mask", [bytes(3), bytes([2, 1, 1]), bytes([1, 255, 0])])
@pytest.mark.parametrize("kind", [MID, TERMINATED])
def test_r5_a_mask_is_of_0_and_1_with_a_legal_action(
    player: Client, mask: bytes, kind: int
) -> None:
    player.act([FIRST])
    player.expect_refusal(player.step([kind], mask=mask), "BAD_MASK", "mask")
    player.act([kind])


def test_r5_branches_have_their_own_masks_and_actions(dial: Dial, admin: Client, name: Any) -> None:
    agent, client = name(), dial()
    assert admin.ask("create", agent=agent, config={"learner": "none"})["type"] == "created"
    client.greet(agent, action={"kind": "multi_discrete", "n": [3, 2]}, explain=True)
    answer = client.act([FIRST, FIRST], mask=bytes([0, 0, 1, 1, 0, 0, 1, 0, 0, 1]))
    assert answer["actions"] == [2, 0, 1, 1]
    assert len(answer["q"]) == 4 * 2 * 5
    assert len(answer["explored"]) == 2
    answer = client.act([TERMINATED, MID])
    assert answer["actions"][:2] == [-1, -1]
    refused = client.step([MID], [1], mask=bytes([1, 1, 1, 0, 0]))
    client.expect_refusal(refused, "BAD_MASK", "mask")


def test_r5_values_come_only_on_demand_and_explain_the_choice(dial: Dial) -> None:
    quiet, loud = dial(), dial()
    quiet.greet(role="eval")
    loud.greet(role="eval", explain=True)
    obs = {"x": floats(0.5, -1, 2, 3)}
    assert set(quiet.act([FIRST] * 2, obs=obs)) == {"type", "seq", "action", "version", "actions"}
    answer = loud.act([FIRST] * 2, obs=obs)
    q = np.frombuffer(answer["q"], "<f4").reshape(2, 3)
    assert q.argmax(1).tolist() == answer["actions"]
    assert answer["explored"] == bytes(2)


def test_r5_rows_are_bounded(serve: Any) -> None:
    daemon = serve("limits.max_rows=3")
    client = daemon.client()
    assert client.greet("bounded", role="play")["max_rows"] == 3
    client.expect_refusal(client.step([FIRST] * 4), "TOO_MANY_ROWS")
    client.expect_refusal(client.step([]), "BAD_SHAPE")
    client.act([FIRST] * 3)
    daemon.stop()


def test_r5_a_frame_is_refused_whole(player: Client) -> None:
    player.act([FIRST])
    answer = player.step([TERMINATED, FIRST, MID], [0, 1, 3])
    player.expect_refusal(answer, "BAD_KIND", "kind")
    assert "row 2" in answer["message"]
    player.act([MID, FIRST])  # neither did stream 0 end nor did stream 1 begin


# -- R6 order and window --------------------------------------------------------------------------


def test_r6_answers_come_in_the_order_of_the_frames(player: Client) -> None:
    for at in range(60):
        player.send("step", **player.rows([FIRST if at == 0 else MID], [9 if at % 7 == 5 else 0]))
    for at in range(60):
        answer = player.receive()
        assert answer["seq"] == at + 1
        assert answer["type"] == ("error" if at % 7 == 5 else "act")


@pytest.mark.parametrize("seq", [0, 1, 2, 4, 2**40])
def test_r6_seq_grows_by_1(player: Client, seq: int) -> None:
    player.act([FIRST])
    player.act([MID])
    player.send("step", **player.rows([MID], seq=seq))
    error = player.expect_end("BAD_SEQ", "protocol", "seq")
    assert (error["expected"], error["got"]) == ("3", str(seq))


def test_r6_the_first_seq_is_1(player: Client) -> None:
    player.send("step", **player.rows([FIRST], seq=2))
    player.expect_end("BAD_SEQ", "protocol", "seq")


def test_r6_beyond_the_window_the_server_waits_and_never_errs(serve: Any) -> None:
    daemon = serve("limits.window=2")
    client = daemon.client()
    assert client.greet("windowed", role="play", streams=500)["window"] == 2
    obs = {"x": bytes(8 * 500)}
    for at in range(40):
        client.send("step", **client.rows([FIRST if at == 0 else MID] * 500, obs=obs))
    for at in range(40):
        answer = client.receive()
        assert (answer["type"], answer["seq"]) == ("act", at + 1)
    daemon.stop()


def test_r6_an_answer_does_not_depend_on_the_company(dial: Dial) -> None:
    rng = np.random.default_rng(3)
    data = rng.standard_normal((4, 2)).astype("<f4")
    together = dial()
    together.greet(role="play")
    joint = together.act([FIRST] * 4, obs={"x": data.tobytes()})["actions"]
    clients = [dial() for _ in range(4)]
    for client in clients:
        client.greet(role="play")
    for client, row in zip(clients, data, strict=True):
        client.send("step", **client.rows([FIRST], obs={"x": row.tobytes()}))
    alone = [np.frombuffer(client.receive()["action"], "<i4")[0] for client in clients]
    assert alone == joint
