"""The sans-IO conversation against the protocol's own server half, without a socket."""

from __future__ import annotations

import numpy as np
import pytest

from agentd.client.errors import (
    ClientClosed,
    DataRefused,
    OperationRefused,
    OutcomeUnknown,
    SessionLost,
    WindowFull,
)
from agentd.client.frames import Act, Taught
from agentd.client.session import ClientSession
from agentd.client.settings import ConnectSettings
from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.protocol.connection import ServerConnection
from agentd.protocol.errors import Code, ProtocolError


def make(**options):
    return ClientSession(ConnectSettings.read("box", "pong", ("float32", (2,)), 3, options))


def welcome(**changes):
    fields = {
        "protocol": 1,
        "session": b"s" * 16,
        "agent": "pong",
        "version": 5,
        "max_frame": 4096,
        "max_rows": 8,
        "window": 3,
        "heartbeat_s": 15.0,
        "resumed": False,
        "last_seq": 0,
    }
    return encode(m.Welcome(**(fields | changes)))


def heard(*data):
    """What a server makes of the bytes of one connection."""
    server = ServerConnection(1 << 20)
    messages = []
    for part in data:
        server.receive(part)
        while (message := server.next_event()) is not None:
            messages.append(message)
            if isinstance(message, m.Hello):
                server.welcome(_plain_welcome(message))
    return messages


def _plain_welcome(hello):
    return m.Welcome(
        protocol=1,
        session=b"s" * 16,
        agent=hello.agent,
        version=5,
        max_frame=4096,
        max_rows=8,
        window=3,
        heartbeat_s=15.0,
        resumed=hello.resume is not None,
        last_seq=99 if hello.resume is not None else 0,
    )


def act(seq, *actions, version=6):
    return encode(
        m.ActReply(seq=seq, action=np.array(actions, np.int32).tobytes(), version=version)
    )


def refusal(code, **fields):
    fatal = fields.pop("fatal", Code(code).fatal)
    return encode(m.Error(code=code, message="no", fatal=fatal, **fields))


@pytest.fixture
def session():
    session = make()
    session.open()
    session.receive(welcome())
    session.outgoing()
    return session


def step(session, n=1):
    return session.step(np.zeros((n, 2), np.float32), 0.0, 1, np.arange(n), None)


def test_hello_comes_first_and_frames_are_numbered(session):
    messages = heard(session.open(), step(session), step(session))

    assert [type(x) for x in messages] == [m.Hello, m.Step, m.Step]
    assert [x.seq for x in messages[1:]] == [1, 2]


def test_answers_go_to_the_inbox_in_order(session):
    step(session), session.teach([0, 0], 1, None)

    session.receive(act(1, 2) + encode(m.TaughtReply(seq=2, queued=1, version=7)))

    first, second = session.inbox
    assert isinstance(first, Act)
    assert first.actions.tolist() == [2]
    assert second == Taught(1, 7, 2)
    assert session.version == 7


def test_answers_may_come_in_pieces_of_one_byte(session):
    step(session)

    for byte in act(1, 2):
        session.receive(bytes([byte]))

    assert session.inbox[0].actions.tolist() == [2]


def test_an_answer_out_of_order_is_the_servers_fault(session):
    step(session)

    with pytest.raises(ProtocolError, match="BAD_SEQ"):
        session.receive(act(2, 1))


def test_a_refused_frame_takes_its_place_in_the_inbox(session):
    step(session), step(session)

    session.receive(
        refusal("NOT_FINITE", seq=1, field="reward", expected="a number", got="nan") + act(2, 1)
    )

    refused, after = session.inbox
    assert isinstance(refused, DataRefused)
    assert (refused.code, refused.field, refused.expected, refused.got, refused.seq) == (
        Code.NOT_FINITE,
        "reward",
        "a number",
        "nan",
        1,
    )
    assert after.seq == 2


def test_pings_are_answered(session):
    session.receive(encode(m.Ping(t=7)) + encode(m.Ping(t=1.5)))

    assert heard(make().open(), session.outgoing())[1:] == [m.Pong(t=7), m.Pong(t=1.5)]
    assert session.outgoing() == b""


def test_the_window_is_kept(session):
    for _ in range(3):
        step(session)

    with pytest.raises(WindowFull):
        step(session)
    session.receive(act(1, 0))
    with pytest.raises(WindowFull):
        step(session)
    session.inbox.popleft()
    step(session)


def test_frames_that_the_server_would_not_take_are_not_sent(session):
    with pytest.raises(ValueError, match="at most 8 rows a frame, got 9"):
        step(session, 9)
    big = ClientSession(ConnectSettings.read("box", "x", ("float32", (1000,)), 3, {}))
    big.open()
    big.receive(welcome(max_frame=16384))
    with pytest.raises(ValueError, match="at most 4 rows of this size"):
        big.step(np.zeros((5, 1000), np.float32), 0, 0, np.arange(5), None)
    assert big.pending == 0
    assert len(big.step(np.zeros((4, 1000), np.float32), 0, 0, np.arange(4), None)) <= 16384


def test_after_a_resume_unanswered_frames_are_sent_again_and_only_those(session):
    step(session), step(session), step(session)
    session.receive(act(1, 0))

    hello = session.open()
    session.receive(welcome(resumed=True, last_seq=2))

    messages = heard(hello, session.outgoing())
    assert messages[0].resume == b"s" * 16
    assert [x.seq for x in messages[1:]] == [2, 3]
    session.receive(act(2, 0) + act(3, 0))
    assert [answer.seq for answer in session.inbox] == [1, 2, 3]


def test_every_connection_of_a_client_names_the_same_run(session):
    runs = {heard(session.open())[0].run for _ in range(3)}

    assert len(runs) == 1


def test_half_a_frame_of_the_old_connection_is_forgotten(session):
    step(session)
    session.receive(act(1, 2)[:7])

    session.open()
    session.receive(welcome(resumed=True, last_seq=1))
    session.receive(act(1, 2))

    assert session.inbox[0].actions.tolist() == [2]


def test_a_refused_resume_loses_the_session_and_begins_to_count_anew(session):
    step(session), step(session)
    session.receive(act(1, 0))

    session.open()
    session.receive(welcome(resumed=False, session=b"t" * 16))

    assert isinstance(session.lost, SessionLost)
    assert session.pending == 0
    assert session.outgoing() == b""
    assert heard(make().open(), step(session))[1].seq == 1


def test_a_session_that_had_no_frames_cannot_be_lost(session):
    session.open()
    session.receive(welcome(resumed=False))

    assert session.lost is None


def test_operations_are_answered_in_order_beside_the_frames(session):
    first, second = m.Agents(), m.Save(agent="x")
    session.operate(first), step(session), session.operate(second)

    session.receive(
        encode(m.AgentsReply(agents=[])) + act(1, 0) + refusal("UNKNOWN_AGENT", fatal=False)
    )

    (one, agents), (two, refused) = session.replies
    assert (one, two) == (first, second)
    assert agents == m.AgentsReply(agents=[])
    assert isinstance(refused, OperationRefused)
    assert session.inbox[0].seq == 1


def test_operations_that_may_be_repeated_are_and_the_others_are_told(session):
    save, delete, stats = m.Save(agent="x"), m.Delete(agent="x"), m.Stats()
    for operation in (save, delete, stats):
        session.operate(operation)

    hello = session.open()
    session.receive(welcome(resumed=True))

    ((told, unknown),) = session.replies
    assert told is delete
    assert isinstance(unknown, OutcomeUnknown)
    assert heard(hello, session.outgoing())[1:] == [save, stats]


@pytest.mark.parametrize(
    ("code", "passing"),
    [
        ("SHUTTING_DOWN", True),
        ("LIMIT", True),
        ("IDLE_TIMEOUT", True),
        ("UNAUTHORIZED", False),
        ("SCHEMA_MISMATCH", False),
        ("FRAME_TOO_LARGE", False),
    ],
)
def test_a_fatal_error_says_whether_coming_back_may_help(session, code, passing):
    session.receive(refusal(code, retry_ms=250))

    assert session.fault.code == code
    assert (session.verdict is None) == passing
    assert session.stay_away_s == 0.25
    session.open()
    assert session.verdict is None


@pytest.mark.parametrize(
    ("reason", "passing"),
    [("shutdown", True), ("idle", True), ("replaced", False), ("protocol", False)],
)
def test_so_does_a_goodbye(session, reason, passing):
    session.receive(encode(m.Goodbye(reason=reason)))

    assert (session.verdict is None) == passing
    if not passing:
        assert isinstance(session.verdict, ClientClosed)


def test_an_error_about_nothing_ends_the_connection(session):
    session.receive(refusal("INTERNAL"))

    assert session.fault.code == Code.INTERNAL


@pytest.mark.parametrize(
    "data",
    [
        encode(m.Saved(agent="x", checkpoint="1", step=1)),
        encode(m.Error(code="NO_SUCH", message="", fatal=False)),
        welcome(protocol=3),
        b"\x01\x00\x00\x00\xc0",
        b"\x00\x00\x00\x00",
    ],
    ids=["reply to nothing", "unknown code", "version", "no map", "empty"],
)
def test_a_server_that_breaks_the_protocol_is_named(session, data):
    with pytest.raises(ProtocolError):
        session.receive(data)


def test_an_admin_sends_no_frames():
    admin = ClientSession(ConnectSettings.read("box", "", None, None, {"role": "admin"}))
    admin.open()
    admin.receive(welcome(agent=""))

    with pytest.raises(RuntimeError, match="admin"):
        admin.step([0], 0, 0, None, None)
