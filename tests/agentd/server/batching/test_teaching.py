"""R8: rows with their right answers train the same model; acting answers what was learned."""

import asyncio

import numpy as np

from agentd.protocol import messages as m

FIRST = 0
SUPERVISED = {
    "learner": "supervised",
    "model": {"layers": [{"dense": 32}, "tanh"]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "supervised": {"batch": 32},
    "pace": {"mode": "free", "learn_start": 64, "train_every": 1, "updates": 1},
}


def teach(peer, states, classes) -> m.Teach:
    peer.seq += 1
    return m.Teach(
        seq=peer.seq,
        obs={"x": states.astype("<f4").tobytes()},
        target=np.asarray(classes, "<i4").tobytes(),
    )


async def test_taught_classes_are_answered(serve):
    house = await serve(SUPERVISED)
    peer = await house.peer()
    await peer.hello()
    rng = np.random.default_rng(0)
    states = rng.standard_normal((2_000, 4))
    classes = (states[:, 0] > 0).astype(int) + (states[:, 0] * states[:, 1] > 0)
    for start in range(0, 2_000, 100):
        part = slice(start, start + 100)
        await peer.say(teach(peer, states[part], classes[part]))
        taught = await peer.hear()
        assert (taught.seq, taught.queued) == (peer.seq, start + 100)
    handle = house.server.registry.loaded["a"].learning.handle
    async with asyncio.timeout(60):
        while not handle.stats()["updates"] >= 1_500:
            for start in range(0, 2_000, 100):
                part = slice(start, start + 100)
                await peer.say(teach(peer, states[part], classes[part]))
                await peer.hear()
            await asyncio.sleep(0.1)

    fresh = rng.standard_normal((4, 4))
    want = (fresh[:, 0] > 0).astype(int) + (fresh[:, 0] * fresh[:, 1] > 0)
    right = total = 0
    for _ in range(50):
        act = await peer.step([FIRST] * 4, fresh)
        right += int((np.frombuffer(act.action, "<i4") == want).sum())
        total += 4
        await peer.step([2] * 4, fresh)
        fresh = rng.standard_normal((4, 4))
        want = (fresh[:, 0] > 0).astype(int) + (fresh[:, 0] * fresh[:, 1] > 0)

    assert act.version >= 1_000
    assert right / total > 0.85


async def test_teach_is_refused_where_it_cannot_be_learned(serve):
    peer = await (await serve()).peer()
    await peer.hello()
    await peer.say(teach(peer, np.zeros((1, 4)), [0]))
    error = await peer.hear()
    assert (error.code, error.seq, error.fatal) == ("NOT_SUPERVISED", 1, False)


async def test_a_class_out_of_range_names_row_and_range(serve):
    peer = await (await serve(SUPERVISED)).peer()
    await peer.hello()
    await peer.say(teach(peer, np.zeros((3, 4)), [0, 2, 3]))
    error = await peer.hear()
    assert (error.code, error.field, error.got) == ("BAD_TARGET", "target", "3")
    assert "0..2 in row 2" in error.expected
    await peer.say(teach(peer, np.zeros((2, 4)), [0, 2]))
    assert isinstance(await peer.hear(), m.TaughtReply)


async def test_values_may_be_taught_too(serve):
    config = SUPERVISED | {"supervised": {"batch": 16, "target": "value"}}
    peer = await (await serve(config)).peer()
    await peer.hello()
    peer.seq += 1
    target = np.zeros((2, 3), "<f4").tobytes()
    await peer.say(m.Teach(seq=1, obs={"x": bytes(32)}, target=target))
    assert (await peer.hear()).queued == 2
    await peer.say(m.Teach(seq=2, obs={"x": bytes(32)}, target=target[:-4]))
    assert (await peer.hear()).code == "BAD_TARGET"


async def test_evidence_brings_novelty_to_those_who_ask_in_version_2(serve):
    config = SUPERVISED | {"supervised": {"batch": 32, "loss": "edl_squared", "kl_updates": 200}}
    house = await serve(config)
    peer = await house.peer()
    await peer.hello(protocol=(1, 2), explain=True)
    rng = np.random.default_rng(0)
    states = np.concatenate([rng.standard_normal((999, 4)), np.zeros((1, 4))])
    await peer.say(teach(peer, states, (states[:, 0] > 0).astype(int)))
    assert isinstance(await peer.hear(), m.TaughtReply)
    handle = house.server.registry.loaded["a"].learning.handle
    async with asyncio.timeout(60):
        while not handle.stats()["updates"]:
            await asyncio.sleep(0.02)

    act = await peer.step([FIRST] * 3, states[:3])

    alpha = np.exp(np.frombuffer(act.q, "<f4").reshape(3, 3).astype(float).clip(-10, 10)) + 1
    np.testing.assert_allclose(np.frombuffer(act.novelty, "<f4"), 3 / alpha.sum(1), rtol=1e-5)
    others = []
    for run, asked in ((1, {"explain": True}), (2, {"protocol": (1, 2)})):
        other = await house.peer()
        await other.hello(run=bytes([run]) * 16, **asked)
        others.append(await other.step([FIRST] * 3, states[:3]))
    old, plain = others
    assert old.q is not None
    assert old.novelty is plain.novelty is plain.q is None
