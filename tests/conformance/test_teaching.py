"""Rules R8 and R9 of PROTOCOL.md: taught rows, signs of life, orderly ends."""

import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest

FIRST, MID = 0, 1
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]


# -- R8 teaching ----------------------------------------------------------------------------------


SUPERVISED = {
    "learner": "supervised",
    "model": {"layers": [{"dense": 16}, "relu"]},
    "optimizer": {"name": "adam", "lr": 0.01},
}


@pytest.fixture
def pupil(dial: Dial, admin: Client, name: Any) -> Client:
    """A connection to a supervised agent of three classes."""
    agent, client = name(), dial()
    reply = admin.ask("create", agent=agent, config=SUPERVISED)
    assert reply["type"] == "created", reply
    client.greet(agent)
    return client


def lesson(client: Client, n: int, **changes: Any) -> dict[str, Any]:
    """n rows whose class is told by the signs of two numbers."""
    client.seq += 1
    rng = np.random.default_rng(client.seq)
    x = rng.uniform(-1, 1, (n, 2)).astype("<f4")
    target = (x[:, 0] > 0).astype("<i4") + ((x[:, 0] > 0) & (x[:, 1] > 0)).astype("<i4")
    fields = {"seq": client.seq, "obs": {"x": x.tobytes()}, "target": target.tobytes()}
    return fields | changes


def test_r8_taught_rows_are_learned_and_act_answers_the_best_class(pupil: Client) -> None:
    versions = []
    end = time.monotonic() + 60
    right = 0.0
    x = np.array([[-0.5, 0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, -0.5]], "<f4")
    while right < 1.0 or versions[-1] == 0:
        for _ in range(5):
            taught = pupil.ask("teach", **lesson(pupil, 64))
            assert taught["type"] == "taught", taught
            assert set(taught) == {"type", "seq", "queued", "version"}
            assert taught["seq"] == pupil.seq
            assert taught["queued"] > 0
            versions.append(taught["version"])
        time.sleep(0.1)
        kinds = [FIRST] * 4 if len(versions) == 5 else [MID] * 4
        actions = pupil.act(kinds, obs={"x": x.tobytes()})["actions"]
        right = float(np.mean(np.array(actions) == [0, 1, 2, 0]))
        assert time.monotonic() < end, (right, versions[-1])
    assert versions == sorted(versions)
    assert versions[-1] > 0


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"target": struct.pack("<2i", 0, 3)}, "BAD_TARGET", "target"),
        ({"target": struct.pack("<2i", 0, -1)}, "BAD_TARGET", "target"),
        ({"target": bytes(7)}, "BAD_TARGET", "target"),
        ({"target": b""}, "BAD_TARGET", "target"),
        ({"obs": {"x": bytes(8)}}, "BAD_SHAPE", "obs.x"),
        ({"obs": {}}, "BAD_SHAPE", "obs.x"),
        ({"obs": {"x": struct.pack("<4f", 0, 0, 0, float("inf"))}}, "NOT_FINITE", "obs.x"),
        ({"weight": bytes(4)}, "BAD_SHAPE", "weight"),
        ({"weight": struct.pack("<2f", 1, float("nan"))}, "NOT_FINITE", "weight"),
    ],
)
def test_r8_bad_lessons_are_refused_whole(
    pupil: Client, changes: dict[str, Any], code: str, field: str
) -> None:
    answer = pupil.ask("teach", **lesson(pupil, 2, **changes))
    pupil.expect_refusal(answer, code, field)
    assert answer["seq"] == pupil.seq
    taught = pupil.ask("teach", **lesson(pupil, 2, weight=struct.pack("<2f", 0.5, 0)))
    assert taught["queued"] == 2


def test_r8_values_may_be_taught(dial: Dial, admin: Client, name: Any) -> None:
    agent, client = name(), dial()
    config = SUPERVISED | {"supervised": {"target": "value"}}
    reply = admin.ask("create", agent=agent, config=config)
    assert reply["type"] == "created", reply
    client.greet(agent)
    values = struct.pack("<6f", *range(6))
    assert client.ask("teach", **lesson(client, 2, target=values))["type"] == "taught"
    nan = struct.pack("<6f", *([float("nan")] * 6))
    client.expect_refusal(
        client.ask("teach", **lesson(client, 2, target=nan)), "NOT_FINITE", "target"
    )
    client.expect_refusal(client.ask("teach", **lesson(client, 2)), "BAD_TARGET", "target")


def test_r8_only_supervised_agents_are_taught(player: Client) -> None:
    answer = player.ask("teach", **lesson(player, 2))
    player.expect_refusal(answer, "NOT_SUPERVISED")
    assert answer["seq"] == 1


@pytest.mark.parametrize("role", ["eval", "play"])
def test_r8_only_role_train_teaches(dial: Dial, pupil: Client, role: str) -> None:
    client = dial()
    client.greet(pupil.agent, role=role)
    client.expect_refusal(client.ask("teach", **lesson(client, 2)), "FORBIDDEN")
    client.act([FIRST])


# -- R9 liveness ----------------------------------------------------------------------------------


def test_r9_ping_is_answered_with_the_same_t(player: Client) -> None:
    for t in (0, -1, 2**63, 1.5, 1e300):
        assert player.ask("ping", t=t) == {"type": "pong", "t": t}


def test_r9_silence_is_pinged_and_ends(serve: Any) -> None:
    daemon = serve("limits.heartbeat_s=0.5")
    silent, alive = daemon.client(), daemon.client()
    start = time.monotonic()
    assert silent.greet("heart", role="play")["heartbeat_s"] == 0.5
    alive.greet("heart", role="play")
    silent.socket.settimeout(5)
    assert silent.receive(pings=True)["type"] == "ping"
    assert 0.3 < time.monotonic() - start < 3.0
    for _ in range(8):
        alive.send("pong", t=0)
        time.sleep(0.25)
    message = silent.receive(pings=True)
    while message["type"] == "ping":
        message = silent.receive(pings=True)
    assert (message["code"], message["fatal"]) == ("IDLE_TIMEOUT", True)
    silent.expect_goodbye("idle")
    alive.act([FIRST])
    daemon.stop()


@pytest.mark.parametrize(
    "reason",
    [
        *("client_done", "shutdown", "idle", "slow_reader", "auth"),
        *("protocol", "limit", "replaced", "error"),
    ],
)
def test_r9_goodbye_is_answered(player: Client, reason: str) -> None:
    player.send("goodbye", reason=reason)
    assert player.receive()["type"] == "goodbye"
    assert player.receive() is None


def test_r9_reasons_are_a_closed_list(player: Client) -> None:
    player.send("goodbye", reason="tired")
    player.expect_end("BAD_MESSAGE", "protocol", "reason")


def test_r9_goodbye_before_hello_is_orderly(client: Client) -> None:
    client.send("goodbye", reason="client_done")
    assert client.receive()["type"] == "goodbye"
    assert client.receive() is None


def test_r9_a_server_that_goes_down_answers_and_says_goodbye(serve: Any) -> None:
    daemon = serve()
    client, waiting = daemon.client(), daemon.client()
    client.greet("going", role="play")
    client.act([FIRST])
    client.send("step", **client.rows([MID]))
    assert client.receive()["type"] == "act"
    daemon.process.terminate()
    client.expect_goodbye("shutdown")
    waiting.expect_end("SHUTTING_DOWN", "shutdown")
    daemon.hang_up()
    assert daemon.process.wait(timeout=15) == 0


def test_r9_messages_are_maps_with_type(player: Client) -> None:
    player.send_body(msgpack.packb({"t": 1, "type": "ping"}))
    assert player.receive() == {"type": "pong", "t": 1}
