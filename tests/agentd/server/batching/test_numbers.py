"""Numbers of an action: learned as bins, answered as numbers, kept as what was played."""

import numpy as np
import pytest

from agentd.protocol import messages as m

from ..conftest import hello

FIRST, MID, TERMINATED = range(3)
BOTH = {"protocol": (2, 2)}
BOX = {"kind": "box", "low": [-1.0, 0.0], "high": [1.0, 10.0]}
MIXED = {"kind": "mixed", "heads": [{"n": 3}, {"low": -1.0, "high": 1.0}]}
AGENT = {"learner": "dqn", "pace": {"learn_start": 90_000}, "exploration": {"start": 1.0}}


def f32(*numbers):
    return np.array(numbers, "<f4").tobytes()


def numbers(reply):
    assert isinstance(reply, m.ActReply), reply
    return np.frombuffer(reply.action, "<f4").reshape(-1, 2).tolist()


def ring_of(house):
    return house.server.registry.loaded["a"].learning.ring


@pytest.mark.parametrize("joint", [32, 0])
async def test_the_ring_holds_the_bin_nearest_to_what_was_played(serve, joint):
    house = await serve(AGENT | {"actions": {"joint": joint}}, drain_s=60.0)
    peer = await house.peer()
    await peer.hello(action=BOX, **BOTH)
    (answered,) = numbers(await peer.step([FIRST]))
    await peer.step([MID], taken=f32(*answered))
    await peer.step([MID], taken=f32(0.4, 7.6), by=b"\1")

    ring, codec = ring_of(house), house.server.registry.loaded["a"].learning.codec
    held = codec.encode(ring.columns["action"][:2])
    assert held.tolist() == [answered, [0.0, 10.0]]
    assert [byte >> 1 for byte in ring.columns["explored"][:2]] == [0, 1]


@pytest.mark.parametrize("joint", [32, 0])
async def test_a_restarted_server_gives_the_numbers_again(serve, tmp_path, joint):
    config = AGENT | {"actions": {"joint": joint}}
    house = await serve(config, data_dir=tmp_path, drain_s=60.0)
    peer = await house.peer()
    session = (await peer.hello(action=MIXED, **BOTH)).session
    mask = {"mask": bytes([0, 1, 1] * 2)}
    first = numbers(await peer.step([FIRST] * 2, **mask))
    frames = [peer.frame([MID] * 2, taken=f32(2, 0.9, *first[1]), by=b"\1\0", **mask)]
    await peer.say(frames[0])
    then = numbers(await peer.hear())
    frames.append(peer.frame([TERMINATED, MID], **mask))
    await peer.say(frames[1])
    last = numbers(await peer.hear())
    assert np.isnan(last[0]).all()
    await house.down()

    house = await serve(config, data_dir=tmp_path, drain_s=60.0)
    again = await house.peer()
    assert (await again.hello(action=MIXED, resume=session, **BOTH)).last_seq == 3
    for frame, expected in zip(frames, (then, last), strict=True):
        await again.say(frame)
        np.testing.assert_array_equal(numbers(await again.hear()), expected)
    again.seq = 3
    refused = await again.step([MID], stream=[1], taken=f32(0, 0.0))
    assert (refused.code, refused.field) == ("BAD_TAKEN", "taken")  # the mask is known as well
    assert numbers(await again.step([MID], stream=[1], taken=f32(1, 0.0)))


async def test_plain_frames_of_players_get_numbers(serve):
    house = await serve({"learner": "none"})
    player, watcher = await house.peer(), await house.peer()
    await player.hello(role="play", action=BOX, **BOTH)
    await watcher.hello(role="eval", action=BOX, explain=True, **BOTH)
    obs = np.random.default_rng(0).standard_normal((6, 2, 4))
    for at, rows in enumerate(obs):
        kind = [MID if at else FIRST] * 2
        quick, slow = await player.step(kind, rows), await watcher.step(kind, rows)
        assert quick.action == slow.action
        assert len(slow.q) == 4 * 2 * 9


async def test_a_learner_of_classes_refuses_them_before_the_first_step(serve):
    house = await serve({"learner": "supervised"})
    peer = await house.peer()
    await peer.say(hello(action=BOX, **BOTH))
    fault = await peer.hear()
    assert (fault.code, fault.fatal, fault.field) == ("UNSUPPORTED_ACTION", True, "action.kind")
    assert not house.server.registry.stored.names()


async def test_bins_that_grow_are_tried_when_their_time_comes(serve):
    actions = {"bins": 5, "grow_every": 40}
    house = await serve(AGENT | {"actions": actions}, drain_s=60.0)
    peer = await house.peer()
    one = {"kind": "box", "low": [-1.0], "high": [1.0]}
    await peer.hello(action=one, **BOTH)
    seen = []
    for at in range(60):
        reply = await peer.step([MID if at else FIRST] * 2)
        seen.append(set(np.frombuffer(reply.action, "<f4").tolist()))
    assert set.union(*seen[:20]) == {-1.0, 1.0}
    assert set.union(*seen[20:40]) == {-1.0, 0.0, 1.0}
    assert set.union(*seen[40:]) <= {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert set.union(*seen[40:]) & {-0.5, 0.5}
