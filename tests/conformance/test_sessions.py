"""Rules R4 and R7 of PROTOCOL.md: the first words, and coming back after a lost connection."""

import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3
Client = Any  # conftest.RawClient
Dial = Callable[..., Any]


# -- R4 first words -------------------------------------------------------------------------------


def test_r4_welcome_says_the_limits(client: Client) -> None:
    welcome = client.greet()
    assert set(welcome) == {
        *("type", "protocol", "session", "agent", "version", "max_frame", "max_rows"),
        *("window", "heartbeat_s", "resumed", "last_seq"),
    }
    assert welcome["protocol"] == 1
    assert len(welcome["session"]) == 16
    assert welcome["agent"] == "plain"
    assert (welcome["resumed"], welcome["last_seq"]) == (False, 0)
    assert welcome["max_frame"] == 8388608
    assert min(welcome["max_rows"], welcome["window"], welcome["heartbeat_s"]) > 0


def test_r4_sessions_are_not_alike(dial: Dial) -> None:
    assert len({dial().greet()["session"] for _ in range(8)}) == 8


def test_r4_the_client_speaks_first_within_2_s(client: Client) -> None:
    start = time.monotonic()
    client.expect_end("HELLO_TIMEOUT", "idle")
    assert 1.5 < time.monotonic() - start < 8


def test_r4_half_a_hello_is_no_hello(client: Client) -> None:
    client.socket.sendall(struct.pack("<I", 100) + b"\x8e")
    client.expect_end("HELLO_TIMEOUT", "idle")


def test_r4_frames_before_welcome_wait(client: Client) -> None:
    client.hello()
    client.send("step", **client.rows([FIRST]))
    assert client.receive()["type"] == "welcome"
    assert client.receive()["type"] == "act"


@pytest.mark.parametrize("extra", [{}, {"colour": "blue"}, {"client": None}])
@pytest.mark.parametrize("versions", [[3, 4], [0, 0]])
def test_r4_another_version_is_told_the_range(
    client: Client, versions: list[int], extra: dict[str, Any]
) -> None:
    client.hello(protocol=versions, **extra)
    error = client.expect_end("UNSUPPORTED_VERSION", "protocol", "protocol")
    assert error["expected"] == "[1, 2]"


def test_r4_the_highest_common_version_is_spoken(client: Client) -> None:
    assert client.greet(protocol=[0, 9])["protocol"] == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"protocol": 1}, "protocol"),
        ({"protocol": None}, "protocol"),
        ({"client": None}, "client"),
        ({"client": ""}, "client"),
        ({"client": "x" * 129}, "client"),
        ({"role": None}, "role"),
        ({"role": "boss"}, "role"),
        ({"run": None}, "run"),
        ({"run": bytes(15)}, "run"),
        ({"run": "0123456789abcdef"}, "run"),
        ({"agent": None}, "agent"),
        ({"agent": "Upper"}, "agent"),
        ({"agent": "-x"}, "agent"),
        ({"agent": "x" * 65}, "agent"),
        ({"agent": "../x"}, "agent"),
        ({"agent": "x\n"}, "agent"),
        ({"observation": None}, "observation"),
        ({"observation": {}}, "observation"),
        ({"observation": {"x": {"dtype": "float64", "shape": [2]}}}, "observation.x.dtype"),
        ({"observation": {"x": {"dtype": "float32", "shape": [0]}}}, "observation.x.shape"),
        ({"observation": {"x": {"dtype": "float32", "shape": [1] * 5}}}, "observation.x.shape"),
        ({"observation": {"x": {"dtype": "int32", "shape": [65536, 17]}}}, "observation"),
        ({"observation": {"x y": {"dtype": "float32", "shape": [2]}}}, "observation"),
        ({"action": None}, "action"),
        ({"action": {"kind": "box", "n": 3}}, "action.kind"),
        ({"action": {"kind": "discrete", "n": 0}}, "action.n"),
        ({"action": {"kind": "multi_discrete", "n": []}}, "action.n"),
        ({"streams": None}, "streams"),
        ({"streams": 0}, "streams"),
        ({"streams": 2**40}, "streams"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"deadline_ms": 60001}, "deadline_ms"),
        ({"priority": "urgent"}, "priority"),
        ({"explain": 1}, "explain"),
        ({"token": 5}, "token"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_r4_a_bad_hello_names_its_field(
    client: Client, changes: dict[str, Any], field: str
) -> None:
    client.hello(**changes)
    client.expect_end("BAD_HELLO", "protocol", field)


def test_r4_every_optional_key_is_taken(client: Client) -> None:
    client.greet(token="anything", explain=False, deadline_ms=50, priority="bulk")
    client.act([FIRST])


def test_r4_an_unknown_agent_is_created_on_loopback(client: Client, name: Any) -> None:
    agent = name()
    assert client.greet(agent, role="play")["agent"] == agent
    client.act([FIRST])


def test_r4_autocreate_may_be_off(serve: Any) -> None:
    daemon = serve("autocreate=false")
    client = daemon.client()
    client.hello("nobody")
    client.expect_end("UNKNOWN_AGENT", "error", "agent")
    daemon.stop()


@pytest.mark.parametrize(
    "changes",
    [
        {"observation": {"x": {"dtype": "float32", "shape": [3]}}},
        {"observation": {"y": {"dtype": "float32", "shape": [2]}}},
        {"action": {"kind": "discrete", "n": 4}},
    ],
)
def test_r4_another_schema_is_refused_with_both_named(
    dial: Dial, client: Client, changes: dict[str, Any]
) -> None:
    dial().greet()
    client.hello(**changes)
    error = client.expect_end("SCHEMA_MISMATCH", "protocol")
    assert error["expected"] != error["got"]
    assert error["expected"] in error["message"]
    assert error["got"] in error["message"]


def test_r4_roles_that_do_not_train_teach_nothing(dial: Dial, admin: Client, name: Any) -> None:
    """train explores and fills the ring; eval and play are greedy and leave no row."""
    agent = name()
    config = {"exploration": {"start": 1.0, "end": 1.0}}
    assert admin.ask("create", agent=agent, config=config)["type"] == "created"
    for role, explored in (("play", 0), ("eval", 0), ("train", 40)):
        client = dial()
        client.greet(agent, role=role, explain=True, streams=40)
        answer = client.act([FIRST] * 40)
        assert sum(answer["explored"]) == explored
        stats = admin.ask("stats", agent=agent)["agents"][agent]
        assert stats["env_steps"] <= (40 if role == "train" else 0)
    client.send("goodbye", reason="client_done")
    assert client.receive()["type"] == "goodbye"


def test_r4_eval_returns_are_counted_apart(dial: Dial, admin: Client, name: Any) -> None:
    agent = name()
    config = {"learner": "none"}
    assert admin.ask("create", agent=agent, config=config)["type"] == "created"
    for role, reward in (("play", 5.0), ("train", 1.0), ("eval", 3.0)):
        client = dial()
        client.greet(agent, role=role)
        client.act([FIRST])
        client.act([TERMINATED], reward=struct.pack("<f", reward))
    stats = admin.ask("stats", agent=agent)["agents"][agent]
    assert (stats["return_mean"], stats["eval_return_mean"]) == (1.0, 3.0)
    assert stats["eval_episodes"] == 1


# -- R7 resume ------------------------------------------------------------------------------------


def test_r7_a_resumed_session_continues_streams_and_seq(dial: Dial) -> None:
    first = dial()
    welcome = first.greet()
    first.act([FIRST, FIRST])
    first.act([MID, TERMINATED])
    first.close()

    again = dial()
    resumed = again.greet(resume=welcome["session"])

    assert (resumed["resumed"], resumed["last_seq"]) == (True, 2)
    assert resumed["session"] == welcome["session"]
    again.act([MID, FIRST])
    again.expect_refusal(again.step([FIRST], [0]), "BAD_KIND")


def test_r7_a_resent_frame_gets_the_answer_it_had(dial: Dial) -> None:
    first = dial()
    session = first.greet(explain=True)["session"]
    frames = [first.rows([kind, kind]) for kind in (FIRST, MID, 9, MID)]
    answers = []
    for frame in frames:
        first.send("step", **frame)
        answers.append(first.receive())
    assert answers[2]["type"] == "error"
    first.close()

    again = dial()
    assert again.greet(explain=True, resume=session)["last_seq"] == 4
    for frame in frames:
        again.send("step", **frame)

    assert [again.receive() for _ in frames] == answers
    again.act([MID, MID])


def test_r7_answers_that_were_lost_on_the_way_come_after_the_resume(dial: Dial) -> None:
    first = dial()
    session = first.greet()["session"]
    frames = [first.rows([FIRST])] + [first.rows([MID]) for _ in range(3)]
    for frame in frames:
        first.send("step", **frame)
    time.sleep(0.2)
    first.close()

    again = dial()
    last = again.greet(resume=session)["last_seq"]
    for frame in frames:
        again.send("step", **frame)

    assert 0 <= last <= 4
    assert [again.receive()["seq"] for _ in frames] == [1, 2, 3, 4]


@pytest.mark.parametrize("change", [{"run": bytes(range(16))}, {"streams": 3}, {"role": "play"}])
def test_r7_a_game_that_restarted_gets_a_new_session(dial: Dial, change: dict[str, Any]) -> None:
    first = dial()
    session = first.greet()["session"]
    first.act([FIRST])
    first.close()

    again = dial()
    welcome = again.greet(resume=session, **change)

    assert (welcome["resumed"], welcome["last_seq"]) == (False, 0)
    assert welcome["session"] != session
    again.expect_refusal(again.step([MID]), "BAD_KIND")


@pytest.mark.parametrize("session", [bytes(16), b"", bytes(99)])
def test_r7_an_unknown_session_is_a_new_one(client: Client, session: bytes) -> None:
    assert client.greet(resume=session)["resumed"] is False


def test_r7_the_newer_connection_replaces_the_older(dial: Dial) -> None:
    older = dial()
    session = older.greet()["session"]
    older.act([FIRST])

    newer = dial()
    assert newer.greet(resume=session)["resumed"] is True

    older.expect_goodbye("replaced")
    newer.act([MID])


def test_r7_after_a_gap_the_resumed_seq_is_refused(dial: Dial) -> None:
    first = dial()
    session = first.greet()["session"]
    first.act([FIRST])
    first.close()
    again = dial()
    again.greet(resume=session)
    again.send("step", **again.rows([MID], seq=3))
    again.expect_end("BAD_SEQ", "protocol", "seq")


def test_r7_goodbye_ends_the_session_at_once(dial: Dial) -> None:
    first = dial()
    session = first.greet()["session"]
    first.act([FIRST])
    first.send("goodbye", reason="client_done")
    first.expect_goodbye("client_done")
    assert dial().greet(resume=session)["resumed"] is False


def test_r7_a_client_that_left_during_the_handshake_leaves_no_session(
    serve: Any, deadline: Any
) -> None:
    daemon = serve("limits.resume_s=0.5")
    watcher = daemon.client()
    watcher.greet("watched", role="play")
    for _ in range(5):
        gone = daemon.client()
        gone.hello("fleeting", role="play")
        gone.close()

    def sessions() -> int:
        agents = {each["agent"]: each for each in watcher.ask("agents")["agents"]}
        return agents["fleeting"]["sessions"] if "fleeting" in agents else -1

    deadline(lambda: sessions() > 0, 30)
    deadline(lambda: sessions() == 0, 10)
    daemon.stop()


def test_r7_a_session_waits_only_so_long(serve: Any) -> None:
    daemon = serve("limits.resume_s=0.5")
    first = daemon.client()
    session = first.greet("waiting", role="play")["session"]
    first.act([FIRST])
    first.close()
    time.sleep(1.2)
    assert daemon.client().greet("waiting", role="play", resume=session)["resumed"] is False
    daemon.stop()


def test_r7_sessions_survive_a_killed_server(serve: Any) -> None:
    """What was acknowledged is known after kill -9; a refused frame is still refused."""
    daemon = serve()
    client, admin = daemon.client(), daemon.client()
    session = client.greet("durable", streams=2, explain=True)["session"]
    frames = [client.rows(kinds) for kinds in ([FIRST, FIRST], [MID, 7], [MID, MID], [8, MID])]
    answers = []
    for frame in frames:
        client.send("step", **frame)
        answers.append(client.receive())
    assert [answer["type"] for answer in answers] == ["act", "error", "act", "error"]
    admin.greet(agent=None, role="admin", observation=None, action=None, streams=None)
    learned = admin.ask("stats", agent="durable")["agents"]["durable"]["env_steps"]
    daemon.hang_up()
    daemon.kill()

    risen = serve(folder=daemon.folder, port=daemon.address[1])
    client, admin = risen.client(), risen.client()
    welcome = client.greet("durable", streams=2, explain=True, resume=session)
    assert (welcome["resumed"], welcome["last_seq"]) == (True, 4)
    for frame in frames:
        client.send("step", **frame)
    again = [client.receive() for _ in frames]

    for before, after in ((answers[0], again[0]), (answers[2], again[2])):
        assert after["type"] == "act"
        for key in ("seq", "action", "version", "explored"):
            assert after[key] == before[key]
    for seq in (2, 4):
        refused = again[seq - 1]
        assert (refused["code"], refused["fatal"]) == ("ALREADY_REFUSED", False)
        assert refused["seq"] == seq
    admin.greet(agent=None, role="admin", observation=None, action=None, streams=None)
    assert admin.ask("stats", agent="durable")["agents"]["durable"]["env_steps"] == learned
    client.act([MID, TERMINATED])
    risen.stop()


def test_r7_taught_rows_survive_a_killed_server(serve: Any) -> None:
    daemon = serve()
    client, admin = daemon.client(), daemon.client()
    admin.greet(agent=None, role="admin", observation=None, action=None, streams=None)
    assert admin.ask("create", agent="pupil", config={"learner": "supervised"})["type"] == "created"
    session = client.greet("pupil")["session"]
    lessons = [
        {"seq": seq, "obs": {"x": bytes(16)}, "target": struct.pack("<2i", 0, last)}
        for seq, last in ((1, 1), (2, 9), (3, 2))
    ]
    kinds = [client.ask("teach", **lesson)["type"] for lesson in lessons]
    assert kinds == ["taught", "error", "taught"]
    daemon.hang_up()
    daemon.kill()

    risen = serve(folder=daemon.folder, port=daemon.address[1])
    client = risen.client()
    welcome = client.greet("pupil", resume=session)
    assert (welcome["resumed"], welcome["last_seq"]) == (True, 3)
    again = [client.ask("teach", **lesson) for lesson in lessons]

    assert [answer["type"] for answer in again] == kinds
    assert again[1]["code"] == "ALREADY_REFUSED"
    assert again[2]["queued"] == 4  # taken once
    assert client.ask("teach", **(lessons[0] | {"seq": 4}))["queued"] == 6
    risen.stop()
