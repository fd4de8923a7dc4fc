"""R7, R9, R11, R12: a session outlives its connections; silence and greed meet deadlines."""

import asyncio

import numpy as np
import pytest

from agentd.auth import Grant, Tokens
from agentd.protocol import messages as m
from agentd.protocol.codec import encode

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3


async def test_a_resumed_session_goes_on_in_the_middle_of_an_episode(serve):
    house = await serve()
    peer = await house.peer()
    welcome = await peer.hello()
    await peer.step([FIRST, FIRST])
    await peer.close()

    again = await house.peer()
    back = await again.hello(resume=welcome.session)

    assert (back.resumed, back.last_seq, back.session) == (True, 1, welcome.session)
    assert isinstance(await again.step([MID, MID]), m.ActReply)


async def test_a_frame_sent_again_gets_the_same_answer_and_counts_once(serve):
    house = await serve()
    peer = await house.peer()
    welcome = await peer.hello()
    first, second = peer.frame([FIRST], np.ones((1, 4))), peer.frame([MID], np.ones((1, 4)))
    await peer.say(first, second)
    told = [await peer.hear(), await peer.hear()]
    await peer.close()

    again = await house.peer()
    await again.hello(resume=welcome.session)
    await again.say(first, second)
    repeated = [await again.hear(), await again.hear()]

    assert [bytes(a.action) for a in told] == [bytes(a.action) for a in repeated]
    assert [a.seq for a in repeated] == [1, 2]
    assert house.server.registry.loaded["a"].counters.frames == 2


async def test_a_new_run_of_the_game_gets_a_new_session(serve):
    house = await serve()
    peer = await house.peer()
    welcome = await peer.hello()
    await peer.step([FIRST])
    await peer.close()

    again = await house.peer()
    back = await again.hello(resume=welcome.session, run=bytes(16))

    assert not back.resumed
    assert back.session != welcome.session
    assert isinstance(await again.step([FIRST]), m.ActReply)


async def test_an_unknown_session_is_not_resumed(serve):
    peer = await (await serve()).peer()
    welcome = await peer.hello(resume=b"?" * 16)
    assert not welcome.resumed


async def test_a_session_that_nobody_resumes_ends(serve):
    house = await serve(resume_s=0.2)
    peer = await house.peer()
    welcome = await peer.hello()
    await peer.step([FIRST])
    await peer.close()
    await asyncio.sleep(0.8)

    again = await house.peer()
    back = await again.hello(resume=welcome.session)

    assert not back.resumed
    assert len(house.server.registry.loaded["a"].sessions) == 1


async def test_the_newer_connection_of_a_session_replaces_the_older(serve):
    house = await serve()
    old = await house.peer()
    welcome = await old.hello()

    new = await house.peer()
    back = await new.hello(resume=welcome.session)

    assert back.resumed
    assert await old.hear() == m.Goodbye(reason="replaced")
    assert await old.hear() is None
    assert isinstance(await new.step([FIRST]), m.ActReply)


async def test_goodbye_ends_the_session_at_once(serve):
    house = await serve()
    peer = await house.peer()
    await peer.hello()
    await peer.say(m.Goodbye(reason="client_done"))

    assert await peer.hear() == m.Goodbye(reason="client_done")
    assert await peer.hear() is None
    assert house.server.registry.loaded["a"].sessions == {}


async def test_silence_before_hello_ends_the_connection(serve):
    peer = await (await serve(hello_timeout_s=0.2)).peer()

    error = await peer.hear()

    assert (error.code, error.fatal) == ("HELLO_TIMEOUT", True)
    assert await peer.hear() == m.Goodbye(reason="idle")
    assert await peer.hear() is None


async def test_a_silent_peer_is_asked_and_then_gone(serve):
    peer = await (await serve(heartbeat_s=0.3)).peer()
    await peer.hello()

    heard = [await peer.hear() for _ in range(3)]

    assert isinstance(heard[0], m.Ping)
    assert heard[1].code == "IDLE_TIMEOUT"
    assert heard[2] == m.Goodbye(reason="idle")


async def test_an_answered_ping_keeps_the_connection(serve):
    peer = await (await serve(heartbeat_s=0.3)).peer()
    await peer.hello()
    for _ in range(3):
        ping = await peer.hear()
        assert isinstance(ping, m.Ping)
        await peer.say(m.Pong(t=ping.t))
    assert isinstance(await peer.step([FIRST]), m.ActReply)


async def test_an_unfinished_frame_is_not_waited_for(serve):
    peer = await (await serve(frame_s=0.3)).peer()
    await peer.hello()
    peer.writer.write(b"\x40\0\0\0half")

    error = await peer.hear()

    assert error.code == "IDLE_TIMEOUT"


async def test_a_peer_that_reads_nothing_is_cut_and_its_neighbour_is_not(serve):
    house = await serve(slow_reader_s=0.4, write_buffer_bytes=4096, window=64)
    greedy, good = await house.peer(), await house.peer()
    await greedy.hello(streams=2048, explain=True, role="play")
    await good.hello()
    assert isinstance(await good.step([FIRST]), m.ActReply)
    greedy.writer.transport.set_write_buffer_limits(high=2**30)
    greedy.reader._transport.pause_reading()
    frames = [greedy.frame([FIRST] * 2048)] + [greedy.frame([MID] * 2048) for _ in range(600)]
    for frame in frames:
        greedy.writer.write(encode(frame))

    async with asyncio.timeout(10):
        while len(house.server.connections) > 1:
            assert isinstance(await good.step([MID]), m.ActReply)
            await asyncio.sleep(0.02)

    assert isinstance(await good.step([MID]), m.ActReply)


async def test_the_house_full_is_said_politely(serve):
    house = await serve(max_connections=2)
    for _ in range(2):
        await (await house.peer()).hello()
    third = await house.peer()

    error = await third.hear()

    assert (error.code, error.fatal) == ("LIMIT", True)
    assert error.retry_ms > 0
    assert await third.hear() == m.Goodbye(reason="limit")


async def test_draining_answers_says_goodbye_and_ends(serve):
    house = await serve()
    peer = await house.peer()
    await peer.hello()
    await peer.say(peer.frame([FIRST]))
    assert isinstance(await peer.hear(), m.ActReply)

    house.server.stop()

    assert await peer.hear() == m.Goodbye(reason="shutdown")
    assert await peer.hear() is None
    async with asyncio.timeout(5):
        await house.task


@pytest.mark.parametrize(
    ("token", "role", "code"),
    [
        (None, "play", "UNAUTHORIZED"),
        ("wrong" * 4, "play", "UNAUTHORIZED"),
        ("a" * 16, "train", "FORBIDDEN"),
        ("a" * 16, "admin", "FORBIDDEN"),
        ("l" * 16, "admin", "FORBIDDEN"),
    ],
)
async def test_a_token_bounds_what_hello_may_ask(serve, token, role, code):
    tokens = Tokens([(Grant.ACT, "a" * 16), (Grant.LEARN, "l" * 16)])
    peer = await (await serve(tokens=tokens)).peer()
    await peer.say(peer.hello_message(token=token, role=role))

    error = await peer.hear()

    assert (error.code, error.fatal) == (code, True)
    assert await peer.hear() == m.Goodbye(reason="auth")


async def test_operations_need_the_admin_grant(serve):
    tokens = Tokens([(Grant.LEARN, "l" * 16), (Grant.ADMIN, "x" * 16)])
    house = await serve(tokens=tokens)
    game, boss = await house.peer(), await house.peer()
    await game.hello(token="l" * 16)
    await boss.hello(role="admin", token="x" * 16)
    for operation in (m.Agents(), m.Info(agent="a"), m.Save(agent="a"), m.Stats()):
        await game.say(operation)
        error = await game.hear()
        assert (error.code, error.fatal) == ("FORBIDDEN", False)

    await boss.say(m.Agents())

    assert (await boss.hear()).agents == [
        {"agent": "a", "loaded": True, "sessions": 1, "frozen": False}
    ]


async def test_operations_make_save_load_and_delete_an_agent(serve):
    house = await serve()
    boss = await house.peer()
    await boss.hello(role="admin")

    async def ask(operation: m.Message) -> m.Message:
        await boss.say(operation)
        return await boss.hear()

    config = {"learner": "none", "model": {"layers": [{"dense": 8}, "relu"]}, "seed": 3}
    assert await ask(m.Create(agent="b", config=config)) == m.Created(agent="b")
    assert (await ask(m.Create(agent="b", config=config))).code == "AGENT_EXISTS"
    wrong = await ask(m.Create(agent="c", config={"sed": 3}))
    assert (wrong.code, wrong.field) == ("BAD_CONFIG", "sed")
    assert (await ask(m.Save(agent="b"))).code == "UNKNOWN_AGENT"  # no game has met it yet

    game = await house.peer()
    await game.hello("b", role="play")
    assert (await ask(m.Delete(agent="b"))).code == "AGENT_IN_USE"
    saved = await ask(m.Save(agent="b"))
    assert isinstance(saved, m.Saved)
    assert isinstance(await ask(m.Load(agent="b", checkpoint=saved.checkpoint)), m.Loaded)
    assert (await ask(m.Load(agent="b", checkpoint="../b"))).code == "UNKNOWN_CHECKPOINT"
    info = (await ask(m.Info(agent="b"))).info
    assert info["checkpoints"] == [saved.checkpoint]
    await game.say(m.Goodbye(reason="client_done"))
    await game.hear()
    assert await ask(m.Unload(agent="b")) == m.Unloaded(agent="b")
    assert await ask(m.Delete(agent="b")) == m.Deleted(agent="b")
    assert (await ask(m.Info(agent="b"))).code == "UNKNOWN_AGENT"


async def test_a_schema_that_differs_is_refused_with_both_schemas_named(serve):
    house = await serve()
    await (await house.peer()).hello()
    other = await house.peer()
    await other.say(other.hello_message(action={"kind": "discrete", "n": 5}))

    error = await other.hear()

    assert (error.code, error.fatal, error.field) == ("SCHEMA_MISMATCH", True, "action")
    assert "discrete(3)" in error.expected
    assert "discrete(5)" in error.got
