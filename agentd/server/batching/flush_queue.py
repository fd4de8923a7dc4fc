"""Agents that are to answer their waiting frames, at the end of this turn of the loop or later."""

import asyncio
from typing import Protocol


class Flushable(Protocol):
    """What can answer everything that waits in it."""

    def flush(self) -> None:
        """Answer what may be answered; raise nothing."""


class FlushQueue:
    """Flushes each agent once a turn of the event loop, after every ready socket was read."""

    def __init__(self) -> None:
        self._due: list[Flushable] = []

    def soon(self, agent: Flushable) -> None:
        """Flush ``agent`` once every socket that is ready in this turn has been read."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        if agent not in self._due:
            self._due.append(agent)

    def later(self, agent: Flushable, seconds: float) -> None:
        """Flush ``agent`` after ``seconds``: for a deadline, or a notification that was lost."""
        asyncio.get_running_loop().call_later(seconds, self.soon, agent)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for agent in due:
            agent.flush()
