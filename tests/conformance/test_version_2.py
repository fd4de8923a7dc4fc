"""Rules R14–R19 of PROTOCOL.md, clause by clause, by a client that knows only that text."""

import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
NAN, INF = float("nan"), float("inf")
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]
BOTH = [1, 2]


def ints(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def floats(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


@pytest.fixture
def player(client: Client) -> Client:
    """A session of version 2 of agent ``plain``."""
    assert client.greet(protocol=BOTH)["protocol"] == 2
    return client


@pytest.fixture
def admin(dial: Dial) -> Client:
    """A connection of role admin, in version 2."""
    made = dial()
    made.greet(None, role="admin", protocol=BOTH, observation=None, action=None, streams=None)
    return made


@pytest.fixture
def agent(admin: Client, name: Callable[[], str]) -> str:
    """A new agent that learns nothing."""
    made = name()
    config = {"learner": "none", "model": {"layers": []}, "game": {"level": 1}}
    assert admin.ask("create", agent=made, config=config)["type"] == "created"
    return made


def stats_of(admin: Client, agent: str) -> dict[str, Any]:
    found: dict[str, Any] = admin.ask("stats", agent=agent)["agents"][agent]
    return found


# -- R4 the version -------------------------------------------------------------------------------


@pytest.mark.parametrize("offered", [[1, 2], [2, 2], [2, 9]])
def test_r4_the_highest_common_version(client: Client, offered: list[int]) -> None:
    assert client.greet(protocol=offered)["protocol"] == 2
    client.act([FIRST])


def test_r4_version_1_notices_nothing(dial: Dial, admin: Client, agent: str) -> None:
    """Beside a session of version 2 that uses everything."""
    new, old = dial(), dial()
    new.greet(agent, protocol=BOTH)
    assert set(old.greet(agent)) == {
        *("type", "protocol", "session", "agent", "version", "max_frame", "max_rows", "window"),
        *("heartbeat_s", "resumed", "last_seq"),
    }
    new.act([FIRST])
    new.act([MID], taken=ints(1), by=b"\1", elapsed=floats(2), success=b"\0")
    new.send("log", values={"speed": 1.5})
    assert admin.ask("settings", agent=agent, values={"level": 2})["type"] == "settings"
    assert new.receive() == {"type": "settings", "values": {"level": 2.0}}
    answer = old.act([FIRST] * 3, mask=bytes([1, 0, 0] * 3))
    assert set(answer) == {"type", "seq", "action", "version", "actions"}
    old.send("ping", t=3)
    assert old.receive() == {"type": "pong", "t": 3}


@pytest.mark.parametrize("key", ["taken", "by", "elapsed", "success"])
@pytest.mark.parametrize("value", [bytes(4), None])
def test_r4_version_1_has_no_such_keys(client: Client, key: str, value: bytes | None) -> None:
    client.greet()
    client.act([FIRST])
    client.send("step", **client.rows([MID], **{key: value}))
    assert client.expect_end("BAD_MESSAGE", "protocol", key)["got"] == "an unknown key"


@pytest.mark.parametrize("type", ["log", "settings"])
def test_r4_version_1_has_no_such_messages(client: Client, type: str) -> None:
    client.greet()
    client.send(type, values={})
    assert type not in client.expect_end("BAD_MESSAGE", "protocol", "type")["expected"]


# -- R14 actions ----------------------------------------------------------------------------------

BOX = {"kind": "box", "low": [-1.0, 0.0], "high": [1.0, 2.0]}
MIXED = {"kind": "mixed", "heads": [{"n": 3, "name": "move"}, {"low": -1.0, "high": 1.0}]}


@pytest.mark.parametrize("action", [BOX, MIXED])
def test_r14_numbers_are_answered_inside_their_bounds(
    dial: Dial, name: Callable[[], str], action: dict[str, Any]
) -> None:
    client = dial()
    client.greet(name(), action=action, protocol=BOTH, explain=True)
    low, high = ([-1, 0], [1, 2]) if action is BOX else ([0, -1], [2, 1])
    kinds = [FIRST, *[MID] * 7, TRUNCATED]
    for at, kind in enumerate(kinds):
        mask = {"mask": bytes([1, 0, 1] * 2)} if action is MIXED and at % 2 else {}
        answer = client.step([kind] * 2, **mask)
        found = struct.unpack("<4f", answer["action"])
        if kind == TRUNCATED:
            assert all(map(math.isnan, found))
            continue
        for row in (found[:2], found[2:]):
            assert all(a <= x <= b for a, x, b in zip(low, row, high, strict=True))
            assert action is BOX or (row[0] == int(row[0]) and (not mask or row[0] != 1))
        assert (len(answer["q"]) % 8, len(answer["explored"])) == (0, 2)


def test_r14_a_mask_speaks_of_numbered_heads_alone(dial: Dial, name: Callable[[], str]) -> None:
    client = dial()
    client.greet(name(), action=BOX, protocol=BOTH)
    refused = client.expect_refusal(client.step([FIRST], mask=b"\1\1"), "BAD_MASK", "mask")
    assert refused["expected"] == "no mask: all actions are numbers"
    client = dial()
    client.greet(name(), action=MIXED, protocol=BOTH)
    client.expect_refusal(client.step([FIRST], mask=bytes([1] * 4)), "BAD_SHAPE", "mask")
    client.expect_refusal(client.step([FIRST], mask=bytes(3)), "BAD_MASK", "mask")


def test_r14_another_agent_s_bounds_are_refused(dial: Dial, name: Callable[[], str]) -> None:
    agent = name()
    dial().greet(agent, action=BOX, protocol=BOTH)
    other = dial()
    other.hello(agent, action=BOX | {"high": [1.0, 3.0]}, protocol=BOTH)
    assert "box(-1..1, 0..3)" in other.expect_end("SCHEMA_MISMATCH", "protocol", "action")["got"]


@pytest.mark.parametrize(
    ("action", "field"),
    [
        (BOX | {"low": [1.0, 0.0]}, "action.high[0]"),
        (BOX | {"low": [NAN, 0.0]}, "action.low[0]"),
        (BOX | {"high": [INF, 2.0]}, "action.high[0]"),
        (BOX | {"high": [1.0]}, "action.high"),
        (BOX | {"low": [0.0] * 33, "high": [1.0] * 33}, "action.low"),
        (MIXED | {"heads": [{"n": 0}]}, "action.heads[0].n"),
        (MIXED | {"heads": [{"low": 0.0}]}, "action.heads[0]"),
        ({"kind": "wheel", "n": 2}, "action.kind"),
    ],
)
def test_r14_bounds_are_finite_and_in_order(
    client: Client, action: dict[str, Any], field: str
) -> None:
    client.hello("numbers", action=action, protocol=BOTH)
    client.expect_end("BAD_HELLO", "protocol", field)


def test_r14_version_1_does_not_know_them(client: Client) -> None:
    client.hello("numbers", action=BOX)
    client.expect_end("BAD_HELLO", "protocol", "action")


# -- R15 what was really played -------------------------------------------------------------------


@pytest.mark.parametrize("action", [3, -1, 2**31 - 1, -(2**31)])
def test_r15_taken_is_in_range(player: Client, action: int) -> None:
    player.act([FIRST, FIRST])
    answer = player.step([MID, MID], taken=ints(0, action), by=b"\0\1")
    refused = player.expect_refusal(answer, "BAD_TAKEN", "taken")
    assert refused["expected"] == "an action in 0..2"
    assert (refused["got"], "row 1" in refused["message"]) == (str(action), True)
    player.act([MID, TERMINATED], taken=ints(0, 2), by=b"\1\2")  # nothing of it was taken


def test_r15_taken_is_legal_under_the_mask_of_the_stream_s_last_row(player: Client) -> None:
    player.act([FIRST, FIRST], mask=bytes([1, 1, 0, 0, 0, 1]))
    bad = player.step([MID, MID], taken=ints(0, 1), by=b"\1\1", mask=bytes([1] * 6))
    assert "row 1" in player.expect_refusal(bad, "BAD_TAKEN", "taken")["message"]
    player.act([MID, MID], taken=ints(1, 2), by=b"\1\1")
    player.act([MID, MID], taken=ints(2, 0))  # the last rows had no mask
    player.act([MID], [1], mask=bytes([0, 1, 0]))
    player.expect_refusal(player.step([TERMINATED], [1], taken=ints(0)), "BAD_TAKEN", "taken")
    player.act([MID, TRUNCATED], taken=ints(2, 1))


@pytest.mark.parametrize("role", ["eval", "play"])
def test_r15_the_rule_holds_for_sessions_that_learn_nothing(client: Client, role: str) -> None:
    client.greet(role=role, protocol=BOTH)
    client.act([FIRST, FIRST])
    for _ in range(4):  # frames of one layout may be answered in a shorter way
        client.act([MID, MID])
    client.act([MID, MID], mask=bytes([0, 1, 0] * 2))
    client.expect_refusal(client.step([MID, MID], taken=ints(1, 0)), "BAD_TAKEN", "taken")
    for _ in range(4):
        client.act([MID, MID])
    for _ in range(4):
        client.act([MID, MID], taken=ints(2, 0), by=b"\1\0")
    client.expect_refusal(client.step([MID, MID], taken=ints(2, 5)), "BAD_TAKEN", "taken")


def test_r15_by_names_who_and_needs_taken(player: Client) -> None:
    player.act([FIRST])
    player.expect_refusal(player.step([MID], by=b"\1"), "BAD_TAKEN", "by")
    refused = player.step([MID], by=b"\3", taken=ints(0))
    assert player.expect_refusal(refused, "BAD_TAKEN", "by")["expected"] == "0, 1 or 2"
    for who in (b"\0", b"\1", b"\2"):
        player.act([MID], by=who, taken=ints(0))


def test_r15_lengths_are_exact(player: Client) -> None:
    player.act([FIRST])
    for facts, field in (
        ({"taken": bytes(3)}, "taken"),
        ({"taken": bytes(8)}, "taken"),
        ({"taken": bytes(4), "by": b""}, "by"),
        ({"elapsed": bytes(8)}, "elapsed"),
        ({"success": bytes(2)}, "success"),
    ):
        player.expect_refusal(player.step([MID], **facts), "BAD_SHAPE", field)
    player.act([MID])


def test_r15_first_rows_say_nothing(player: Client) -> None:
    player.act([FIRST], taken=ints(99), by=b"\x09", elapsed=floats(NAN))
    player.act([TERMINATED, FIRST], [0, 0], taken=ints(2, -7), elapsed=floats(1, -1))


def test_r15_branches(dial: Dial, agent: str) -> None:
    client = dial()
    client.greet(agent, action={"kind": "multi_discrete", "n": [3, 2]}, protocol=BOTH)
    client.act([FIRST, FIRST], mask=bytes([1, 1, 1, 0, 1] * 2))
    refused = client.step([MID, MID], taken=ints(2, 1, 2, 0), by=b"\1\1")
    assert "row 1" in client.expect_refusal(refused, "BAD_TAKEN", "taken")["message"]
    refused = client.step([MID, MID], taken=ints(2, 1, 1, 2), by=b"\1\1")
    assert client.expect_refusal(refused, "BAD_TAKEN", "taken")["expected"] == "an action in 0..1"
    client.act([MID, MID], taken=ints(2, 1, 0, 1), by=b"\1\0")


@pytest.mark.parametrize("action", [BOX, MIXED])
def test_r15_numbers_are_inside_their_bounds(
    dial: Dial, name: Callable[[], str], action: dict[str, Any]
) -> None:
    client = dial()
    client.greet(name(), action=action, protocol=BOTH)
    mask = {} if action is BOX else {"mask": bytes([1, 0, 1])}
    assert client.step([FIRST], **mask)["type"] == "act"
    wrong = [(1.5, 1.0), (0.0, NAN), (-INF, 0.0)] if action is BOX else [(0.5, 0), (3, 0), (1, 0)]
    for numbers in wrong:
        answer = client.step([MID], taken=floats(*numbers), by=b"\1", **mask)
        client.expect_refusal(answer, "BAD_TAKEN", "taken")
    client.expect_refusal(client.step([MID], taken=bytes(4)), "BAD_SHAPE", "taken")
    played = (0.3, 1.9) if action is BOX else (2, -0.25)
    assert client.step([MID], taken=floats(*played), by=b"\1", **mask)["type"] == "act"


def test_r15_the_ring_holds_what_was_played(serve: Any, deadline: Any) -> None:
    """Taken over in every second row; a killed server tells from the ring what was played."""
    daemon = serve("agent.learner=dqn", "agent.pace.learn_start=90000", "limits.window=40")
    client = daemon.client()
    session = client.greet("watched", protocol=BOTH, explain=True)["session"]
    answers = [client.act([FIRST] * 2)["actions"]]
    played = []
    for at in range(1, 30):
        if at % 2:  # a person plays another action on stream 0, the agent its own on stream 1
            played.append([(answers[-1][0] + 1) % 3, answers[-1][1]])
            more = {"taken": ints(*played[-1]), "by": b"\1\0"}
        else:
            played.append(answers[-1])
            more = {}
        answers.append(client.act([MID] * 2, **more)["actions"])
    frames = 30
    daemon.kill()
    again = serve("agent.learner=dqn", "agent.pace.learn_start=90000", folder=daemon.folder)
    client = again.client()
    welcome = client.greet("watched", protocol=BOTH, resume=session, explain=True)
    assert (welcome["resumed"], welcome["last_seq"]) == (True, frames)
    client.seq = 0
    for action in played:
        told = client.act([FIRST if client.seq == 0 else MID] * 2)
        assert told["actions"] == action
        assert max(told["explored"]) <= 1
        if action is played[0]:
            assert told["explored"][0] == 0  # what a person plays is not the agent's exploration
    assert client.act([MID] * 2)["actions"] == answers[-1]
    client.act([MID] * 2, taken=ints(0, 0), by=b"\2\2")
    assert again.stop() == 0


# -- R16 facts from the game ----------------------------------------------------------------------


def test_r16_what_is_logged_stands_in_stats(dial: Dial, admin: Client, agent: str) -> None:
    client = dial()
    client.greet(agent, protocol=BOTH)
    client.send("log", values={"race/lap_s": 41.5, "fuel": 3})
    client.send("log", values={"fuel": 2.5})
    client.send("log", values={})
    client.act([FIRST])
    stats = stats_of(admin, agent)
    assert stats["log"] == {"race/lap_s": 41.5, "fuel": 2.5}
    assert (stats["log_messages"], stats["log_dropped"]) == (3, 0)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"a": NAN}, "values.a"),
        ({"a": INF}, "values.a"),
        ({"a": -INF}, "values.a"),
        ({f"n{i}": 1.0 for i in range(33)}, "values"),
        ({"Big": 1.0}, "values"),
        ({"": 1.0}, "values"),
        ({"x" * 65: 1.0}, "values"),
        ({"a b": 1.0}, "values"),
        ({"a\n": 1.0}, "values"),
    ],
)
def test_r16_a_log_that_is_none(
    dial: Dial, admin: Client, agent: str, values: dict[str, float], field: str
) -> None:
    client = dial()
    client.greet(agent, protocol=BOTH)
    client.send("log", values={"ok": 1.0} | values)
    answer = client.receive()
    assert "seq" not in answer
    client.expect_refusal(answer, "BAD_LOG", field)
    client.send("log", values={f"n{i}": 1.0 for i in range(32)})
    client.act([FIRST])
    assert len(stats_of(admin, agent)["log"]) == 32


@pytest.mark.parametrize("values", [{"a": "fast"}, {"a": None}, [1.0], None])
def test_r16_a_log_is_a_map_of_numbers(player: Client, values: Any) -> None:
    player.send("log", values=values)
    player.expect_end("BAD_MESSAGE", "protocol")


def test_r16_ten_thousand_a_second_are_dropped_and_counted(
    dial: Dial, admin: Client, agent: str
) -> None:
    client = dial()
    client.greet(agent, protocol=BOTH)
    good, bad = (msgpack.packb({"type": "log", "values": {"a": x}}) for x in (1.0, NAN))
    frames = [struct.pack("<I", len(body)) + body for body in (good, bad)]
    begun = time.monotonic()
    client.socket.sendall(frames[0] * 10_000 + frames[1] * 200)
    client.act([FIRST])  # bad ones beyond the limit are not even answered
    seconds = math.ceil(time.monotonic() - begun) + 1
    stats = stats_of(admin, agent)
    assert stats["log_messages"] <= 100 * seconds
    assert stats["log_messages"] + stats["log_dropped"] == 10_200


def test_r16_success_counts_on_ended_rows(dial: Dial, admin: Client, agent: str) -> None:
    trained, judged, silent = dial(), dial(), dial()
    trained.greet(agent, protocol=BOTH)
    trained.act([FIRST] * 4)
    trained.act([TERMINATED, TRUNCATED, MID, MID], success=bytes([1, 0, 1, 1]))
    trained.act([TERMINATED, TERMINATED], [2, 3], success=bytes([1, 1]))
    judged.greet(agent, protocol=BOTH, role="eval")
    judged.act([FIRST])
    judged.act([TERMINATED], success=b"\0")
    silent.greet(agent)
    silent.act([FIRST])
    silent.act([TERMINATED])
    stats = stats_of(admin, agent)
    assert (stats["success_rate"], stats["eval_success_rate"]) == (0.75, 0.0)
    assert stats_of(admin, "plain")["success_rate"] is None


# -- R17 late answers -----------------------------------------------------------------------------


def test_r17_an_answer_at_the_deadline_is_marked(serve: Any) -> None:
    """Its learner owes more updates than any deadline waits for."""
    pace = "{mode: paced, learn_start: 2, train_every: 2, updates: 60000}"
    daemon = serve("agent.learner=dqn", f"agent.pace={pace}")
    for protocol in (BOTH, [1, 1]):
        client = daemon.client()
        client.greet("slow", protocol=protocol, deadline_ms=300)
        answers = [client.act([FIRST if at == 0 else MID] * 4) for at in range(3)]
        late = [answer.get("late") for answer in answers]
        assert late[-1] is (True if protocol == BOTH else None)
        assert False not in late  # it is left out where it does not hold
        client.close()
    daemon.kill()


# -- R18 time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("elapsed", [0.0, -0.0, -1.0, NAN, INF, 1e9, 100_001.0])
def test_r18_elapsed_is_above_0_and_bounded(player: Client, elapsed: float) -> None:
    player.act([FIRST, FIRST])
    answer = player.step([MID, TERMINATED], elapsed=floats(1, elapsed))
    assert "row 1" in player.expect_refusal(answer, "BAD_ELAPSED", "elapsed")["message"]
    player.act([MID, TERMINATED], elapsed=floats(1e-3, 100_000))


@pytest.mark.parametrize("dt_ms", [0.0, -16.0, NAN, INF, 3_600_001.0])
def test_r18_dt_ms_is_above_0_and_bounded(client: Client, dt_ms: float) -> None:
    client.hello(protocol=BOTH, dt_ms=dt_ms)
    client.expect_end("BAD_HELLO", "protocol", "dt_ms")


def test_r18_dt_ms_is_taken_in_version_2_alone(dial: Dial) -> None:
    new, old = dial(), dial()
    new.greet(protocol=BOTH, dt_ms=16.7)
    new.act([FIRST])
    old.hello(dt_ms=16.7)
    old.expect_end("BAD_HELLO", "protocol", "dt_ms")


def test_r18_a_game_that_pauses_goes_on(serve: Any) -> None:
    """It answers pings: the same connection; it does not: a resume. The row says how long."""
    daemon = serve("limits.heartbeat_s=0.4")
    client = daemon.client()
    session = client.greet("paused", protocol=BOTH, role="eval")["session"]
    client.act([FIRST])
    end = time.monotonic() + 1.5
    client.socket.settimeout(0.1)
    pings = 0
    while time.monotonic() < end:
        with contextlib.suppress(socket.timeout):
            client.send("pong", t=client.receive(pings=True)["t"])
            pings += 1
    client.socket.settimeout(15)
    assert pings
    client.act([MID], elapsed=floats(36_000))
    time.sleep(1.2)
    assert client.receive(pings=True)["type"] == "ping"
    client.expect_end("IDLE_TIMEOUT", "idle")
    client = daemon.client()
    welcome = client.greet("paused", protocol=BOTH, role="eval", resume=session)
    assert (welcome["resumed"], welcome["protocol"]) == (True, 2)
    client.act([MID], elapsed=floats(36_000), taken=ints(1), by=b"\1")
    daemon.stop()


# -- R19 settings to the game ---------------------------------------------------------------------


def test_r19_settings_come_with_welcome_and_change(dial: Dial, admin: Client, agent: str) -> None:
    clients = [dial() for _ in range(2)]
    for client in clients:
        assert client.greet(agent, protocol=BOTH)["game"] == {"level": 1.0}
    assert admin.ask("settings", agent=agent, values={"wind": 0.5}) == {
        "type": "settings",
        "agent": agent,
        "values": {"level": 1.0, "wind": 0.5},
    }
    for client in clients:
        assert client.receive() == {"type": "settings", "values": {"level": 1.0, "wind": 0.5}}
        client.act([FIRST])
        client.send("goodbye", reason="client_done")
        assert client.receive()["type"] == "goodbye"
    assert admin.ask("info", agent=agent)["info"]["config"]["game"]["wind"] == 0.5
    assert admin.ask("unload", agent=agent)["type"] == "unloaded"
    assert dial().greet(agent, protocol=BOTH)["game"] == {"level": 1.0, "wind": 0.5}
    assert "game" not in dial().greet(protocol=BOTH)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"a": NAN}, "values.a"),
        ({"A": 1.0}, "values"),
        ({f"n{i}": 1.0 for i in range(33)}, "values"),
    ],
)
def test_r19_settings_that_are_none(
    admin: Client, agent: str, values: dict[str, float], field: str
) -> None:
    admin.expect_refusal(admin.ask("settings", agent=agent, values=values), "BAD_CONFIG", field)
    answer = admin.ask("settings", agent="nobody", values={})
    admin.expect_refusal(answer, "UNKNOWN_AGENT", "agent")


def test_r19_settings_outlive_a_restart_and_the_file(serve: Any) -> None:
    config = "agents={racer: {learner: none, game: {level: 1}}}"
    daemon = serve(config)
    admin = daemon.client()
    admin.greet(None, role="admin", protocol=BOTH, observation=None, action=None, streams=None)
    assert admin.ask("settings", agent="racer", values={"level": 7})["values"] == {"level": 7.0}
    assert daemon.stop() == 0
    again = serve(config, folder=daemon.folder)
    assert again.client().greet("racer", protocol=BOTH)["game"] == {"level": 7.0}
    again.stop()
