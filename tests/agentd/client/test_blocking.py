"""The blocking client over real sockets."""

from __future__ import annotations

import os
import socket
import threading
import time

import numpy as np
import pytest

from agentd.client import (
    Act,
    Client,
    ClientClosed,
    DataRefused,
    OperationRefused,
    OutcomeUnknown,
    Refused,
    SessionLost,
    Taught,
    Unreachable,
    WindowFull,
)
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError


@pytest.fixture
def connect():
    """Connect to a peer with quick retries; every client is closed at the end."""
    made = []

    def make(peer, **options):
        address = options.pop("address", peer.address)
        options = {"streams": 8, "retry_for": 5.0} | options
        made.append(Client.connect(address, "pong", ("float32", (2,)), 7, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def play(client, *values, **fields):
    rows = np.array([[value, 0] for value in values], np.float32)
    return client.step(rows, 0.0, fields.pop("kind", 1), **fields)


def test_a_step_is_answered_by_its_own_actions(peer, connect):
    client = connect(peer)

    act = play(client, 3, 5, 6)

    assert isinstance(act, Act)
    assert act.actions.tolist() == [3, 5, 6]
    assert (act.seq, act.version, client.version) == (1, 4, 4)
    assert act.q is None


def test_ended_rows_get_minus_one(peer, connect):
    act = play(connect(peer), 3, 4, kind=[2, 0], stream=[1, 1])

    assert act.actions.tolist() == [-1, 4]


def test_explain_brings_values_and_what_was_explored(peer, connect):
    act = play(connect(peer, explain=True), 3, 4)

    assert act.q.shape == (2, 7)
    assert act.explored.tolist() == [True, False]


def test_hello_tells_the_server_who_we_are(peer, connect):
    client = connect(peer, role="eval", token="secret", streams=3)

    (hello,) = peer.hellos
    assert (hello.agent, hello.role, hello.token, hello.streams) == ("pong", "eval", "secret", 3)
    assert (client.role, client.streams) == ("eval", 3)
    assert client.welcome.window == peer.window


def test_a_unix_socket_works_too(make_peer, connect, tmp_path):
    peer = make_peer(str(tmp_path / "agentd.sock"))

    assert play(connect(peer, address=f"unix:{peer.address}"), 2).actions.tolist() == [2]


def test_small_frames_leave_at_once(peer, connect):
    client = connect(peer)

    nodelay = client._wire._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert nodelay != 0


def test_frames_may_be_sent_ahead_up_to_the_window(peer, connect):
    client = connect(peer)
    for value in range(4):
        client.send([value, 0], 0.0, 1)

    assert client.pending == 4
    with pytest.raises(WindowFull):
        client.send([9, 0], 0.0, 1)
    with pytest.raises(RuntimeError, match="receive them first"):
        play(client, 1)
    assert [client.receive().actions[0] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(RuntimeError, match="no frame is pending"):
        client.receive()


def test_teach_says_how_many_rows_wait(peer, connect):
    client = connect(peer)

    assert client.teach(np.zeros((3, 2)), [1, 2, 0]) == Taught(3, 3, 1)
    client.send_teach(np.zeros((2, 2)), [1, 2])
    assert client.receive() == Taught(2, 3, 2)


def test_a_refused_frame_raises_and_the_session_goes_on(peer, connect):
    client = connect(peer)

    with pytest.raises(DataRefused) as caught:
        client.step([np.nan, 0], 0.0, 1)

    assert (caught.value.code, caught.value.field) == (Code.NOT_FINITE, "obs.obs")
    assert (caught.value.expected, caught.value.got) == ("finite numbers", "nan")
    assert not caught.value.fatal
    assert play(client, 4).actions.tolist() == [4]


def test_arrays_that_do_not_fit_are_refused_before_anything_is_sent(peer, connect):
    client = connect(peer)

    with pytest.raises(ValueError, match="want shape"):
        client.step(np.zeros(5), 0.0, 1)

    assert play(client, 4).seq == 1


def test_operations_are_methods(peer, connect):
    client = connect(peer)
    peer.operations = {
        m.Agents: m.AgentsReply(agents=[{"agent": "pong"}]),
        m.Info: m.InfoReply(agent="pong", info={"steps": 3}),
        m.Create: m.Created(agent="new"),
        m.Save: m.Saved(agent="pong", checkpoint="000000000012", step=12),
        m.Load: m.Loaded(agent="pong", checkpoint="000000000012", step=12),
        m.Unload: m.Unloaded(agent="pong"),
        m.Delete: m.Deleted(agent="pong"),
        m.Freeze: m.Frozen(agent="pong", on=True),
        m.Stats: m.StatsReply(server={}, agents={}),
    }

    assert client.agents() == [{"agent": "pong"}]
    assert client.info("pong") == {"steps": 3}
    client.create("new", {"learner": "dqn"})
    assert client.save("pong").checkpoint == "000000000012"
    assert client.load("pong", "000000000012").step == 12
    client.unload("pong")
    client.delete("pong")
    client.freeze("pong", on=False)
    assert client.stats().server == {}
    assert peer.messages[2] == m.Create(agent="new", config={"learner": "dqn"})
    assert peer.messages[7] == m.Freeze(agent="pong", on=False)


def test_an_operation_may_run_between_frames_that_are_pending(peer, connect):
    client = connect(peer)
    peer.operations = {m.Agents: m.AgentsReply(agents=[])}
    client.send([5, 0], 0.0, 1)

    assert client.agents() == []
    assert client.receive().actions.tolist() == [5]


def test_a_refused_operation_raises_and_the_session_goes_on(peer, connect):
    client = connect(peer)
    peer.operations = {m.Save: ProtocolError(Code.STORAGE_FAILED, "disk full")}

    with pytest.raises(OperationRefused, match="disk full") as caught:
        client.save("pong")

    assert caught.value.code == Code.STORAGE_FAILED
    assert play(client, 1).actions.tolist() == [1]


def test_ping_measures_a_round_trip(peer, connect):
    assert 0 < connect(peer).ping() < 1


def test_pings_of_the_server_are_answered_by_poll_and_by_step(peer, connect):
    client = connect(peer)
    peer.say(m.Ping(t=1))
    time.sleep(0.05)
    client.poll()
    peer.say(m.Ping(t=2))
    play(client, 1)
    play(client, 1)

    assert [x for x in peer.messages if isinstance(x, m.Pong)] == [m.Pong(t=1), m.Pong(t=2)]


def test_close_says_goodbye_and_ends_the_client(peer, connect):
    client = connect(peer)
    client.close()
    client.close()

    assert peer.messages == [m.Goodbye(reason="client_done")]
    with pytest.raises(ClientClosed):
        play(client, 1)


def test_goodbye_arrives_even_when_answers_were_not_read(peer):
    with Client.connect(peer.address, "pong", ("float32", (2,)), 7, streams=8) as client:
        for _ in range(4):
            client.send(np.zeros((8, 2)), 0.0, 1)
        time.sleep(0.05)

    assert peer.messages == [m.Goodbye(reason="client_done")]


# -- broken connections ----------------------------------------------------------------------------


def test_a_broken_connection_is_resumed_and_nothing_is_taken_twice(peer, connect):
    client = connect(peer)
    play(client, 1)
    peer.cut()

    assert play(client, 2).actions.tolist() == [2]

    assert [x.seq for x in peer.only.taken] == [1, 2]
    assert [hello.resume for hello in peer.hellos] == [None, peer.only.id]
    assert peer.hellos[0].run == peer.hellos[1].run
    assert client.reconnects == 1


def test_answers_that_were_lost_on_the_way_come_again(peer, connect):
    client = connect(peer)

    def cut_once(peer, connection, step):
        if step.seq == 3:
            peer.before_answer = None
            connection.shutdown(socket.SHUT_RDWR)

    peer.before_answer = cut_once
    for value in range(4):
        client.send([value, 0], 0.0, 1)
    answers = [client.receive() for _ in range(4)]

    assert [act.seq for act in answers] == [1, 2, 3, 4]
    assert [act.actions[0] for act in answers] == [0, 1, 2, 3]
    assert [x.seq for x in peer.only.taken] == [1, 2, 3, 4]


def test_a_refused_resume_is_told_once_and_then_play_begins_anew(peer, connect):
    client = connect(peer)
    play(client, 1)
    peer.resumes = False
    peer.cut()

    with pytest.raises(SessionLost):
        play(client, 2)

    assert client.pending == 0
    assert play(client, 3, kind=0).seq == 1


def test_pending_frames_are_gone_with_their_session(peer, connect):
    client = connect(peer)
    peer.silent = True
    for _ in range(3):
        client.send([1, 0], 0.0, 1)
    peer.resumes = peer.silent = False
    peer.cut()

    with pytest.raises(SessionLost):
        client.receive()

    assert client.pending == 0
    assert play(client, 3, kind=0).actions.tolist() == [3]


def test_a_client_that_sent_nothing_loses_nothing(peer, connect):
    client = connect(peer)
    peer.resumes = False
    peer.cut()
    client.poll()

    assert play(client, 3, kind=0).actions.tolist() == [3]
    assert client.reconnects == 1


def test_a_server_that_restarts_elsewhere_in_time_is_found_again(make_peer, connect):
    first = make_peer()
    client = connect(first)
    play(client, 1)
    first.stop()

    def restart():
        time.sleep(0.2)
        for _ in range(100):
            try:
                second = make_peer(first.address)
            except OSError:  # the port is still in use
                time.sleep(0.05)
                continue
            second.sessions = first.sessions
            return

    thread = threading.Thread(target=restart)
    thread.start()
    act = play(client, 2)
    thread.join()

    assert (act.seq, act.actions.tolist()) == (2, [2])


def test_a_server_that_stays_away_is_given_up_after_retry_for(make_peer, connect):
    peer = make_peer()
    client = connect(peer, retry_for=0.3)
    play(client, 1)
    peer.stop()
    begun = time.monotonic()

    with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        play(client, 2)

    assert 0.1 < time.monotonic() - begun < 2
    with pytest.raises(Unreachable):
        play(client, 2)


def test_retry_for_zero_gives_up_at_once(peer, connect):
    client = connect(peer, retry_for=0.0)
    peer.cut()

    with pytest.raises(Unreachable):
        play(client, 1)


def test_nobody_there_is_unreachable_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    with pytest.raises(Unreachable):
        Client.connect(address, "pong", ("float32", (2,)), 7)


def test_wait_lets_the_game_start_before_the_server(make_peer, connect, tmp_path):
    path = str(tmp_path / "late.sock")
    thread = threading.Timer(0.2, lambda: make_peer(path))
    thread.start()

    client = Client.connect(path, "pong", ("float32", (2,)), 7, wait=5.0)
    client.close()
    thread.join()

    assert client.reconnects == 0


@pytest.mark.parametrize("code", [Code.UNAUTHORIZED, Code.SCHEMA_MISMATCH])
def test_a_refused_hello_raises_what_the_server_said(peer, code):
    peer.refuse_hello = [ProtocolError(code, "no", field="f", expected="e", got="g", fatal=True)]

    with pytest.raises(Refused) as caught:
        Client.connect(peer.address, "pong", ("float32", (2,)), 7, wait=5.0)

    assert (caught.value.code, caught.value.field) == (code, "f")
    assert caught.value.fatal
    assert len(peer.hellos) == 1


def test_a_full_house_is_tried_again_after_the_time_it_asks_for(peer, connect):
    peer.refuse_hello = [ProtocolError(Code.LIMIT, "full", retry_ms=200)] * 2
    begun = time.monotonic()

    client = connect(peer, wait=5.0)

    assert time.monotonic() - begun > 0.4
    assert play(client, 1).actions.tolist() == [1]


def test_a_full_house_is_told_when_there_is_no_patience(peer):
    peer.refuse_hello = [ProtocolError(Code.LIMIT, "full", retry_ms=200)]

    with pytest.raises(Refused, match="full"):
        Client.connect(peer.address, "pong", ("float32", (2,)), 7)


def test_answers_that_came_before_a_goodbye_are_still_given(peer, connect):
    client = connect(peer, retry_for=0.0)
    client.send([1, 0], 0.0, 1)
    time.sleep(0.05)
    peer.say(m.Goodbye(reason="shutdown"))
    time.sleep(0.05)

    assert client.receive().actions.tolist() == [1]
    with pytest.raises(Unreachable):
        play(client, 2)


def test_a_session_taken_by_another_is_not_fought_for(peer, connect):
    client = connect(peer)
    peer.say(m.Goodbye(reason="replaced"))

    time.sleep(0.05)
    client.poll()

    with pytest.raises(ClientClosed, match="replaced"):
        play(client, 1)
    assert len(peer.hellos) == 1


def test_a_silent_server_is_pinged_and_then_given_up(make_peer, connect):
    peer = make_peer()
    peer.heartbeat_s = 0.1
    client = connect(peer, retry_for=0.0)
    peer.silent = True

    with pytest.raises(Unreachable, match="silent"):
        play(client, 1)

    assert any(isinstance(x, m.Ping) for x in peer.messages)


def test_a_slow_server_that_answers_pings_is_waited_for(make_peer, connect):
    peer = make_peer()
    peer.heartbeat_s = 0.05
    client = connect(peer)
    peer.before_answer = lambda peer, connection, step: [
        (time.sleep(0.04), peer.say(m.Ping(t=k))) for k in range(5)
    ]

    assert play(client, 1).actions.tolist() == [1]
    assert client.reconnects == 0


def test_an_operation_that_must_not_be_repeated_is_told_as_unknown(peer, connect):
    client = connect(peer)
    threading.Timer(0.1, peer.cut).start()

    with pytest.raises(OutcomeUnknown):
        client.delete("pong")

    assert play(client, 1).actions.tolist() == [1]
    assert sum(isinstance(x, m.Delete) for x in peer.messages) == 1


def test_an_operation_that_may_be_repeated_is(peer, connect):
    client = connect(peer)

    def cut_and_learn():
        peer.operations = {m.Save: m.Saved(agent="pong", checkpoint="1", step=1)}
        peer.cut()

    threading.Timer(0.1, cut_and_learn).start()

    assert client.save("pong").step == 1
    assert sum(isinstance(x, m.Save) for x in peer.messages) == 2


def test_a_server_that_breaks_the_protocol_is_left(peer, connect):
    client = connect(peer)
    for connection in list(peer.sockets):
        connection.sendall(b"\x01\x00\x00\x00\xc0")

    for _ in range(2):
        with pytest.raises(ProtocolError, match="BAD_MESSAGE"):
            play(client, 1)


def test_an_interrupted_call_leaves_a_client_that_can_go_on(peer, connect, monkeypatch):
    client = connect(peer)
    wire = client._wire
    monkeypatch.setattr(wire, "receive", lambda timeout: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        play(client, 1)

    assert client.receive().actions.tolist() == [1]
    assert play(client, 2).actions.tolist() == [2]


def test_both_directions_may_be_full_at_once(make_peer, connect, tmp_path):
    """A server that cannot write its answers stops reading: send must read meanwhile."""
    peer = make_peer(str(tmp_path / "agentd.sock"))
    peer.window, peer.max_frame = 64, 1 << 24
    client = connect(peer, explain=True, streams=256)
    rows = np.zeros((256, 2), np.float32)
    for connection in peer.sockets:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        client._wire._socket.setsockopt(socket.SOL_SOCKET, option, 4096)

    for _ in range(64):
        client.send(rows, 0.0, 1)
    seqs = [client.receive().seq for _ in range(64)]

    assert seqs == list(range(1, 65))
    assert client.reconnects == 0


def test_no_file_descriptor_is_left_behind(peer):
    def count():
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    before = count()
    for _ in range(5):
        with Client.connect(peer.address, "pong", ("float32", (2,)), 7) as client:
            client.step([1, 0], 0.0, 0)
            peer.cut()
            client.step([1, 0], 0.0, 1)
    for _ in range(100):
        if count() <= before:
            break
        time.sleep(0.02)

    assert count() <= before
