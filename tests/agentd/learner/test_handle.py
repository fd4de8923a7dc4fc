"""The server's handle on real learner processes: started, paced, asked, killed, stopped."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import uvloop

from agentd.learner.handle import LearnerFailed, LearnerHandle, LearnerLate, LearnerRefused
from agentd.store import list_checkpoints, read_checkpoint


def handle_for(agent: Any, **more: Any) -> LearnerHandle:
    return LearnerHandle(agent.folder, agent.ring, agent.board, agent.pace, **more)


@contextlib.asynccontextmanager
async def running(handle: LearnerHandle) -> AsyncIterator[LearnerHandle]:
    """Run the learner in a task group, as the server does; kill it at the end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(handle.run())
        try:
            await handle.ready()
            yield handle
        finally:
            task.cancel()


async def pace_through(agent: Any, handle: LearnerHandle, rows: int) -> None:
    while agent.ring.head < rows:
        assert await handle.published(agent.pace.required(agent.ring.head))
        agent.feed(agent.ring.head + 1)
        handle.wake()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_paced_agent_learns_through_the_handle_and_stops_with_a_checkpoint(make_agent):
    agent, seen = make_agent(), []
    handle = handle_for(agent, on_publication=lambda: seen.append(agent.board.newest))
    async with asyncio.TaskGroup() as group:
        group.create_task(handle.run())
        await handle.ready()
        assert (handle.state, handle.paces()) == ("running", True)
        await pace_through(agent, handle, 600)
        saved = await handle.stop()

    assert handle.state == "stopped"
    assert saved == handle.last_saved
    assert read_checkpoint(agent.folder / "checkpoints").name == saved.checkpoint
    assert saved.step >= agent.pace.required(599) + 1
    assert handle.stats()["checkpoint_step"] == saved.step
    assert seen
    assert agent.ring._file.durable.read().head == 600
    assert not handle.paces()
    with pytest.raises(LearnerFailed):
        await handle.save()


async def test_through_the_handle_the_same_seed_gives_the_same_weights(make_agent, whole):
    agent = make_agent()
    async with running(handle_for(agent)) as handle:
        await pace_through(agent, handle, 500)
        await handle.published(agent.pace.reached(500))
        assert agent.weights() == whole.weights()


async def test_a_killed_learner_is_started_again_and_the_waiting_server_gets_its_weights(
    make_agent, whole
):
    agent = make_agent(checkpoint={"every_updates": 20})
    async with running(handle_for(agent)) as handle:
        for rows in (200, 350, 500):
            await pace_through(agent, handle, rows)
            os.kill(handle.pid, signal.SIGKILL)
        await handle.published(agent.pace.reached(500))
        assert handle.restarts >= 2
        assert handle.state == "running"
        assert agent.weights() == whole.weights()


async def test_a_learner_that_hangs_is_started_again_and_what_waits_for_it_gets_its_weights(
    make_agent, whole
):
    agent = make_agent(checkpoint={"every_updates": 20})
    async with running(handle_for(agent, hang_s=1.0)) as handle:
        await pace_through(agent, handle, 200)
        os.kill(handle.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(LearnerFailed, match="it hung: no sign of life for 1"):
            await handle.save()
        assert time.monotonic() - began < 20
        await pace_through(agent, handle, 500)
        await handle.published(agent.pace.reached(500))
        assert (handle.state, handle.restarts, handle.failure) == ("running", 1, None)
        await asyncio.sleep(1.0)  # idle is not hanging
        assert handle.restarts == 1
    assert agent.weights() == whole.weights()


async def test_save_load_and_freeze(make_agent):
    agent = make_agent()
    async with running(handle_for(agent)) as handle:
        await pace_through(agent, handle, 200)
        first, second = await asyncio.gather(handle.save(), handle.save())
        assert first.checkpoint != second.checkpoint
        await pace_through(agent, handle, 300)
        loaded = await handle.load(first.checkpoint)
        assert loaded == first
        assert agent.board.newest.version == first.step
        with pytest.raises(LearnerRefused) as refused:
            await handle.load("000099-000000000001")
        assert refused.value.code == "UNKNOWN_CHECKPOINT"

        await handle.freeze(True)
        assert handle.frozen
        assert not handle.paces()
        assert handle.expect(10**6)
        assert not await handle.published(10**6)
        assert await handle.published(0)
        await handle.freeze(False)
        assert handle.paces()
        await pace_through(agent, handle, 400)


async def test_a_frozen_learner_is_known_to_be_frozen_after_a_restart(make_agent):
    agent = make_agent()
    async with running(handle_for(agent)) as handle:
        await handle.freeze(True)
    async with running(handle_for(agent)) as handle:
        assert handle.frozen


async def test_a_disk_that_refuses_is_told_and_nothing_stops(make_agent):
    agent = make_agent()
    async with running(handle_for(agent)) as handle:
        (agent.folder / "checkpoints").write_bytes(b"in the way")
        with pytest.raises(LearnerRefused) as refused:
            await handle.save()
        assert refused.value.code == "STORAGE_FAILED"
        assert handle.degraded
        await pace_through(agent, handle, 200)
        (agent.folder / "checkpoints").unlink()
        await handle.save()
        assert not handle.degraded


async def test_a_learner_that_can_never_run_fails_for_good_and_nobody_waits(make_agent):
    agent = make_agent()
    (agent.folder / "config.yaml").write_text("learner: dqn\nsead: 1\n")
    handle = handle_for(agent)
    async with asyncio.TaskGroup() as group:
        group.create_task(handle.run())
        with pytest.raises(LearnerFailed, match="sead"):
            await handle.ready()
        assert not await handle.published(0)
    assert (handle.state, handle.restarts) == ("failed", 0)
    assert handle.pid is None


async def test_what_was_asked_of_a_learner_that_dies_is_an_error_at_once(make_agent):
    agent = make_agent()
    async with running(handle_for(agent)) as handle:
        os.kill(handle.pid, signal.SIGSTOP)
        asked = asyncio.ensure_future(handle.save())
        await asyncio.sleep(0.05)
        os.kill(handle.pid, signal.SIGKILL)
        with pytest.raises(LearnerFailed):
            await asked
        with pytest.raises(LearnerFailed):  # and while there is none
            await handle.save()


async def test_a_learner_that_hangs_is_killed_when_its_time_is_up(make_agent):
    agent = make_agent()
    handle = handle_for(agent)
    async with asyncio.TaskGroup() as group:
        group.create_task(handle.run())
        await handle.ready()
        pid = handle.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(LearnerLate, match=r"did not answer save within 0\.1 s"):
            await handle.save(within_s=0.1)
        began = time.monotonic()
        assert await handle.stop(within_s=0.3) is None
    assert time.monotonic() - began < 20
    assert handle.state == "stopped"
    assert not alive(pid)


async def test_a_learner_that_is_not_ready_yet_is_not_waited_for(make_agent):
    agent = make_agent()
    for rows, due in ((50, False), (200, True)):
        agent.feed(rows)
        handle = handle_for(agent)
        async with asyncio.TaskGroup() as group:
            group.create_task(handle.run())
            while handle.pid is None:
                await asyncio.sleep(0.001)
            pid = handle.pid
            saved = await handle.stop(within_s=60.0)
        assert (saved is not None) == due  # what rows have earned is never mistaken for lost
        assert (handle.state, handle.lost_save, alive(pid)) == ("stopped", False, False)


async def test_stopping_between_two_starts_does_not_wait_for_the_next(make_agent):
    agent = make_agent()
    (agent.folder / "schema.json").write_text("{}")  # exit 74: tried again and again
    handle = handle_for(agent)
    async with asyncio.TaskGroup() as group:
        group.create_task(handle.run())
        while handle.restarts < 2:
            await asyncio.sleep(0.01)
        assert await handle.stop(save=False) is None
    assert handle.state == "stopped"


async def test_cancellation_leaves_no_process_and_no_descriptor(make_agent):
    agent = make_agent()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        async with running(handle_for(agent)) as handle:
            pid = handle.pid
            assert alive(pid)
        assert not alive(pid)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the loop's child watcher may keep one
    assert list_checkpoints(agent.folder / "checkpoints") == []


async def test_a_sleeping_learner_is_woken_by_one_notification(make_agent):
    agent, took = make_agent(), []
    async with running(handle_for(agent)) as handle:
        for due in range(0, 40, 4):
            while agent.board.wake_at != agent.pace.rows_at(due):
                await asyncio.sleep(0.001)
            agent.feed(agent.pace.rows_at(due + 3))
            began = time.monotonic()
            handle.wake()
            handle.wake()
            assert await handle.published(due + 3)
            took.append(time.monotonic() - began)
    assert min(took) < 0.2  # the nap that makes up for a lost notification is longer


def test_on_uvloop_too(make_agent):
    agent = make_agent()

    async def main() -> None:
        async with running(handle_for(agent)) as handle:
            await pace_through(agent, handle, 200)
            os.kill(handle.pid, signal.SIGKILL)
            await pace_through(agent, handle, 400)
            assert (await handle.stop()).step > 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert np.isfinite(np.frombuffer(agent.weights()[0], np.float32)).all()
