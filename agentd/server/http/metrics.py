"""The daemon's counters as Prometheus wants them: base units, `_total` on counters, a HELP each.

Labels are `agent`, its `state`, the `name` of a number that its games log (at most 256), and the
`code` of a refusal. Sessions, peers and runs are none: there is no bound on them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agentd import __version__
from agentd.latency import Histogram
from agentd.protocol.codec import PROTOCOLS
from agentd.server.agents.health import STATES
from agentd.server.stats import Statistics

LATENCY_BOUNDS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0]
BATCH_BUCKETS = 14  # up to 8,192 rows


class _Shown(NamedTuple):
    """A number of `stats` as a metric: agentd_<name> or agentd_agent_<name>, and what it is."""

    key: str
    name: str
    help: str


_DAEMON_GAUGES = (
    _Shown("connections", "connections", "Connections that are open now."),
    _Shown("agents", "agents", "Agents in memory."),
    _Shown("unwell_agents", "unwell_agents", "Agents that are degraded or paused."),
    _Shown("queued_frames", "queued_frames", "Frames that wait for an answer, all agents."),
    _Shown("queued_rows", "queued_rows", "Rows that wait for an answer, all agents."),
)
_DAEMON_COUNTERS = (
    _Shown("accepted", "connections_accepted", "Sockets taken on the game ports."),
    _Shown("worker_restarts", "worker_restarts", "Further serving processes started again."),
)
_COUNTERS = (
    _Shown("env_steps", "env_steps", "Rows of training that got an action, over all runs."),
    _Shown("episodes", "episodes", "Training episodes that ended, over all runs."),
    _Shown("updates", "updates", "Updates that the learner has made, over all runs."),
    _Shown("frames", "frames", "Step and teach frames answered."),
    _Shown("rows", "rows", "Rows answered."),
    _Shown("refused_frames", "refused_frames", "Frames that broke a rule and were refused."),
    _Shown("overdue_frames", "overdue_frames", "Frames answered late, with older weights."),
    _Shown("learner_restarts", "learner_restarts", "Learner processes started again."),
    _Shown("lost_rows", "lost_rows", "Rows answered and not kept: the disk refused them."),
    _Shown("log_messages", "log_messages", "Messages of game logs kept."),
    _Shown("log_dropped", "log_dropped", "Messages of game logs dropped: too many a second."),
    _Shown(
        "updates_forgotten",
        "updates_forgotten",
        "Updates that were owed for more than a second (live).",
    ),
)
_GAUGES = (
    _Shown("return_mean", "return_mean", "Mean return of the last 100 training episodes."),
    _Shown("eval_return_mean", "eval_return_mean", "The same of evaluation episodes."),
    _Shown(
        "success_rate",
        "success_rate",
        "Share of won ones among the last 100 training episodes whose game said so.",
    ),
    _Shown("eval_success_rate", "eval_success_rate", "The same of evaluation episodes."),
    _Shown("epsilon", "epsilon", "Share of actions drawn at random."),
    _Shown("loss", "loss", "The loss of the newest update."),
    _Shown("q_mean", "q_mean", "Mean value of the actions in the newest update."),
    _Shown("lr", "learning_rate", "The step size of the newest update."),
    _Shown("version", "weights_version", "Updates behind the weights that act now."),
    _Shown(
        "policy_lag", "policy_lag_updates", "Updates that the learner is ahead of acting weights."
    ),
    _Shown("checkpoint_step", "checkpoint_updates", "Updates behind the newest checkpoint."),
    _Shown("rows_kept", "replay_rows", "Rows in the replay memory."),
    _Shown("queued_rows", "queued_rows", "Rows that wait for an answer."),
    _Shown("queued_frames", "queued_frames", "Frames that wait for an answer."),
    _Shown("sessions", "sessions", "Sessions, those that wait for a resume included."),
    _Shown("connections", "connections", "Connections that play it now."),
    _Shown("updates_per_row", "updates_per_row", "Updates that the next row is worth (live)."),
    _Shown("rows_per_second", "rows_per_second", "Rows a second that came lately (live)."),
    _Shown(
        "possible_updates_per_second",
        "possible_updates_per_second",
        "Updates a second that the learner could make (live).",
    ),
    _Shown("updates_owed", "updates_owed", "Updates that are due now (live)."),
    _Shown(
        "held_out_gap",
        "held_out_gap",
        "Squared TD error on held-out rows less that on trained ones, in units of the targets' "
        "variance (live).",
    ),
)


def make_metrics(stats: Statistics) -> Callable[[str], tuple[bytes, str]]:
    """A function from an Accept header to the text of all metrics and its media type."""
    registry = CollectorRegistry()
    registry.register(_Metrics(stats))
    ProcessCollector(registry=registry)

    def render(accept: str) -> tuple[bytes, str]:
        encode, media = choose_encoder(accept)
        return encode(registry), media

    return render


class _Metrics(Collector):
    """Reads the daemon's counters at scrape time; keeps none of its own."""

    def __init__(self, stats: Statistics) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Any]:
        yield from _daemon(self._stats)
        agents = self._stats.agents()
        for shown, family in ((_COUNTERS, CounterMetricFamily), (_GAUGES, GaugeMetricFamily)):
            for key, name, text in shown:
                metric = family(f"agentd_agent_{name}", text, labels=["agent"])
                for agent, values in agents.items():
                    if isinstance(values.get(key), int | float):
                        metric.add_metric([agent], values[key])
                yield metric
        yield _batches(self._stats)
        yield _states(agents)
        yield _logged(agents)


def _daemon(stats: Statistics) -> Iterator[Any]:
    """What is known of the daemon as a whole."""
    facts = {"version": __version__, "protocol": str(PROTOCOLS[1])}
    yield InfoMetricFamily("agentd_build", "The program and the newest protocol it speaks.", facts)
    totals = stats.totals()
    for shown, family in (
        (_DAEMON_GAUGES, GaugeMetricFamily),
        (_DAEMON_COUNTERS, CounterMetricFamily),
    ):
        for key, name, text in shown:
            yield family(f"agentd_{name}", text, value=totals[key])
    refusals = CounterMetricFamily("agentd_refusals", "Errors sent to peers.", labels=["code"])
    for code, count in stats.refusals().items():
        refusals.add_metric([code], count)
    yield refusals
    yield _seconds(
        "agentd_act_latency_seconds",
        "From a step frame's arrival to its act written.",
        stats.act_latency,
    )
    yield _seconds("agentd_loop_lag_seconds", "How late the event loop is.", stats.loop_lag)


def _batches(stats: Statistics) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "agentd_agent_batch_rows", "Rows of one forward pass.", labels=["agent"]
    )
    for name, sizes in stats.batch_sizes().items():
        buckets = [(str(float(end)), float(n)) for end, n in sizes.cumulative(BATCH_BUCKETS)]
        family.add_metric([name], [*buckets, ("+Inf", float(sizes.n))], float(sizes.total))
    return family


def _states(agents: Mapping[str, Mapping[str, Any]]) -> GaugeMetricFamily:
    """One sample for each agent and each state: 1 for the one that it is in."""
    family = GaugeMetricFamily(
        "agentd_agent_state", "1 for the state that the agent is in.", labels=["agent", "state"]
    )
    for name, values in agents.items():
        for state in STATES:
            family.add_metric([name, state], float(values["state"] == state))
    return family


def _logged(agents: Mapping[str, Mapping[str, Any]]) -> GaugeMetricFamily:
    """The newest number under each name that a game logs under."""
    family = GaugeMetricFamily(
        "agentd_agent_log", "The newest number that its games log.", labels=["agent", "name"]
    )
    for agent, values in agents.items():
        for name, value in values.get("log", {}).items():
            family.add_metric([agent, name], value)
    return family


def _seconds(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    counts = histogram.cumulative(LATENCY_BOUNDS_S)
    buckets = [(str(b), float(n)) for b, n in zip(LATENCY_BOUNDS_S, counts, strict=True)]
    family = HistogramMetricFamily(name, text)
    family.add_metric([], [*buckets, ("+Inf", float(histogram.n))], histogram.total)
    return family
