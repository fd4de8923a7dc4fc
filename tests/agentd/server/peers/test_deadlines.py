"""What a hello asks of the scheduler: answers in time though learning is late, and bulk last."""

import asyncio
import os
import signal
import time

import numpy as np

from agentd.protocol import messages as m

FIRST, MID = 0, 1
PACED = {
    "learner": "dqn",
    "model": {"layers": [{"dense": 8}, "relu"]},
    "dqn": {"batch": 8},
    "pace": {"mode": "paced", "learn_start": 32, "train_every": 4},
}


async def until_learning(house, peer) -> None:
    """Play until the learner has made updates, so that the pace is what it waits for."""
    await peer.step([FIRST] * 4)
    while not (house.server.stats.agents("a")["a"].get("updates") or 0):
        assert isinstance(await peer.step([MID] * 4, np.ones((4, 4))), m.ActReply)


async def test_a_stated_deadline_is_kept_though_the_learner_stands_still(serve):
    house = await serve(PACED)
    peer = await house.peer()
    await peer.hello(deadline_ms=200)
    await until_learning(house, peer)
    agent = house.server.registry.loaded["a"]
    learner = agent.learning.handle.pid
    os.kill(learner, signal.SIGSTOP)
    try:
        before = agent.counters.overdue_frames
        versions = []
        for _ in range(6):  # two periods are answered with what is published; then it is late
            act = await peer.step([MID] * 4, np.ones((4, 4)))
            assert isinstance(act, m.ActReply)
            versions.append(act.version)
        assert agent.counters.overdue_frames > before
        assert agent.stats()["overdue_frames"] == agent.counters.overdue_frames
        assert versions[-1] == versions[-2] == agent.actor.version  # the last policy's answer
    finally:
        os.kill(learner, signal.SIGCONT)
    rows = agent.learning.head
    assert isinstance(await peer.step([MID] * 4, np.ones((4, 4))), m.ActReply)
    assert agent.learning.head == rows + 4


async def test_without_a_deadline_paced_frames_wait_for_the_learner(serve):
    house = await serve(PACED)
    peer = await house.peer()
    await peer.hello()
    await until_learning(house, peer)
    agent = house.server.registry.loaded["a"]
    os.kill(agent.learning.handle.pid, signal.SIGSTOP)
    try:
        answered = 0
        try:
            async with asyncio.timeout(1.0):
                while answered < 10:
                    await peer.step([MID] * 4, np.ones((4, 4)))
                    answered += 1
        except TimeoutError:
            pass
        assert answered < 10
        assert agent.queue.frames == 1
        assert agent.counters.overdue_frames == 0
    finally:
        os.kill(agent.learning.handle.pid, signal.SIGCONT)
    assert isinstance(await peer.hear(), m.ActReply)


async def test_a_realtime_answer_comes_before_bulk_that_was_there_first(serve):
    house = await serve(max_rows=4096, max_streams=4096)
    bulk, game = await house.peer(), await house.peer()
    await bulk.hello(role="play", streams=4096, priority="bulk")
    await game.hello(role="play", streams=1)
    agent = house.server.registry.loaded["a"]
    groups = []
    answer = agent.responder.answer_as_batch

    def watched(group) -> None:
        groups.append([frame.rows for frame in group])
        answer(group)

    agent.responder.answer_as_batch = watched

    for peer, rows in ((bulk, 4096), (game, 1)):  # both in one turn of the loop, bulk first
        (session,) = (s for s in agent.sessions.values() if s.streams == rows)
        agent.take(session, peer.frame([FIRST] * rows), time.monotonic())
    assert isinstance(await game.hear(), m.ActReply)
    assert isinstance(await bulk.hear(), m.ActReply)
    assert groups == [[1], [4096]]
