"""What a game says besides its rows, and what the server says besides actions: protocol 2."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from agentd.client import (
    FIRST,
    MID,
    TERMINATED,
    TRUNCATED,
    AsyncClient,
    Client,
    Refused,
    ServerTooOld,
    SessionLost,
)
from agentd.client.played import pack_facts, read_log
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.schema import Schema

GAME = ("pong", ("float32", (2,)), 7)


@pytest.fixture
def new_peer(peer):
    """A server that speaks protocol 2."""
    peer.protocol = 2
    return peer


def schema(action=None):
    return Schema.from_wire(
        {"obs": {"dtype": "float32", "shape": [2]}}, action or {"kind": "discrete", "n": 7}
    )


def rows(n):
    return np.zeros((n, 2), np.float32)


def column(data, dtype):
    return None if data is None else np.frombuffer(data, dtype).tolist()


def said(step):
    return (
        column(step.taken, np.int32),
        column(step.by, np.uint8),
        column(step.elapsed, np.float32),
        column(step.success, np.uint8),
    )


def soon(fact):
    """Wait for a fact."""
    until = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


# -- what is sent ---------------------------------------------------------------------------------


def test_what_was_played_goes_with_the_rows(new_peer, connect):
    client = connect(new_peer)
    client.step(rows(3), 0.0, FIRST)
    client.step(rows(3), 0.0, MID, taken=[4, 5, 6], by=["agent", "person", "script"])
    client.step([0, 0], 0.0, MID, taken=2, by="person", elapsed=0.5)
    client.step([0, 0], 1.0, TERMINATED, success=True)
    client.step(rows(2), 0.0, MID, [1, 2], taken=None, by=None, elapsed=[1, 3], success=None)

    assert [said(step) for step in new_peer.only.taken] == [
        (None, None, None, None),
        ([4, 5, 6], [0, 1, 2], None, None),
        ([2], [1], [0.5], None),
        (None, None, None, [1]),
        (None, None, [1, 3], None),
    ]


def test_actions_of_several_branches_have_the_layout_of_the_answer():
    two = schema({"kind": "multi_discrete", "n": [2, 3]})

    both = pack_facts(two, 2, {"taken": np.array([[1, 2], [0, 1]])})
    one = pack_facts(two, 1, {"taken": [1, 2], "by": 1})

    assert column(both["taken"], np.int32) == [1, 2, 0, 1]
    assert column(one["taken"], np.int32) == [1, 2]
    assert column(one["by"], np.uint8) == [1]


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"taken": [1, 2, 3]}, ValueError, r"taken: want shape \(2,\), got \(3,\)"),
        ({"taken": 1}, ValueError, r"taken: want shape \(2,\), got \(\)"),
        ({"taken": [0.5, 1.0]}, TypeError, "taken: want action numbers, got float64"),
        ({"taken": [1, 2**32]}, ValueError, "taken: want action numbers, got 4294967296"),
        ({"by": "person"}, ValueError, "by: says who chose `taken`, and there is none"),
        ({"taken": [1, 2], "by": "player"}, ValueError, "want agent, person, script, got 'player'"),
        ({"taken": [1, 2], "by": 3}, ValueError, "want agent, person, script, got 3"),
        ({"taken": [1, 2], "by": [0] * 3}, ValueError, "by: want 2 values"),
        ({"elapsed": [1.0]}, ValueError, "elapsed: want 2 values"),
        ({"success": 0.5}, ValueError, "success: want truths, got 0.5"),
        ({"success": [0, 2]}, ValueError, "success: want truths"),
        ({"took": 1}, TypeError, "took: no argument of a step; want taken, by, elapsed, success"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_sent(facts, error, words):
    with pytest.raises(error, match=words):
        pack_facts(schema(), 2, facts)


def test_a_frame_that_is_sent_again_says_the_same(new_peer, connect):
    client = connect(new_peer)
    client.step([0, 0], 0.0, FIRST)

    def cut_once(peer, connection, step):
        peer.before_answer = None
        peer.cut()
        raise OSError("nothing of it was taken")

    new_peer.before_answer = cut_once
    client.step([0, 0], 0.0, MID, taken=3, by="person", elapsed=2.0, success=False)

    assert client.reconnects == 1
    assert [said(step) for step in new_peer.only.taken][1:] == [([3], [1], [2.0], [0])]


def test_the_time_between_rows_is_said_in_the_hello(new_peer, connect):
    connect(new_peer, dt_ms=1000 / 60)
    connect(new_peer)

    assert [(h.protocol, h.dt_ms) for h in new_peer.hellos] == [
        ((2, 2), 1000 / 60),
        ((1, 2), None),
    ]
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="dt_ms: want milliseconds over 0"):
            connect(new_peer, dt_ms=wrong)


# -- what is logged --------------------------------------------------------------------------------


def test_numbers_of_the_game_are_logged(new_peer, connect):
    client = connect(new_peer)
    client.log(level=3, won=True)
    client.log({"team/gold": np.float32(0.5)}, level=4)
    client.log({})
    client.ping()

    logged = [message.values for message in new_peer.messages if isinstance(message, m.Log)]
    assert logged == [{"level": 3.0, "won": 1.0}, {"team/gold": 0.5, "level": 4.0}]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x": float("nan")}, "log: x: want a finite number, got nan"),
        ({"x": float("inf")}, "log: x: want a finite number, got inf"),
        ({"x": "much"}, "log: x: want a finite number, got 'much'"),
        ({"x": None}, "log: x: want a finite number, got None"),
        ({"Level": 1}, "log: want names of 1 to 64 of a-z 0-9 _ . / -, got 'Level'"),
        ({"": 1}, "got ''"),
        ({"x" * 65: 1}, "want names of 1 to 64"),
        ({1: 1}, "want names of 1 to 64"),
        (dict.fromkeys(map(str, range(33)), 1.0), "log: want at most 32 values, got 33"),
    ],
)
def test_a_log_that_does_not_fit_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        read_log(values)


def test_a_log_that_the_server_refuses_harms_nobody(new_peer, connect, caplog):
    client = connect(new_peer)
    new_peer.operations[m.Log] = ProtocolError(Code.BAD_LOG, "values.level: no more names")
    new_peer.operations[m.Freeze] = m.Frozen(agent="pong", on=True)
    client.log(level=1)
    client.freeze("pong")

    assert client.step([3, 0], 0.0, FIRST).actions.tolist() == [3]
    assert client.reconnects == 0
    assert "a log was refused: values.level: no more names" in caplog.text


# -- what is heard ---------------------------------------------------------------------------------


def test_a_late_answer_says_so(new_peer, connect):
    client = connect(new_peer)
    answer = new_peer._answer

    def late(session, message):
        return m.ActReply(
            **{name: getattr(answer(session, message), name) for name in ("seq", "action")},
            version=1,
            late=message.seq == 2,
        )

    new_peer._answer = late

    assert [client.step([0, 0], 0.0, kind).late for kind in (FIRST, MID, MID)] == [
        False,
        True,
        False,
    ]


def test_settings_come_with_the_welcome_and_change_when_the_server_says(new_peer, connect):
    new_peer.game = {"speed": 1.0}
    client = connect(new_peer)
    assert client.settings == {"speed": 1.0}

    new_peer.say(m.GameSettings(values={"speed": 2.0, "lives": 3.0}))
    soon(lambda: client.poll() or client.settings == {"speed": 2.0, "lives": 3.0})

    new_peer.game = {"speed": 4.0}
    new_peer.cut()
    client.step([0, 0], 0.0, FIRST)
    assert client.settings == {"speed": 4.0}


def test_an_operator_changes_them(new_peer):
    new_peer.operations[m.Settings] = m.GameSettings(agent="pong", values={"speed": 2.0})
    with Client.connect(new_peer.address, role="admin") as admin:
        assert admin.change_settings("pong", {"speed": 2}) == {"speed": 2.0}
        assert admin.settings == {}


REPLIES = {
    m.Reset: m.WasReset(agent="pong", checkpoint="000001-000000000007-kept"),
    m.Explore: m.ExploringReply(agent="pong", kind="epsilon", value=0.5),
    m.Copy: m.Copied(agent="pong", to="pong.old", step=7),
    m.Migrate: m.Migrated(agent="pong", to="pong-2", step=7),
}
ASKED = (
    ("reset", ("pong",), {"keep_weights": True}),
    ("explore", ("pong", 0.5), {}),
    ("copy", ("pong", "pong.old"), {"replay": True}),
    ("migrate", ("pong", "pong-2", {"x": ("float32", (2,))}, 4), {}),
)


async def test_an_operator_has_agents_go_on(new_peer):
    new_peer.operations |= REPLIES
    wanted = [REPLIES[m.Reset].checkpoint, *list(REPLIES.values())[1:]]
    with Client.connect(new_peer.address, role="admin") as admin:
        found = [getattr(admin, verb)(*given, **more) for verb, given, more in ASKED]
    assert found == wanted
    async with await AsyncClient.connect(new_peer.address, role="admin") as admin:
        found = [await getattr(admin, verb)(*given, **more) for verb, given, more in ASKED]
    assert found == wanted


async def test_the_asyncio_client_says_and_hears_all_of_it(new_peer):
    new_peer.game = {"speed": 1.0}
    async with await AsyncClient.connect(new_peer.address, *GAME, streams=2, dt_ms=20) as client:
        first = client.settings
        await client.step([0, 0], 0.0, FIRST)
        await client.step([0, 0], 0.0, MID, taken=3, by="script", elapsed=2)
        await client.cut()
        await client.log(level=1)
        new_peer.say(m.GameSettings(values={}))
        until = time.monotonic() + 10
        while client.settings and time.monotonic() < until:
            await asyncio.sleep(0.01)

    assert (first, client.settings) == ({"speed": 1.0}, {})
    assert [said(step)[:3] for step in new_peer.only.taken[1:]] == [
        ([3], [2], [2.0]),
        (None, None, None),
    ]
    assert new_peer.only.taken[2].kind.tobytes() == bytes([TRUNCATED])
    assert [x.values for x in new_peer.messages if isinstance(x, m.Log)] == [{"level": 1.0}]


# -- an older server -------------------------------------------------------------------------------


def test_an_older_server_is_named_and_all_else_works(peer, connect):
    client = connect(peer)
    client.step([0, 0], 0.0, FIRST)
    for call in (
        lambda: client.step([0, 0], 0.0, MID, taken=3),
        lambda: client.send([0, 0], 0.0, MID, elapsed=2.0),
        lambda: client.step([0, 0], 0.0, TERMINATED, success=True),
        lambda: client.log(level=1),
        lambda: client.change_settings("pong", {"speed": 1.0}),
        lambda: client.reset("pong"),
        lambda: client.explore("pong", 0.5),
        lambda: client.copy("pong", "pong.old"),
        lambda: client.migrate("pong", "pong-2", ("float32", (2,)), 4),
    ):
        with pytest.raises(ServerTooOld, match="needs protocol 2, the server speaks 1"):
            call()

    assert client.settings == {}
    assert client.step([3, 0], 0.0, MID, taken=None).actions.tolist() == [3]
    client.cut()
    assert client.step([0, 0], 0.0, FIRST).late is False
    assert client.reconnects == 0


@pytest.mark.parametrize("asked", [{"dt_ms": 10}, {"level": 40, "role": "play"}])
def test_an_older_server_refuses_what_is_newer_by_name(peer, asked):
    said = "this server speaks protocol 1 to 1, the client 2 to 2"
    peer.refuse_hello = [ProtocolError(Code.UNSUPPORTED_VERSION, said)]

    with pytest.raises(Refused, match=f"{next(iter(asked))} needs protocol 2: {said}"):
        Client.connect(peer.address, *GAME, **asked)


# -- a game that jumps -----------------------------------------------------------------------------


def ends(peer):
    """(stream, observation) of every row that a cut sent."""
    found = []
    for step in peer.only.taken:
        kinds = np.frombuffer(step.kind, np.uint8)
        obs = np.frombuffer(step.obs["obs"], np.float32).reshape(-1, 2)
        ids = np.frombuffer(step.stream, np.uint32)
        found += [(int(ids[i]), *obs[i].tolist()) for i in np.flatnonzero(kinds == TRUNCATED)]
    return found


def test_a_cut_ends_every_open_episode_with_the_state_that_was_sent_last(peer, connect):
    client = connect(peer)
    state = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    client.step(state, 0.0, FIRST)
    client.step(state, 0.0, [MID, TERMINATED, MID])
    state[:] = 0  # the game's own memory, written anew

    client.cut(reward=0.5)
    client.cut()  # nothing is open any more

    assert ends(peer) == [(0, 1, 2), (2, 5, 6)]
    assert column(peer.only.taken[-1].reward, np.float32) == [0.5, 0.5]
    assert client.step(state, 0.0, FIRST).seq == 4


def test_one_stream_of_several_may_be_cut(peer, connect):
    client = connect(peer)
    client.step(rows(3), 0.0, FIRST)
    client.cut(1)
    client.cut([0, 2])

    assert ends(peer) == [(1, 0, 0), (0, 0, 0), (2, 0, 0)]
    with pytest.raises(ValueError, match="stream: 7 had no open row in the last step"):
        client.cut(7)


def test_a_cut_before_the_first_row_or_after_a_lost_session_does_nothing(peer, connect):
    client = connect(peer)
    client.cut()
    client.step([0, 0], 0.0, FIRST)
    peer.resumes = False
    peer.cut()
    with pytest.raises(SessionLost):
        client.cut()
    client.cut()
    client.step([0, 0], 0.0, FIRST)
    client.abandon()
    client.cut()

    assert client.step([0, 0], 0.0, FIRST).seq == 1
    assert [step.kind.tobytes() for session in peer.sessions.values() for step in session.taken] \
        == [bytes([FIRST])] * 3  # fmt: skip
