"""Keeps how every agent does over time: once a second a look, now and then a point on disk.

Looking costs the event loop some microseconds an agent; files are written in a thread. What a
further process of the daemon plays is not seen here: those agents do not learn.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentd.errors import StorageError
from agentd.server.agents.agent import Agent
from agentd.store.progress import EpisodeSummary, ProgressLog, ProgressPoint, bounded_log

log = logging.getLogger("agentd.progress")

LOOK_S = 1.0
_FIGURES = (
    *("epsilon", "loss", "q_mean", "return_mean", "eval_return_mean", "success_rate"),
    *("eval_success_rate", "length_mean", "lr", "policy_lag", "updates_per_row"),
    *("held_out_gap", "steps_per_second"),
    *("q_followed", "return_followed"),
)
"""What a point keeps of an agent's numbers."""

Listener = Callable[[str, Sequence[ProgressPoint]], None]
"""Takes an agent's name and its points, the newest last. Raises StorageError."""


class ProgressKeeper:
    """The progress of all agents in memory, by name; and of those only.

    logs      the points of each, see `ProgressLog`
    listener  is called with each new point, in the thread that writes it
    """

    def __init__(
        self, agents: Callable[[], Mapping[str, Agent]], listener: Listener | None = None
    ) -> None:
        self.listener = listener
        self._agents = agents
        self._watched: dict[str, _Watched] = {}

    @property
    def logs(self) -> dict[str, ProgressLog]:
        """The points of every agent in memory, by name."""
        return {name: watched.log for name, watched in self._watched.items()}

    async def keep(self) -> None:
        """Look once a second, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self, *, at_end: bool = False) -> None:
        """Look at every agent; ``at_end`` keeps a point of all that happened, due or not."""
        agents = dict(self._agents())
        for name, watched in list(self._watched.items()):
            if agents.get(name) is not watched.agent:  # unloaded, deleted or made anew
                del self._watched[name]
                if watched.log.path.exists():
                    await self._write(watched, at_end=True)
        for name, agent in agents.items():
            if name not in self._watched:
                found = await asyncio.to_thread(_open, agent)
                self._watched[name] = _Watched(agent, found)
            await self._write(self._watched[name], at_end)

    async def _write(self, watched: "_Watched", at_end: bool) -> None:
        point = watched.look(time.time(), at_end)
        if point is None:
            return
        name = watched.agent.name

        def write() -> None:
            try:
                watched.log.add(point)
                if self.listener is not None:
                    self.listener(name, watched.log.points)
                watched.trouble = ""
            except StorageError as fault:
                if watched.trouble != str(fault):
                    log.warning("progress is not kept agent=%s %s", name, fault)
                watched.trouble = str(fault)

        await asyncio.to_thread(write)


class _Watched:
    """One agent, its points, and what happened since the last one."""

    def __init__(self, agent: Agent, points: ProgressLog) -> None:
        self.agent, self.log, self.trouble = agent, points, ""
        last = points.points[-1] if points.points else ProgressPoint(time=0.0, steps=0)
        self._before = last  # of an agent that only plays, its counts begin here
        self._seen = (time.time(), self._steps())  # when it was last looked at, and its steps then
        self._begun, self._busy_s = self._seen[1], 0.0  # steps at the last point; time with steps
        self._ended: dict[str, EpisodeSummary | None] = {"train": None, "eval": None}

    def look(self, now: float, at_end: bool) -> ProgressPoint | None:
        """The point that is due at ``now``, seconds since 1970; None where nothing happened."""
        for role, tally in self.agent.returns.tallies.items():
            before, found = self._ended[role], tally.take()
            self._ended[role] = before.join(found) if before and found else before or found
        (then, before_now), self._seen = self._seen, (now, self._steps())
        if self._seen[1] != before_now:
            self._busy_s += max(0.0, now - then)
        if not (at_end or self.log.is_due(now)):
            return None
        point = self._point(now)
        last = self.log.points[-1] if self.log.points else self._before
        same = (point.steps, point.updates) == (last.steps, last.updates)
        if same and point.train is None and point.eval is None:
            return None
        self._ended = {"train": None, "eval": None}
        self._begun, self._busy_s = point.steps, 0.0
        return point

    def _point(self, now: float) -> ProgressPoint:
        agent, learning = self.agent, self.agent.learning
        if learning is None:
            episodes, updates = self._before.episodes + agent.returns.episodes["train"], 0
        else:
            episodes, updates = learning.ring.counters.episodes, learning.updates
        return ProgressPoint(
            time=round(now, 3),
            steps=self._steps(),
            episodes=episodes,
            updates=updates,
            train=self._ended["train"],
            eval=self._ended["eval"],
            figures=_figures(agent, self._speed()),
            log=bounded_log(agent.log.values),
        )

    def _speed(self) -> float | None:
        """Steps a second since the last point, while there were any; None where there were none."""
        return (self._steps() - self._begun) / self._busy_s if self._busy_s else None

    def _steps(self) -> int:
        learning = self.agent.learning
        if learning is None:
            return self._before.steps + self.agent.counters.rows
        return learning.env_steps


def _open(agent: Agent) -> ProgressLog:
    try:
        return ProgressLog.open(agent.checkpoints.parent)
    except StorageError as fault:
        log.warning("progress is not read agent=%s %s", agent.name, fault)
        return ProgressLog(agent.checkpoints.parent)


def _figures(agent: Agent, speed: float | None) -> dict[str, float]:
    """The agent's numbers that are known now; ``speed`` in steps a second."""
    found: dict[str, Any] = {**agent.returns.stats(), "length_mean": agent.returns.length_mean}
    found["steps_per_second"] = speed
    if agent.learning is not None:
        found |= agent.learning.stats()
        found["epsilon"] = agent.actor.epsilon(agent.learning.env_steps)
        found |= agent.responder.followed_stats()
    known = ((name, found.get(name)) for name in _FIGURES)
    return {
        name: float(f"{value:.6g}")
        for name, value in known
        if isinstance(value, int | float) and math.isfinite(value)
    }
