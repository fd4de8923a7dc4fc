"""What the further serving processes of a daemon reported last, added up."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from agentd.latency import Histogram
from agentd.server.batching.answers import Counters

_SUMS = (
    *("sessions", "connections", "queued_rows", "queued_frames"),
    *("log_messages", "log_dropped"),
)


class Reports:
    """The newest report of each further process, by its number; empty in a daemon of one."""

    def __init__(self) -> None:
        self._newest: dict[int, Mapping[str, Any]] = {}
        self.restarts = 0  # how often a further process was started again

    def put(self, number: int, report: Mapping[str, Any]) -> None:
        """Keep what process ``number`` reports in place of what it reported before."""
        self._newest[number] = report

    def drop(self, number: int) -> None:
        """Forget a process that has ended."""
        self._newest.pop(number, None)

    def connections(self, agent: str) -> int:
        """Connections that play an agent elsewhere, a quarter of a second ago."""
        return sum(share["connections"] for share in self._shares(agent))

    def total(self, key: str) -> int:
        """The sum of one of the counters ``connections``, ``accepted`` and ``refusals``."""
        return sum(report.get(key, 0) for report in self._newest.values())

    def refused(self) -> Counter[str]:
        """Errors that peers were sent elsewhere, by code."""
        out: Counter[str] = Counter()
        for report in self._newest.values():
            out.update(report.get("refused", {}))
        return out

    def counters(self) -> Counters:
        """What the processes have answered, of all agents."""
        out = Counters()
        for report in self._newest.values():
            for share in report.get("agents", {}).values():
                out.add(share["counters"])
        return out

    def latency(self, agent: str) -> Histogram:
        """How long an agent's frames took elsewhere, seconds."""
        out = Histogram()
        for share in self._shares(agent):
            out.add_share(share["counters"]["latency"])
        return out

    def merged(self, agent: str, own: Mapping[str, Any], counters: Counters) -> dict[str, Any]:
        """An agent's stats over this process and all others; ``counters`` are this one's."""
        merged = Counters()
        merged.add(counters.share())
        out = dict(own)
        for share in self._shares(agent):
            merged.add(share["counters"])
            for key in _SUMS:
                out[key] = out.get(key, 0) + share[key]
            out["log"] = {**share["log"], **out.get("log", {})}
            out["clients"] = dict(Counter(out.get("clients", {})) + Counter(share["clients"]))
        return out | merged.stats()

    def agents(self) -> set[str]:
        """Names of the agents that a further process plays."""
        return {name for report in self._newest.values() for name in report.get("agents", {})}

    def _shares(self, agent: str) -> list[Mapping[str, Any]]:
        found = [report.get("agents", {}).get(agent) for report in self._newest.values()]
        return [share for share in found if share is not None]
