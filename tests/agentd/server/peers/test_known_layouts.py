"""Frames of a known layout are answered as all others are: the same acts, faults and rows."""

import asyncio

import numpy as np
import pytest

from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.protocol.pattern import Pattern

from ..conftest import step

FIRST, MID, TERMINATED = 0, 1, 2
FRAMES = 300
KNOWN = 300 - 3 * 2  # two frames make a layout known, and seq has three widths up to here
LEARNS = {"learner": "dqn", "pace": {"learn_start": 50_000}, "exploration": {"steps": 100}}


def game(streams: int, seed: int):
    """Endless kinds, observations, rewards and masks of a game."""
    rng = np.random.default_rng(seed)
    open_streams = np.zeros(streams, bool)
    while True:
        kind = np.where(open_streams, np.where(rng.random(streams) < 0.1, TERMINATED, MID), FIRST)
        open_streams = kind != TERMINATED
        mask = rng.integers(0, 2, (streams, 3), dtype=np.uint8)
        mask[:, 1] = 1
        yield {
            "kind": kind.tolist(),
            "obs": rng.standard_normal((streams, 4)),
            "reward": rng.standard_normal(streams),
            "mask": mask.tobytes(),
        }


async def play(peer, frames: int, streams: int, split: bool) -> list[m.ActReply]:
    answers = []
    for fields, _ in zip(game(streams, seed=1), range(frames), strict=False):
        if split:  # two pieces are never recognised
            data = encode(peer.frame(**fields))
            peer.writer.write(data[:9])
            await peer.writer.drain()
            await asyncio.sleep(0.0005)
            peer.writer.write(data[9:])
            answers.append(await peer.hear())
        else:
            answers.append(await peer.step(**fields))
    return answers


@pytest.fixture
def recognised(monkeypatch):
    """How many frames were taken without decoding."""
    count, real = [0], Pattern.seq_of

    def seq_of(self, frame):
        seq = real(self, frame)
        count[0] += seq > 0
        return seq

    monkeypatch.setattr(Pattern, "seq_of", seq_of)
    return count


@pytest.mark.parametrize("streams", [1, 3])
async def test_known_layouts_get_the_answers_that_decoded_frames_get(serve, recognised, streams):
    agents, rings = [], []
    for split in (True, False):
        house = await serve(LEARNS)
        peer = await house.peer()
        await peer.hello(streams=streams)
        agents.append(await play(peer, FRAMES, streams, split))
        ring = house.server.registry.loaded["a"].learning.ring
        names = ("obs", "action", "reward", "kind", "next", "seq", "explored", "mask_bits")
        rings.append([ring.columns[name][: ring.head].tolist() for name in names])
        assert recognised[0] == (0 if split else KNOWN)

    assert agents[0] == agents[1]
    assert rings[0] == rings[1]


async def test_a_wave_of_many_known_layouts_is_answered_row_by_row(serve, recognised):
    house = await serve()
    peers = [await house.peer() for _ in range(6)]
    rng = np.random.default_rng(0)
    for at, peer in enumerate(peers):  # three of two rows, three of one
        await peer.hello(role="play", streams=2 - at % 2)
    for turn in range(20):
        obs = [rng.standard_normal((2 - at % 2, 4)) for at in range(6)]
        kind = MID if turn else FIRST
        for peer, rows in zip(peers, obs, strict=True):
            await peer.say(peer.frame([kind] * len(rows), rows))
        acts = [await peer.hear() for peer in peers]
    assert recognised[0] > 6 * 15

    actor = house.server.registry.loaded["a"].actor
    for act, rows in zip(acts, obs, strict=True):
        q = actor.values(rows.astype("<f4").view(np.uint8))
        assert bytes(act.action) == q.argmax(axis=1).astype("<i4").tobytes()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"obs": np.full((2, 4), np.nan)}, "NOT_FINITE"),
        ({"kind": [FIRST, MID]}, "BAD_KIND"),
        ({"stream": [0, 7]}, "UNKNOWN_STREAM"),
        ({"stream": [1, 1]}, "DUPLICATE_STREAM"),
        ({"kind": [9, MID]}, "BAD_KIND"),
    ],
)
async def test_what_is_wrong_in_a_known_layout_is_refused_by_name(serve, recognised, wrong, code):
    house = await serve()
    good, bad = await house.peer(), await house.peer()
    for peer in (good, bad):
        await peer.hello(streams=2)
        await peer.step([FIRST, FIRST])
        for _ in range(6):
            await peer.step([MID, MID])
    before = recognised[0]
    await asyncio.gather(
        good.say(good.frame([MID, MID])), bad.say(bad.frame(**({"kind": [MID, MID]} | wrong)))
    )

    assert isinstance(await good.hear(), m.ActReply)
    fault = await bad.hear()
    assert (fault.code, fault.seq, fault.fatal) == (code, bad.seq, False)
    assert recognised[0] == before + 2
    assert isinstance(await bad.step([MID, MID]), m.ActReply)


async def test_a_layout_of_wrong_lengths_is_refused_each_time(serve):
    house = await serve()
    peer = await house.peer()
    await peer.hello(streams=2)
    for seq in range(1, 8):
        await peer.say(step(seq, [FIRST], np.zeros((1, 3))))
        fault = await peer.hear()
        assert (fault.code, fault.seq) == ("BAD_SHAPE", seq)


async def test_a_resent_frame_of_a_known_layout_gets_the_answer_it_had(serve, recognised):
    house = await serve(LEARNS)
    peer = await house.peer()
    welcome = await peer.hello(streams=1)
    await peer.step([FIRST])
    for _ in range(6):
        last = peer.frame([MID], np.ones((1, 4)))
        await peer.say(last)
        answer = await peer.hear()
    rows = house.server.registry.loaded["a"].learning.ring.head
    before = recognised[0]
    await peer.close()

    again = await house.peer()
    assert (await again.hello(streams=1, resume=welcome.session)).resumed
    earlier = step(last.seq - 1, [MID], np.ones((1, 4)))
    for message in (step(last.seq - 2, [MID], np.ones((1, 4))), earlier, last):
        await again.say(message)
        heard = await again.hear()
    assert heard == answer
    assert recognised[0] == before + 1  # two were decoded, the third was known
    assert house.server.registry.loaded["a"].learning.ring.head == rows
