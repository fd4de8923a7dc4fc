"""Plain frames get the answers and the refusals that a batch gives them, byte for byte."""

import asyncio

import numpy as np
import pytest

from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.server.batching.fast_path import MOST_ROWS, FastPath

FIRST, MID, TERMINATED = 0, 1, 2
FRAMES = 40


@pytest.fixture
def fast(monkeypatch):
    """How many frames were answered without a batch."""
    count, real = [0], FastPath.answers

    def answers(self, group):
        found = real(self, group)
        count[0] += 0 if found is None else len(group)
        return found

    monkeypatch.setattr(FastPath, "answers", answers)
    return count


async def warm(peer, streams: int, role: str = "play", frames: int = 6, **options: object) -> None:
    """Begin episodes on every stream and make the layout known."""
    await peer.hello(role=role, streams=streams, **options)
    await peer.step([FIRST] * streams)
    for _ in range(frames):
        assert isinstance(await peer.step([MID] * streams), m.ActReply)


@pytest.mark.parametrize("rows", [1, 3, MOST_ROWS])
async def test_a_game_gets_what_a_batch_would_answer(serve, fast, monkeypatch, rows):
    heard = []
    for plain in (True, False):
        if not plain:
            monkeypatch.setattr(FastPath, "fits", lambda schema, actor, codec: False)
        house = await serve()
        peers = [await house.peer() for _ in range(3)]
        rng = np.random.default_rng(0)
        for peer in peers:
            await peer.hello(role="play", streams=rows)
        acts = []
        for turn in range(FRAMES):
            kind = {0: FIRST, FRAMES // 2: TERMINATED, FRAMES // 2 + 1: FIRST}.get(turn, MID)
            for peer in peers:
                obs, reward = rng.standard_normal((rows, 4)), rng.standard_normal(rows)
                await peer.say(peer.frame([kind] * rows, obs, reward))
            acts += [encode(await peer.hear()) for peer in peers]
        heard.append(acts)
        counters = house.server.registry.loaded["a"].counters
        assert (counters.frames, counters.rows) == (3 * FRAMES, 3 * FRAMES * rows)
        assert fast[0] > 3 * FRAMES / 2 if plain else fast[0] == 0
        fast[0] = 0
    assert heard[0] == heard[1]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"obs": np.full((2, 4), np.nan)}, "NOT_FINITE"),
        ({"obs": np.full((2, 4), -np.inf)}, "NOT_FINITE"),
        ({"reward": [0.0, np.inf]}, "NOT_FINITE"),
        ({"kind": [FIRST, MID]}, "BAD_KIND"),
        ({"kind": [9, MID]}, "BAD_KIND"),
        ({"stream": [0, 7]}, "UNKNOWN_STREAM"),
        ({"stream": [1, 1]}, "DUPLICATE_STREAM"),
    ],
)
async def test_what_breaks_a_rule_is_refused_and_its_neighbour_answered(serve, fast, wrong, code):
    house = await serve()
    good, bad = await house.peer(), await house.peer()
    for peer in (good, bad):
        await warm(peer, 2)
    assert fast[0] > 0
    await asyncio.gather(
        good.say(good.frame([MID, MID])), bad.say(bad.frame(**({"kind": [MID, MID]} | wrong)))
    )
    assert isinstance(await good.hear(), m.ActReply)
    fault = await bad.hear()
    assert (fault.code, fault.seq, fault.fatal) == (code, bad.seq, False)
    before = fast[0]
    assert isinstance(await bad.step([MID, MID]), m.ActReply)  # nothing had changed
    assert fast[0] == before + 1


async def test_the_largest_finite_numbers_are_answered(serve, fast):
    peer = await (await serve()).peer()
    await warm(peer, 2)
    before, most = fast[0], float(np.finfo(np.float32).max)
    assert isinstance(await peer.step([MID] * 2, np.full((2, 4), 1e30), [most, most]), m.ActReply)
    assert fast[0] == before + 1


async def test_after_an_episode_ended_its_stream_must_begin_anew(serve, fast):
    peer = await (await serve()).peer()
    await warm(peer, 2)
    assert isinstance(await peer.step([MID, TERMINATED]), m.ActReply)
    before = fast[0]
    fault = await peer.step([MID, MID])
    assert (fault.code, fast[0]) == ("BAD_KIND", before)
    assert isinstance(await peer.step([MID, FIRST]), m.ActReply)
    assert isinstance(await peer.step([MID, MID]), m.ActReply)
    assert fast[0] == before + 1


async def test_streams_may_change_from_frame_to_frame(serve, fast):
    peer = await (await serve()).peer()
    await warm(peer, 2)
    for stream in ([1], [0], [1, 0]):
        before = fast[0]
        act = await peer.step([MID] * len(stream), stream=stream)
        assert (len(act.action), fast[0]) == (4 * len(stream), before)
    for _ in range(3):
        await peer.step([MID] * 2, stream=[1, 0])
    assert fast[0] > before


async def test_streams_that_were_cut_are_not_under_way(serve, fast):
    house = await serve()
    peer = await house.peer()
    await warm(peer, 1)
    agent = house.server.registry.loaded["a"]
    (session,) = agent.sessions.values()
    before = fast[0]
    agent.cut(session)
    assert (await peer.step([MID])).code == "BAD_KIND"
    assert fast[0] == before


@pytest.mark.parametrize(
    ("role", "options", "agent"),
    [
        ("eval", {}, {}),
        ("play", {"explain": True}, {}),
        ("train", {}, {"learner": "dqn", "pace": {"mode": "free"}}),
    ],
)
async def test_who_wants_more_than_the_action_gets_it_from_a_batch(
    serve, fast, role, options, agent
):
    peer = await (await serve(agent)).peer()
    await warm(peer, 1, role, **options)
    act = await peer.step([MID])
    assert fast[0] == 0
    assert (act.q is not None) == bool(options)


async def test_a_mask_is_respected(serve, fast):
    peer = await (await serve()).peer()
    await warm(peer, 1)
    free = int.from_bytes((await peer.step([MID])).action, "little")
    mask = bytes(int(action != free) for action in range(3))
    for _ in range(4):
        act = await peer.step([MID], mask=mask)
        assert int.from_bytes(act.action, "little") != free
    assert fast[0] > 0


async def test_new_weights_act_at_once(serve, fast):
    house = await serve()
    peer = await house.peer()
    await warm(peer, 1)
    actor = house.server.registry.loaded["a"].actor
    x = np.linspace(-1, 1, 4, dtype=np.float32)[None]
    for version in range(1, 6):
        actor.weights[:] = np.random.default_rng(version).standard_normal(len(actor.weights))
        actor.publish(version)
        act = await peer.step([MID], x)
        best = int(actor.values(x.view(np.uint8)).argmax())
        assert (int.from_bytes(act.action, "little"), act.version) == (best, version)
    assert fast[0] >= 5


async def test_a_fault_of_ours_is_told_to_everyone_who_waits(serve, fast, monkeypatch):
    house = await serve()
    peer = await house.peer()
    await warm(peer, 1)

    def broken(x):
        raise RuntimeError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(house.server.registry.loaded["a"].actor, "best", broken)
        fault = await peer.step([MID])
    assert (fault.code, fault.seq, fault.fatal) == ("INTERNAL", peer.seq, False)
    assert isinstance(await peer.step([MID]), m.ActReply)
