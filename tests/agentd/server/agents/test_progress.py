"""What the daemon keeps of its agents over time, seen on disk."""

import asyncio

import msgspec
import pytest

from agentd.protocol import messages as m
from agentd.server.agents.events import EventFolder
from agentd.store import ProgressPoint, read_progress

from ...event_files import read_events
from ..conftest import server_config

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
    assert last.figures["return_followed"] == 2.99  # of 2 + 0.99 * 2, and of 2
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


async def test_event_files_have_the_tags_that_people_know(serve, tmp_path):
    board, data = tmp_path / "board", tmp_path / "data"
    config = msgspec.structs.replace(server_config(SMALL), tensorboard=str(board))
    house = await serve(config=config, data_dir=data)
    peer = await house.peer()
    await peer.hello(protocol=(1, 2))
    await house.server.progress.look()
    await peer.say(m.Log(values={"lap_s": 41.5}))
    for kind in (FIRST, MID, TERMINATED):
        won = bytes([1]) if kind == TERMINATED else None
        await peer.step([kind], reward=[0.0 if kind == FIRST else 3.0], success=won)
    watcher = await house.peer()
    await watcher.hello(role="eval")
    await episode(watcher, -1.0, streams=1)
    await house.server.progress.look(at_end=True)

    (file,) = (board / "a").glob("events.out.tfevents.*")
    events = [scalars for _, scalars in read_events(file)]
    found = {tag: value for scalars in events for tag, value in scalars.items()}
    assert (
        found.items()
        >= {
            "rollout/ep_rew_mean": 6.0,
            "rollout/ep_len_mean": 2.0,
            "rollout/success_rate": 1.0,
            "eval/mean_reward": -2.0,
            "game/lap_s": 41.5,
            "time/total_timesteps": 2.0,
            "time/episodes": 1.0,
            "train/n_updates": 0.0,
        }.items()
    )
    assert found["time/fps"] > 0
    assert 0.9 < found["rollout/exploration_rate"] <= 1


def points(*steps: int, since: float = 0.0) -> list[ProgressPoint]:
    figures = {"loss": 0.5, "lr": 0.25}
    return [ProgressPoint(time=since + at, steps=at, figures=figures) for at in steps]


def steps_in(folder) -> list[list[int]]:
    files = sorted(folder.glob("events.out.tfevents.*"))
    return [[step for step, _ in read_events(file)] for file in files]


def test_event_files_begin_with_what_is_known_and_anew_after_a_reset(tmp_path):
    folder = EventFolder(tmp_path)
    folder.write("a", points(1, 2))
    folder.write("a", points(1, 2, 5))
    assert steps_in(tmp_path / "a") == [[1, 2, 5]]
    folder.write("a", points(1, since=9.0))
    folder.write("a", points(1, 4, since=9.0))
    assert steps_in(tmp_path / "a" / "2") == [[1, 4]]
    assert (
        next(iter(read_events(next((tmp_path / "a").glob("events*")))))[1].items()
        >= {
            "train/loss": 0.5,
            "train/learning_rate": 0.25,
        }.items()
    )

    again = EventFolder(tmp_path)
    again.write("a", points(1, 4, 7, since=99.0))
    assert sorted(steps_in(tmp_path / "a" / "2")) == [[1, 4], [7]]


def test_tensorboard_itself_loads_the_event_files(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="pip install tensorboard"
    )
    EventFolder(tmp_path).write("a", points(1, 2, 8))
    loaded = accumulator.EventAccumulator(str(tmp_path / "a"))
    loaded.Reload()
    assert [(e.step, e.value) for e in loaded.Scalars("train/loss")] == [
        (1, 0.5),
        (2, 0.5),
        (8, 0.5),
    ]
