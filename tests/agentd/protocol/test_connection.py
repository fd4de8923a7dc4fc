"""The two state machines: the whole table, the seq rule, roles, resume, and each other."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.protocol import messages as m
from agentd.protocol.codec import HEADER, encode
from agentd.protocol.connection import (
    HANDSHAKE_FRAME,
    NOT_FOR_ADMIN,
    SINCE_2,
    TRANSITIONS,
    ClientConnection,
    ServerConnection,
    State,
    kind_of,
)
from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError

Build = Callable[..., Any]
MAX = 1 << 20


@pytest.fixture
def any_message(hello: Build, step: Build) -> dict[type[m.Message], m.Message]:
    """One valid message of every type that a client can send."""
    made = [
        hello(),
        step(),
        m.Teach(seq=1, obs={"x": bytes(8)}, target=bytes(4)),
        m.Log(values={"score": 1.0}),
        m.Settings(agent="a", values={"level": 2.0}),
        m.Reset(agent="a"),
        m.Explore(agent="a"),
        m.Copy(agent="a", to="b"),
        m.Migrate(agent="a", to="b", observation={}, action={}),
        m.Ping(t=1),
        m.Pong(t=1),
        m.Goodbye(reason="client_done"),
        m.Agents(),
        m.Info(agent="a"),
        m.Create(agent="a", config={}),
        m.Save(agent="a"),
        m.Load(agent="a", checkpoint="c"),
        m.Unload(agent="a"),
        m.Delete(agent="a"),
        m.Freeze(agent="a", on=True),
        m.Stats(),
    ]
    by_kind = {type(message): message for message in made}
    assert set(by_kind) == set(get_args(m.ClientMessage))
    return by_kind


@pytest.fixture
def served(hello: Build, welcome: Build) -> Callable[..., ServerConnection]:
    """Builds a server's machine brought to a state, by what a client sends."""

    def build(
        state: State = State.OPEN,
        *,
        role: str = "train",
        last_seq: int = 0,
        newest: int = 2,
    ) -> ServerConnection:
        wire = ServerConnection(MAX)
        if state is State.AWAIT_HELLO:
            return wire
        wire.receive(encode(hello(role=role, protocol=(1, newest))))
        wire.next_event()
        if state is State.SHAKING:
            return wire
        wire.welcome(welcome(last_seq=last_seq, resumed=last_seq > 0))
        if state is State.CLOSED:
            wire.receive(encode(m.Goodbye(reason="client_done")))
            wire.next_event()
        assert wire.state is state
        return wire

    return build


def say(wire: ServerConnection, message: m.Message) -> m.ClientMessage | None:
    wire.receive(encode(message))
    return wire.next_event()


def fault_of(wire: ServerConnection, message: m.Message) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        say(wire, message)
    return caught.value


# -- the table ------------------------------------------------------------------------------------


def test_the_table_knows_every_state_and_only_clients_messages() -> None:
    assert set(TRANSITIONS) == set(State)
    for moves in TRANSITIONS.values():
        assert set(moves) <= set(get_args(m.ClientMessage))
    reached = {after for moves in TRANSITIONS.values() for after in moves.values()}
    assert reached | {State.AWAIT_HELLO} == set(State)
    assert set(TRANSITIONS[State.OPEN]) >= NOT_FOR_ADMIN


@pytest.mark.parametrize("kind", get_args(m.ClientMessage), ids=kind_of)
@pytest.mark.parametrize("state", [State.AWAIT_HELLO, State.OPEN], ids=lambda s: s.value)
def test_every_cell_of_the_table(
    served: Build,
    any_message: dict[type[m.Message], m.Message],
    state: State,
    kind: type[m.Message],
) -> None:
    wire = served(state)

    if kind in TRANSITIONS[state]:
        assert say(wire, any_message[kind]) == any_message[kind]
        assert wire.state is TRANSITIONS[state][kind]
    else:
        fault = fault_of(wire, any_message[kind])
        code = Code.BAD_MESSAGE if kind in SINCE_2 else Code.UNEXPECTED_MESSAGE
        assert (fault.code, fault.field) == (code, "type")
        assert str(fault.got).strip("'") == kind_of(kind)
        assert kind_of(m.Goodbye) in str(fault.expected)
        assert wire.state is State.CLOSED


@pytest.mark.parametrize("kind", get_args(m.ClientMessage), ids=kind_of)
def test_nothing_is_read_while_shaking_or_closed(
    served: Build, any_message: dict[type[m.Message], m.Message], kind: type[m.Message]
) -> None:
    for state in (State.SHAKING, State.CLOSED):
        wire = served(state)
        assert say(wire, any_message[kind]) is None
        assert wire.state is state


def test_what_came_while_shaking_is_read_after_welcome(
    served: Build, step: Build, welcome: Build
) -> None:
    wire = served(State.SHAKING)
    assert say(wire, step()) is None
    assert wire.has_partial

    wire.welcome(welcome())

    assert wire.next_event() == step()
    assert not wire.has_partial


def test_a_session_of_version_1_does_not_hear_of_version_2(
    served: Build, any_message: dict[type[m.Message], m.Message], hello: Build
) -> None:
    for kind in SINCE_2:
        assert fault_of(served(newest=1), any_message[kind]).code is Code.BAD_MESSAGE
    told = [str(fault_of(served(newest=newest), hello()).expected) for newest in (1, 2)]
    assert "settings" not in told[0]
    more = {"log", "settings", "reset", "explore", "copy", "migrate"}
    assert set(told[1].split(" | ")) - set(told[0].split(" | ")) == more
    assert (served(newest=1).version, served(newest=9).version) == (1, 2)


def test_an_admin_sends_no_rows(
    served: Build, any_message: dict[type[m.Message], m.Message]
) -> None:
    for kind, message in any_message.items():
        wire = served(role="admin")
        if kind in NOT_FOR_ADMIN or kind is m.Hello:
            fault = fault_of(wire, message)
            assert fault.code is Code.UNEXPECTED_MESSAGE
            assert "step" not in str(fault.expected)
        else:
            assert say(wire, message) == message


@pytest.mark.parametrize(
    "message",
    [
        m.Goodbye(reason="shutdown"),
        m.Error(code="LIMIT", message="full", fatal=True),
    ],
)
def test_goodbye_and_fatal_errors_close_the_machine(served: Build, message: m.Message) -> None:
    wire = served()

    assert wire.send(message) == encode(message)

    assert wire.state is State.CLOSED
    assert say(wire, m.Ping(t=1)) is None


def test_other_messages_leave_it_open(served: Build) -> None:
    wire = served()
    for message in (m.Ping(t=1), m.Error(code="BAD_MASK", message="no", fatal=False, seq=1)):
        assert wire.send(message) == encode(message)
        assert wire.state is State.OPEN


# -- limits ---------------------------------------------------------------------------------------


def test_frames_are_short_before_welcome_and_long_after(
    served: Build, step: Build, welcome: Build
) -> None:
    header = HEADER.pack(HANDSHAKE_FRAME + 1)
    wire = served(State.AWAIT_HELLO)
    wire.receive(header)
    with pytest.raises(FrameTooLarge):
        wire.next_event()
    assert wire.state is State.CLOSED

    wire = served(State.SHAKING)
    wire.welcome(welcome())
    long = step(obs={"x": bytes(MAX // 2)})
    assert say(wire, long) == long
    wire.receive(HEADER.pack(MAX + 1))
    with pytest.raises(FrameTooLarge):
        wire.next_event()


def test_a_small_max_frame_holds_from_the_start() -> None:
    wire = ServerConnection(1024)
    wire.receive(HEADER.pack(1025))
    with pytest.raises(FrameTooLarge):
        wire.next_event()


# -- seq ------------------------------------------------------------------------------------------


def test_seq_grows_by_1_over_steps_and_teaches(served: Build, step: Build) -> None:
    wire = served()
    teach = m.Teach(seq=2, obs={"x": bytes(8)}, target=bytes(4))
    for message in (step(seq=1), teach, step(seq=3)):
        assert say(wire, message) == message


@pytest.mark.parametrize("seq", [0, 2, 4, 2**63])
def test_any_other_seq_is_refused(served: Build, step: Build, seq: int) -> None:
    wire = served()
    say(wire, step(seq=1))
    say(wire, step(seq=2))

    fault = fault_of(wire, step(seq=seq))

    assert (fault.code, fault.seq, fault.field) == (Code.BAD_SEQ, seq, "seq")
    assert (fault.expected, fault.got) == ("3", str(seq))
    assert wire.state is State.CLOSED


@pytest.mark.parametrize("first", [1, 4, 7, 8])
def test_a_resumed_client_may_begin_with_any_frame_of_before(
    served: Build, step: Build, first: int
) -> None:
    wire = served(last_seq=7)

    for seq in range(first, 11):
        assert say(wire, step(seq=seq)) == step(seq=seq)

    assert fault_of(wire, step(seq=7)).code is Code.BAD_SEQ


@pytest.mark.parametrize("first", [0, 9])
def test_a_resumed_client_may_not_leave_a_gap(served: Build, step: Build, first: int) -> None:
    fault = fault_of(served(last_seq=7), step(seq=first))

    assert (fault.code, fault.expected) == (Code.BAD_SEQ, "1..8")


# -- both sides together --------------------------------------------------------------------------


@pytest.fixture
def pair(hello: Build, welcome: Build) -> tuple[ClientConnection, ServerConnection]:
    """A client and a server that have shaken hands."""
    client, server = ClientConnection(hello()), ServerConnection(MAX)
    server.receive(client.reconnect())
    assert server.next_event() == hello()
    client.receive(server.welcome(welcome()))
    assert client.next_event() == welcome()
    return client, server


def rows() -> dict[str, Any]:
    return {
        "stream": bytes(4),
        "kind": b"\0",
        "reward": bytes(4),
        "obs": {"x": bytes(8)},
    }


def act(seq: int) -> m.ActReply:
    return m.ActReply(seq=seq, action=bytes(4), version=1)


def test_a_client_numbers_its_frames_and_takes_the_answers_in_order(
    pair: tuple[ClientConnection, ServerConnection],
) -> None:
    client, server = pair
    sent = client.step(**rows()) + client.teach(obs={"x": bytes(8)}, target=bytes(4))
    server.receive(sent + client.send(m.Ping(t=3)))
    events = [server.next_event() for _ in range(4)]

    assert [type(event) for event in events] == [m.Step, m.Teach, m.Ping, type(None)]
    assert [event.seq for event in events[:2] if event] == [1, 2]  # type: ignore[union-attr]
    assert client.unanswered == 2
    client.receive(server.send(act(1)))
    client.receive(server.send(m.Error(code="BAD_TARGET", message="no", fatal=False, seq=2)))
    assert client.next_event() == act(1)
    assert isinstance(client.next_event(), m.Error)
    assert client.next_event() is None
    assert client.unanswered == 0


@pytest.mark.parametrize("answer", [act(2), act(3), m.TaughtReply(seq=2, queued=1, version=0)])
def test_a_client_refuses_answers_out_of_order(
    pair: tuple[ClientConnection, ServerConnection], answer: m.ServerMessage
) -> None:
    client, server = pair
    client.step(**rows())
    client.step(**rows())
    client.receive(server.send(answer))

    with pytest.raises(ProtocolError) as caught:
        client.next_event()
    assert (caught.value.code, caught.value.expected) == (Code.BAD_SEQ, "1")


def test_a_client_resumes_with_what_is_unanswered(
    pair: tuple[ClientConnection, ServerConnection], welcome: Build
) -> None:
    client, server = pair
    frames = [client.step(**rows()) for _ in range(4)]
    client.receive(server.send(act(1)) + server.send(act(2)))
    client.next_event()
    client.next_event()

    again = ServerConnection(MAX)
    again.receive(client.reconnect())
    hello = again.next_event()
    client.receive(again.welcome(welcome(resumed=True, last_seq=3)))
    client.next_event()
    again.receive(client.resend() + client.step(**rows()))

    assert isinstance(hello, m.Hello)
    assert hello.resume == welcome().session
    assert client.resend()[: len(frames[2])] == frames[2]
    assert [again.next_event().seq for _ in range(3)] == [3, 4, 5]  # type: ignore[union-attr]
    assert not client.lost


def test_a_client_whose_session_is_over_starts_anew(
    pair: tuple[ClientConnection, ServerConnection], welcome: Build
) -> None:
    client, _ = pair
    client.step(**rows())
    client.reconnect()
    client.receive(encode(welcome(session=bytes(16))))
    client.next_event()

    assert client.lost
    assert client.resend() == b""
    assert client.step(**rows()) == encode(m.Step(seq=1, **rows()))


def test_a_client_notices_a_server_that_forgot_what_it_had_answered(
    pair: tuple[ClientConnection, ServerConnection], welcome: Build
) -> None:
    client, server = pair
    for seq in (1, 2):
        client.step(**rows())
        client.receive(server.send(act(seq)))
        client.next_event()
    client.reconnect()
    client.receive(encode(welcome(resumed=True, last_seq=1)))

    with pytest.raises(ProtocolError) as caught:
        client.next_event()
    assert (caught.value.field, caught.value.expected, caught.value.got) == (
        "last_seq",
        ">= 2",
        "1",
    )
    assert b"resume" not in client.reconnect()


@settings(max_examples=100)
@given(data=st.data())
def test_no_bytes_bring_the_server_s_machine_to_another_fault(data: Any) -> None:
    """Mutated conversations end in ProtocolError or in legal messages, and a closed machine."""
    hello = m.Hello(
        protocol=(1, 1),
        client="c",
        role="train",
        run=bytes(16),
        agent="a",
        observation={"x": {"dtype": "float32", "shape": [2]}},
        action={"kind": "discrete", "n": 2},
        streams=1,
    )
    stream = bytearray(encode(hello) + encode(m.Step(seq=1, **rows())) + encode(m.Ping(t=1)))
    for _ in range(data.draw(st.integers(0, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    wire = ServerConnection(MAX)
    wire.receive(bytes(stream))
    try:
        while (message := wire.next_event()) is not None:
            if isinstance(message, m.Hello):
                wire.welcome(
                    m.Welcome(
                        protocol=1, session=bytes(16), agent="a", version=0, max_frame=MAX,
                        max_rows=1, window=1, heartbeat_s=1.0, resumed=False, last_seq=0,
                    )
                )  # fmt: skip
    except ProtocolError:
        assert wire.state is State.CLOSED
