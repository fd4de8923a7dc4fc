"""The asyncio client over real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import numpy as np
import pytest

from agentd.client import (
    AsyncClient,
    ClientClosed,
    DataRefused,
    OperationRefused,
    OutcomeUnknown,
    Refused,
    SessionLost,
    Taught,
    Unreachable,
)
from agentd.protocol import messages as m
from agentd.protocol.errors import Code, ProtocolError


@pytest.fixture
async def connect():
    """Connect to a peer with quick retries; every client is closed at the end."""
    made = []

    async def make(peer, **options):
        address = options.pop("address", peer.address)
        options = {"streams": 8, "retry_for": 5.0} | options
        made.append(await AsyncClient.connect(address, "pong", ("float32", (2,)), 7, **options))
        return made[-1]

    yield make
    for client in made:
        await client.close()


def rows(*values):
    return np.array([[value, 0] for value in values], np.float32)


async def play(client, *values, kind=1, stream=None):
    return await client.step(rows(*values), 0.0, kind, stream)


async def test_a_step_is_answered_by_its_own_actions(peer, connect):
    client = await connect(peer, explain=True)

    act = await play(client, 3, 5, 6)

    assert act.actions.tolist() == [3, 5, 6]
    assert act.q.shape == (3, 7)
    assert (act.version, client.version) == (4, 4)


async def test_a_unix_socket_works_too(make_peer, connect, tmp_path):
    peer = make_peer(str(tmp_path / "agentd.sock"))
    client = await connect(peer, address=peer.address)

    assert (await play(client, 2)).actions.tolist() == [2]


async def test_many_tasks_share_a_client_and_each_gets_its_own_answers(peer, connect):
    client = await connect(peer)

    async def game(stream):
        for value in range(20):
            act = await play(client, value + stream, stream=[stream])
            assert act.actions.tolist() == [(value + stream) % 7]

    await asyncio.gather(*(game(stream) for stream in range(8)))

    assert len(peer.only.taken) == 160
    assert client.pending == 0


async def test_send_waits_while_the_window_is_full(peer, connect):
    client = await connect(peer)
    peer.silent = True
    for value in range(4):
        await client.send(rows(value), 0.0, 1)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.send(rows(9), 0.0, 1)

    assert client.pending == 4


async def test_frames_sent_ahead_are_answered_in_order(peer, connect):
    client = await connect(peer)

    answers = [await client.send(rows(value), 0.0, 1) for value in range(12)]

    assert [(await answer).actions[0] for answer in answers] == [v % 7 for v in range(12)]


async def test_an_answer_nobody_waits_for_any_more_is_dropped(peer, connect):
    client = await connect(peer)
    peer.before_answer = lambda *_: time.sleep(0.05)
    task = asyncio.create_task(play(client, 1))
    await asyncio.sleep(0.01)
    task.cancel()

    assert (await play(client, 2)).actions.tolist() == [2]


async def test_teach_and_refusals(peer, connect):
    client = await connect(peer)

    assert await client.teach(np.zeros((3, 2)), [1, 2, 0]) == Taught(3, 3, 1)
    with pytest.raises(DataRefused) as caught:
        await play(client, np.nan)
    assert caught.value.field == "obs.obs"
    assert (await play(client, 4)).actions.tolist() == [4]


async def test_operations_are_methods(peer, connect):
    client = await connect(peer)
    peer.operations = {
        m.Agents: m.AgentsReply(agents=[{"agent": "pong"}]),
        m.Info: m.InfoReply(agent="pong", info={"steps": 3}),
        m.Create: m.Created(agent="new"),
        m.Save: ProtocolError(Code.STORAGE_FAILED, "disk full"),
        m.Load: m.Loaded(agent="pong", checkpoint="1", step=12),
        m.Unload: m.Unloaded(agent="pong"),
        m.Delete: m.Deleted(agent="pong"),
        m.Freeze: m.Frozen(agent="pong", on=True),
        m.Stats: m.StatsReply(server={}, agents={}),
    }

    agents, stats, act = await asyncio.gather(client.agents(), client.stats(), play(client, 5))
    assert (agents, stats.server, act.actions.tolist()) == ([{"agent": "pong"}], {}, [5])
    assert await client.info("pong") == {"steps": 3}
    await client.create("new", {})
    with pytest.raises(OperationRefused, match="disk full"):
        await client.save("pong")
    assert (await client.load("pong", "1")).step == 12
    await client.unload("pong")
    await client.delete("pong")
    await client.freeze("pong")


async def test_pings_go_both_ways_while_the_game_thinks(peer, connect):
    client = await connect(peer)

    assert 0 < await client.ping() < 1
    peer.say(m.Ping(t=7))
    for _ in range(100):
        if m.Pong(t=7) in peer.messages:
            break
        await asyncio.sleep(0.01)

    assert m.Pong(t=7) in peer.messages


async def test_close_says_goodbye_and_ends_the_client(peer):
    async with await AsyncClient.connect(peer.address, "pong", ("float32", (2,)), 7) as client:
        await play(client, 1)
    await client.close()

    assert peer.messages == [m.Goodbye(reason="client_done")]
    with pytest.raises(ClientClosed):
        await play(client, 1)
    with pytest.raises(ClientClosed):
        await client.agents()


async def test_close_ends_whoever_waits(peer, connect):
    client = await connect(peer)
    peer.silent = True
    waiting = [
        asyncio.create_task(work) for work in (play(client, 1), client.ping(), client.agents())
    ]
    await asyncio.sleep(0.05)
    await client.close()

    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, ClientClosed)


# -- broken connections ----------------------------------------------------------------------------


async def test_a_broken_connection_is_resumed_and_nothing_is_taken_twice(peer, connect):
    client = await connect(peer)

    def cut_once(peer, connection, step):
        if step.seq == 3:
            peer.before_answer = None
            connection.shutdown(socket.SHUT_RDWR)

    peer.before_answer = cut_once
    answers = [await client.send(rows(value), 0.0, 1) for value in range(6)]

    assert [(await answer).seq for answer in answers] == [1, 2, 3, 4, 5, 6]
    assert [x.seq for x in peer.only.taken] == [1, 2, 3, 4, 5, 6]
    assert client.reconnects == 1


async def test_a_refused_resume_is_told_to_every_frame_on_its_way(peer, connect):
    client = await connect(peer)
    peer.silent = True
    answers = [await client.send(rows(1), 0.0, 1) for _ in range(3)]
    peer.resumes = peer.silent = False
    peer.cut()

    for answer in answers:
        with pytest.raises(SessionLost):
            await answer
    assert (await play(client, 3, kind=0)).seq == 1


async def test_or_to_the_next_one_when_none_was_on_its_way(peer, connect):
    client = await connect(peer)
    await play(client, 1)
    peer.resumes = False
    peer.cut()
    await client.ping()  # answered by the new connection
    await client.ping()

    assert client.reconnects == 1
    with pytest.raises(SessionLost):
        await play(client, 1)
    assert (await play(client, 3, kind=0)).seq == 1


async def test_a_server_that_stays_away_is_given_up_after_retry_for(make_peer, connect):
    peer = make_peer()
    client = await connect(peer, retry_for=0.3)
    await asyncio.to_thread(peer.stop)
    begun = time.monotonic()

    with pytest.raises(Unreachable):
        await play(client, 2)

    assert 0.25 < time.monotonic() - begun < 20


async def test_nobody_there_is_unreachable_at_once(tmp_path):
    with pytest.raises(Unreachable):
        await AsyncClient.connect(str(tmp_path / "none.sock"), "pong", ("float32", (2,)), 7)


async def test_wait_lets_the_game_start_before_the_server(make_peer, connect, tmp_path):
    path = str(tmp_path / "late.sock")
    thread = threading.Timer(0.2, lambda: make_peer(path))
    thread.start()

    client = await AsyncClient.connect(path, "pong", ("float32", (2,)), 7, wait=5.0)
    await client.close()
    thread.join()


async def test_a_refused_hello_raises_what_the_server_said(peer):
    peer.refuse_hello = [ProtocolError(Code.UNAUTHORIZED, "no token")]

    with pytest.raises(Refused, match="no token"):
        await AsyncClient.connect(peer.address, "pong", ("float32", (2,)), 7, wait=5.0)

    assert len(peer.hellos) == 1


async def test_a_full_house_is_tried_again_after_the_time_it_asks_for(peer, connect):
    peer.refuse_hello = [ProtocolError(Code.LIMIT, "full", retry_ms=150)] * 2
    begun = time.monotonic()

    await connect(peer, wait=5.0)

    assert time.monotonic() - begun > 0.3


async def test_a_session_taken_by_another_is_not_fought_for(peer, connect):
    client = await connect(peer)
    peer.say(m.Goodbye(reason="replaced"))
    await asyncio.sleep(0.05)

    with pytest.raises(ClientClosed, match="replaced"):
        await play(client, 1)

    assert len(peer.hellos) == 1


async def test_a_silent_server_is_pinged_and_then_given_up(make_peer, connect):
    peer = make_peer()
    peer.heartbeat_s = 0.1
    client = await connect(peer, retry_for=0.0)
    peer.silent = True

    with pytest.raises(Unreachable):
        await play(client, 1)

    assert any(isinstance(x, m.Ping) for x in peer.messages)


async def test_an_idle_connection_is_kept_by_pings(make_peer, connect):
    peer = make_peer()
    peer.heartbeat_s = 0.05
    client = await connect(peer)

    await asyncio.sleep(0.3)

    assert client.reconnects == 0
    assert sum(isinstance(x, m.Ping) for x in peer.messages) >= 3


async def test_operations_that_were_on_their_way_are_repeated_or_told(peer, connect):
    client = await connect(peer)
    work = [asyncio.create_task(x) for x in (client.delete("x"), client.stats())]
    await asyncio.sleep(0.05)
    peer.operations = {m.Stats: m.StatsReply(server={"a": 1}, agents={})}
    peer.cut()

    deleted, stats = await asyncio.gather(*work, return_exceptions=True)

    assert isinstance(deleted, OutcomeUnknown)
    assert stats.server == {"a": 1}


async def test_a_ping_outlives_its_connection(peer, connect):
    client = await connect(peer)
    peer.silent = True
    ping = asyncio.create_task(client.ping())
    await asyncio.sleep(0.05)
    peer.silent = False
    peer.cut()

    assert await ping > 0


async def test_a_server_that_breaks_the_protocol_is_left(peer, connect):
    client = await connect(peer)
    for connection in list(peer.sockets):
        connection.sendall(b"\x00\x00\x00\x00")

    with pytest.raises(ProtocolError, match="BAD_FRAME"):
        await play(client, 1)
    with pytest.raises(ProtocolError, match="BAD_FRAME"):
        await play(client, 1)


async def test_big_frames_wait_for_the_server_to_read(make_peer, connect, tmp_path):
    peer = make_peer(str(tmp_path / "agentd.sock"))
    peer.window, peer.max_frame = 64, 1 << 24
    client = await connect(peer, streams=256, explain=True)
    frame = np.zeros((256, 2), np.float32)

    answers = [await client.send(frame, 0.0, 1) for _ in range(64)]

    assert [(await answer).seq for answer in answers] == list(range(1, 65))
