"""What may be seen of a daemon: counters and latencies, over all its agents and processes."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from agentd.latency import Histogram, Sizes
from agentd.protocol.messages import StatsReply
from agentd.server.agents.health import ONLY_PLAYS, UNWELL
from agentd.server.agents.registry import Registry
from agentd.server.batching.answers import Counters
from agentd.server.peers.connections import Connections
from agentd.server.reports import Reports

ELSEWHERE = {"learner": "none", **ONLY_PLAYS._asdict()}
"""What is known here of an agent that further processes play."""


class Statistics:
    """Reads the counters where they are kept; keeps none but the event loop's lag.

    loop_lag  how late the event loop came to what was due, seconds
    """

    def __init__(self, registry: Registry, connections: Connections, reports: Reports) -> None:
        self.loop_lag = Histogram()
        self._registry, self._connections, self._reports = registry, connections, reports

    @property
    def act_latency(self) -> Histogram:
        """From a frame's arrival to its answer written, over all agents, seconds."""
        merged = Histogram()
        merged.merge(self._registry.retired)
        for agent in self._registry.loaded.values():
            merged.merge(agent.counters.latency)
        merged.merge(self._reports.counters().latency)
        return merged

    def latency_of(self, name: str) -> Histogram:
        """From a frame's arrival to its answer written, of one agent, seconds."""
        merged = self._reports.latency(name)
        if (agent := self._registry.loaded.get(name)) is not None:
            merged.merge(agent.counters.latency)
        return merged

    def refusals(self) -> Counter[str]:
        """Errors that peers were sent, by code."""
        return self._connections.refused + self._reports.refused()

    def batch_sizes(self) -> Mapping[str, Sizes]:
        """Rows of one forward pass, by agent."""
        return {name: agent.counters.batch for name, agent in self._registry.loaded.items()}

    def unwell(self) -> list[str]:
        """Names of the agents that are degraded or paused."""
        agents = self._registry.loaded.items()
        return [name for name, agent in agents if agent.condition().state in UNWELL]

    def totals(self) -> dict[str, float]:
        """Counters of the whole daemon."""
        latency, agents = self.act_latency, self._registry.loaded.values()
        connections, total = self._connections, self._reports.total
        return {
            "connections": len(connections) + total("connections"),
            "accepted": connections.accepted + total("accepted"),
            "refusals": connections.refusals + total("refusals"),
            "agents": len(self._registry.loaded),
            "unwell_agents": len(self.unwell()),
            "worker_restarts": self._reports.restarts,
            "act_p50_ms": round(1e3 * latency.quantile(0.5), 4),
            "act_p99_ms": round(1e3 * latency.quantile(0.99), 4),
            "act_p999_ms": round(1e3 * latency.quantile(0.999), 4),
            "loop_lag_p50_ms": round(1e3 * self.loop_lag.quantile(0.5), 4),
            "loop_lag_p99_ms": round(1e3 * self.loop_lag.quantile(0.99), 4),
            "queued_frames": sum(agent.queue.frames for agent in agents),
            "queued_rows": sum(agent.queue.rows for agent in agents),
        }

    def agents(self, name: str | None = None) -> dict[str, dict[str, Any]]:
        """Counters of one agent, or of all that are in memory. Raises UNKNOWN_AGENT.

        Of an agent that is not in memory there are no counters, only facts.
        """
        elsewhere, loaded = self._reports.agents(), self._registry.loaded
        if name is not None and name not in elsewhere and name not in loaded:
            return {name: self._registry.facts(name) | {"connections": 0}}
        found = {}
        for each in dict.fromkeys([*loaded, *elsewhere]) if name is None else [name]:
            agent = loaded.get(each)
            own = ELSEWHERE if agent is None else agent.stats()
            if each in elsewhere:
                counters = Counters() if agent is None else agent.counters
                own = self._reports.merged(each, own, counters)
            found[each] = {key: _finite(value) for key, value in own.items()}
        return found

    def reply(self, agent: str | None) -> StatsReply:
        """The answer to a `stats` operation. Raises UNKNOWN_AGENT."""
        return StatsReply(server=self.totals(), agents=self.agents(agent))


def _finite(value: Any) -> Any:
    """A number that JSON can carry; None for NaN and the infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
