"""Every agent is flushed once a turn of the event loop."""

import asyncio

from agentd.server.batching.flush_queue import FlushQueue


class Agent:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def flush(self) -> None:
        self.log.append(self.name)


async def test_an_agent_is_flushed_once_a_turn_in_the_order_of_asking():
    log: list[str] = []
    queue, a, b = FlushQueue(), Agent(log, "a"), Agent(log, "b")
    for agent in (b, a, b):
        queue.soon(agent)
    assert log == []
    await asyncio.sleep(0)
    assert log == ["b", "a"]
    await asyncio.sleep(0)
    assert log == ["b", "a"]


async def test_a_flush_may_ask_for_the_next_turn():
    log: list[str] = []
    queue = FlushQueue()

    class Again(Agent):
        def flush(self) -> None:
            super().flush()
            if len(log) < 3:
                queue.soon(self)

    queue.soon(Again(log, "a"))
    for _ in range(4):
        await asyncio.sleep(0)
    assert log == ["a"] * 3


async def test_later_comes_after_its_time():
    log: list[str] = []
    queue = FlushQueue()
    queue.later(Agent(log, "a"), 0.01)
    await asyncio.sleep(0)
    assert log == []
    await asyncio.sleep(0.05)
    assert log == ["a"]
