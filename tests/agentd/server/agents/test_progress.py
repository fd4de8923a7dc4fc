"""What the daemon keeps of its agents over time, seen on disk."""

import asyncio

from agentd.protocol import messages as m
from agentd.store import read_progress

FIRST, MID, TERMINATED = 0, 1, 2
SMALL = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}]},
    "replay": {"capacity": 256},
    "pace": {"mode": "free", "learn_start": 8},
    "dqn": {"batch": 4},
}


async def until(fact) -> None:
    async with asyncio.timeout(120):
        while not fact():
            await asyncio.sleep(0.05)


async def episode(peer, reward: float, streams: int = 2) -> None:
    for kind in (FIRST, MID, TERMINATED):
        await peer.step([kind] * streams, reward=[0.0 if kind == FIRST else reward] * streams)


async def test_episodes_figures_and_logs_are_kept_through_a_restart(serve, tmp_path):
    data = tmp_path / "data"
    house = await serve(SMALL, data_dir=data)
    peer = await house.peer()
    await peer.hello(protocol=(1, 2))
    await peer.say(m.Log(values={"lap_s": 41.5}))
    for _ in range(6):
        await episode(peer, 2.0)
    watcher = await house.peer()
    await watcher.hello(role="eval")
    await episode(watcher, -1.0, streams=1)
    await house.server.progress.look(at_end=True)

    (log,) = house.server.progress.logs.values()
    assert list(read_progress(data / "agents" / "a")) == list(log.points)
    train = [point.train for point in log.points if point.train]
    assert sum(each.ended for each in train) == 12
    assert {each.mean for each in train} == {4.0}
    assert {each.length for each in train} == {2.0}
    last = log.points[-1]
    (evaluated,) = [point.eval for point in log.points if point.eval]
    assert (evaluated.ended, evaluated.sample) == (1, (-2.0,))
    assert (last.episodes, last.steps, last.log) == (12, 24, {"lap_s": 41.5})
    assert last.figures.keys() >= {"epsilon", "return_mean", "length_mean", "policy_lag"}
    await house.server.progress.look(at_end=True)
    before = log.points
    await house.server.progress.look(at_end=True)
    assert log.points == before, "nothing happened since"

    await peer.close()
    await watcher.close()
    house.server.stop()
    await house.task
    house = await serve(SMALL, data_dir=data)
    peer = await house.peer()
    await peer.hello()
    await episode(peer, 5.0)
    await house.server.progress.look(at_end=True)
    found = read_progress(data / "agents" / "a")
    assert list(found[: len(before)]) == list(before)
    assert found[-1].train.mean == 10.0
    assert found[-1].episodes == 14


async def test_an_agent_that_only_plays_counts_on_after_a_restart(serve, tmp_path):
    data = tmp_path / "data"
    for round in (1, 2):
        house = await serve(data_dir=data)
        peer = await house.peer()
        await peer.hello()
        await episode(peer, 1.0)
        await peer.close()
        house.server.stop()
        await house.task
        last = read_progress(data / "agents" / "a")[-1]
        assert (last.steps, last.episodes, last.train.mean) == (6 * round, 2 * round, 2.0)


async def test_an_agent_that_was_deleted_stays_so(serve, tmp_path):
    house = await serve(data_dir=tmp_path)
    peer = await house.peer()
    await peer.hello()
    await episode(peer, 1.0)
    await house.server.progress.look(at_end=True)
    await peer.close()
    admin = await house.peer()
    await admin.hello("", role="admin")
    await until(lambda: not house.server.registry.loaded["a"].connected)
    await admin.say(m.Delete(agent="a"))
    assert isinstance(await admin.hear(), m.Deleted)
    await house.server.progress.look(at_end=True)
    assert not (tmp_path / "agents" / "a").exists()
    assert house.server.progress.logs == {}
