"""What the page on the HTTP port is told: the daemon, one agent closely, and its past as columns.

Everything is read where it is kept. What touches the disk or takes long runs in a thread.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from agentd import __version__
from agentd.auth import Grant
from agentd.errors import StorageError
from agentd.protocol import messages as m
from agentd.protocol.errors import ProtocolError
from agentd.server.agents.progress import ProgressKeeper
from agentd.server.agents.registry import Registry
from agentd.server.peers.operations import operate
from agentd.server.stats import Statistics
from agentd.store import EpisodeSummary, ProgressPoint, describe_checkpoints, read_progress

TELL_S = 1.0
"""Between two tellings."""
STREAM_S = 60.0
"""How long one stream of events lives; the page then asks for the next."""
LOOK_S = 5.0
"""Between two looks at files: which agents and checkpoints there are."""
MOST_SESSIONS = 50
"""Sessions of an agent that are told of."""
LATENCY_MS = (
    *(0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0),
    *(50.0, 100.0, 200.0, 500.0, 1000.0),
)
Row = dict[str, float | None]


class Board:
    """Reads the daemon for its page, and does what its buttons ask.

    stats  the counters; ``ready`` is True while games are accepted
    """

    def __init__(
        self,
        registry: Registry,
        stats: Statistics,
        progress: ProgressKeeper,
        ready: Callable[[], bool],
    ) -> None:
        self.stats, self.ready = stats, ready
        self._registry, self._progress = registry, progress
        self._began = time.monotonic()

    async def operate(self, grant: Grant, operation: m.Operation) -> m.ServerMessage:
        """Do one operation. Raises ProtocolError."""
        return await operate(grant, operation, self._registry, self.stats.reply)

    async def events(self, name: str | None, grant: Grant) -> AsyncIterator[bytes]:
        """Server-sent events about the daemon and the agent ``name``, for a minute at most.

        state   all counters, each second
        agent   configuration, checkpoints and sessions of the agent
        points  its past: columns by name, either all of it (``whole``) or what is new
        """
        past, looked = _Past(), -LOOK_S
        end = time.monotonic() + STREAM_S
        while self.ready() and time.monotonic() < end:
            yield _event("state", self._state(name, grant))
            if name is not None:
                now = time.monotonic()
                if looks := now - looked >= LOOK_S:
                    looked = now
                    yield _event("agent", await self._agent(name))
                points = await self._points(name, looks)
                if points is not None and (news := await asyncio.to_thread(past.news, points)):
                    yield _event("points", {"agent": name, **news})
            await asyncio.sleep(TELL_S)

    def _state(self, name: str | None, grant: Grant) -> dict[str, Any]:
        latency = self.stats.latency_of(name) if name is not None else self.stats.act_latency
        counts = latency.cumulative([each / 1e3 for each in LATENCY_MS])
        return {
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "may_operate": grant >= Grant.ADMIN,
            "server": self.stats.totals(),
            "agents": self.stats.agents(),
            "stored": self._registry.stored.names(),
            "latency": {"at_most_ms": LATENCY_MS, "frames": [*counts, latency.n]},
        }

    async def _agent(self, name: str) -> dict[str, Any]:
        """What is known of an agent; an ``error`` in place of what could not be read."""
        try:
            info = await self._registry.info(name)
        except ProtocolError as fault:
            return {"agent": name, "error": fault.message}
        agent = self._registry.loaded.get(name)
        found = [] if agent is None else list(agent.sessions.values())
        folder = self._registry.stored.folder(name) / "checkpoints"
        names = info.pop("checkpoints")
        return {
            "agent": name,
            **info,
            "checkpoints": await asyncio.to_thread(describe_checkpoints, folder, names),
            "clients": [
                {
                    "client": session.client,
                    "role": session.role,
                    "streams": session.streams,
                    "frames": session.last_seq,
                    "connected": session.peer is not None,
                }
                for session in found[:MOST_SESSIONS]
            ],
        }

    async def _points(self, name: str, looks: bool) -> Sequence[ProgressPoint] | None:
        """An agent's past; of one that is not in memory, as it is on disk, where it ``looks``."""
        log = self._progress.logs.get(name)
        if log is not None:
            return log.points
        if not looks or name in self._registry.loaded or not self._registry.stored.has(name):
            return None
        try:
            return await asyncio.to_thread(read_progress, self._registry.stored.folder(name))
        except StorageError:
            return None


class _Past:
    """What of an agent's past one page was told."""

    def __init__(self) -> None:
        self._newest: ProgressPoint | None = None

    def news(self, points: Sequence[ProgressPoint]) -> dict[str, Any] | None:
        """What is new, if anything is; the whole where points were joined or begun anew."""
        newest, self._newest = self._newest, points[-1] if points else None
        known = [at for at in range(len(points) - 1, -1, -1) if points[at] == newest][:1]
        if newest is None or not known:
            return {"whole": True, "columns": columns(points)} if points or newest else None
        new = points[known[0] + 1 :]
        return {"whole": False, "columns": columns(new)} if new else None


def columns(points: Sequence[ProgressPoint]) -> dict[str, list[float | None]]:
    """Points as columns by name, as long as there are points; None where one has no number."""
    rows = [_row(point) for point in points]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _row(point: ProgressPoint) -> Row:
    row: Row = {
        "time": point.time,
        "steps": point.steps,
        "episodes": point.episodes,
        "updates": point.updates,
    }
    for role, summary in (("train", point.train), ("eval", point.eval)):
        if summary is not None:
            row |= _episodes(role, summary)
    row |= point.figures
    return row | {f"log.{name}": value for name, value in point.log.items()}


def _episodes(role: str, summary: EpisodeSummary) -> Row:
    numbers = {
        "ended": summary.ended,
        "mean": summary.mean,
        "std": summary.std,
        "low": summary.low,
        "high": summary.high,
        "length": summary.length,
        "success": summary.success_rate,
    }
    known = ((name, value) for name, value in numbers.items() if value is not None)
    return {f"{role}.{name}": float(f"{value:.6g}") for name, value in known}


def _event(kind: str, facts: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(facts))
