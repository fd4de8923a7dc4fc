"""The blocking client over real sockets."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest

from agentd.client import (
    Act,
    Client,
    ClientClosed,
    DataRefused,
    OperationRefused,
    Taught,
    WindowFull,
)
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError


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
