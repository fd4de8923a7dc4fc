"""States in, actions out: one pass a turn, answers in order, faults that hurt one frame only."""

import asyncio

import numpy as np
import pytest

from agentd.protocol import messages as m

FIRST, MID, TERMINATED, TRUNCATED = 0, 1, 2, 3


def actions(act: m.ActReply) -> list[int]:
    return np.frombuffer(act.action, "<i4").tolist()


async def test_a_step_is_answered_with_a_legal_action_a_row(serve):
    peer = await (await serve()).peer()
    await peer.hello()

    act = await peer.step([FIRST] * 4, np.eye(4))

    assert isinstance(act, m.ActReply)
    assert act.seq == 1
    assert all(0 <= a < 3 for a in actions(act))


async def test_a_final_row_gets_minus_one_and_the_next_episode_may_follow_at_once(serve):
    peer = await (await serve()).peer()
    await peer.hello()
    await peer.step([FIRST, FIRST])

    act = await peer.step([TERMINATED, MID, FIRST], stream=[0, 1, 0])

    assert actions(act)[0] == -1
    assert all(a >= 0 for a in actions(act)[1:])


async def test_frames_of_one_turn_share_one_pass_and_get_their_own_answers(serve):
    house = await serve()
    peers = [await house.peer() for _ in range(8)]
    rng = np.random.default_rng(0)
    states = [rng.standard_normal((4, 4)) for _ in peers]
    for peer in peers:
        await peer.hello(role="play", explain=True)
    alone = [await peer.step([FIRST] * 4, obs) for peer, obs in zip(peers, states, strict=True)]
    agent = house.server.registry.loaded["a"]
    passes = agent.counters.passes

    for peer, obs in zip(peers, states, strict=True):
        await peer.say(peer.frame([MID] * 4, obs))
    together = [await peer.hear() for peer in peers]

    assert agent.counters.passes - passes < len(peers)
    for a, b in zip(alone, together, strict=True):
        assert actions(a) == actions(b)
        q = [np.frombuffer(x.q, "<f4") for x in (a, b)]
        np.testing.assert_allclose(q[0], q[1], rtol=1e-4, atol=1e-6)


async def test_pipelined_frames_are_answered_in_order_beyond_the_window(serve):
    peer = await (await serve(window=3)).peer()
    welcome = await peer.hello()
    assert welcome.window == 3

    await peer.say(peer.frame([FIRST]), *(peer.frame([MID]) for _ in range(19)))
    seqs = [(await peer.hear()).seq for _ in range(20)]

    assert seqs == list(range(1, 21))


async def test_a_bad_frame_is_refused_whole_and_the_others_of_its_turn_are_not(serve):
    house = await serve()
    good, bad = await house.peer(), await house.peer()
    await good.hello()
    await bad.hello()
    await good.step([FIRST])
    await bad.step([FIRST])

    await bad.say(bad.frame([MID], np.full((1, 4), np.nan)))
    await good.say(good.frame([MID]))
    error, act = await bad.hear(), await good.hear()

    assert isinstance(error, m.Error)
    assert (error.code, error.seq, error.fatal, error.field) == ("NOT_FINITE", 2, False, "obs.x")
    assert isinstance(act, m.ActReply)
    assert isinstance(await bad.step([MID]), m.ActReply)  # the session goes on, the episode too


async def test_a_masked_action_is_never_chosen(serve):
    peer = await (await serve()).peer()
    await peer.hello(role="play")
    rng = np.random.default_rng(1)
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]], np.uint8)
    for at in range(20):
        kind = [MID if at else FIRST] * 4
        act = await peer.step(kind, rng.standard_normal((4, 4)), mask=mask.tobytes())
        chosen = actions(act)
        assert chosen[:3] == [0, 1, 2]
        assert chosen[3] in (0, 2)


@pytest.mark.parametrize("count", [2, 40])
async def test_many_connections_get_what_they_would_get_alone(serve, count):
    house = await serve()
    rng = np.random.default_rng(2)
    lone = await house.peer()
    await lone.hello(role="play")
    states = rng.standard_normal((count, 30, 1, 4))
    want = [
        [actions(await lone.step([MID if i + j else FIRST], states[i, j])) for j in range(30)]
        for i in range(count)
    ]

    async def play(i: int) -> list[list[int]]:
        peer = await house.peer()
        await peer.hello(role="play")
        return [actions(await peer.step([MID if j else FIRST], states[i, j])) for j in range(30)]

    got = await asyncio.gather(*(play(i) for i in range(count)))

    assert got == want
