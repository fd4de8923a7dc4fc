"""The blocking client when connections break, servers go away and sessions are lost."""

from __future__ import annotations

import os
import socket
import threading
import time

import numpy as np
import pytest

from agentd.client import (
    Client,
    ClientClosed,
    OutcomeUnknown,
    Refused,
    SessionLost,
    Unreachable,
)
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError


def play(client, *values, **fields):
    rows = np.array([[value, 0] for value in values], np.float32)
    return client.step(rows, 0.0, fields.pop("kind", 1), **fields)


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

    assert 0.25 < time.monotonic() - begun < 20
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


def test_a_server_that_forgot_answered_frames_gets_a_new_session(peer, connect):
    client = connect(peer)
    play(client, 1), play(client, 2)
    peer.only.taken.pop()  # a power failure took its last second
    peer.cut()

    with pytest.raises(SessionLost):
        play(client, 3)

    first = peer.hellos[0]
    resumes = [hello.resume for hello in peer.hellos]
    assert resumes[0] is None
    assert resumes[1] is not None
    assert resumes[-1] is None
    assert {hello.run for hello in peer.hellos} == {first.run}
    assert play(client, 3, kind=0).seq == 1
