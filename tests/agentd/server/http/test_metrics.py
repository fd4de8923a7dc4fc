"""`/metrics` by Prometheus' own parsers and naming rules, and the queries of the dashboard."""

import json
import re
from pathlib import Path

import pytest

from agentd import __version__
from agentd.protocol import messages as m

from .test_http import config, get

pytest.importorskip("prometheus_client", reason="pip install prometheus-client")
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_plain

from agentd.server.http.metrics import make_metrics

DASHBOARD = Path(__file__).resolve().parents[4] / "docs" / "grafana" / "agentd.json"
FIRST, MID, TERMINATED = 0, 1, 2
OPEN = "application/openmetrics-text; version=1.0.0"
NOT_BASE = ("_ms", "_milliseconds", "_minutes", "_kb", "_mb", "_kilobytes", "_percent")
LABELS = {"agent", "state", "name", "code", "le", "version", "protocol"}


def findings(text: str) -> list[str]:
    """What `promtool check metrics` would name in a plain text, and more than it."""
    found = []
    helps = re.findall(r"^# HELP (\S+) ?(.*)$", text, re.M)
    typed = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    for lines in (helps, typed):
        names = [name for name, _ in lines]
        found += [f"{name} twice" for name in set(names) if names.count(name) > 1]
    found += [f"{name}: HELP says nothing: {said!r}" for name, said in helps if len(said) < 10]
    kinds = dict(typed)
    for family in read_plain(text):
        name = family.name + "_total" * (family.type == "counter")
        found += [] if name in kinds else [f"{name} has no TYPE"]
        found += [] if re.fullmatch(r"(agentd|process)_[a-z0-9_]+", name) else [f"{name}: case"]
        found += [f"{name} {end}" for end in NOT_BASE if name.endswith(end)]
        if family.type != "counter" and name.endswith(("_total", "_count", "_sum")):
            found.append(f"{name}: a {family.type} with a counter's suffix")
        if family.type == "unknown":
            found.append(f"{name}: unknown type")
        seen = [(s.name, tuple(sorted(s.labels.items()))) for s in family.samples]
        found += [f"{each} twice" for each in set(seen) if seen.count(each) > 1]
        strange = {label for s in family.samples for label in s.labels} - LABELS
        found += [f"{name}: label {label}" for label in strange]
    return found


@pytest.fixture
async def scraped(serve):
    """A daemon whose agent has played, won, logged and been refused."""
    house = await serve(config=config())
    peer = await house.peer()
    await peer.hello("a-1", protocol=(1, 2))
    await peer.say(m.Log(values={"lap_s": 41.5}))
    await peer.step([FIRST] * 2)
    won = bytes([1, 0])
    await peer.step([TERMINATED] * 2, reward=[2.0, 4.0], success=won)
    stranger = await house.peer()
    await stranger.say(stranger.hello_message(agent="NO NAME"))
    assert isinstance(await stranger.hear(), m.Error)
    return house


async def test_prometheus_finds_nothing_wrong(scraped):
    status, text = await get(scraped, "/metrics")
    assert status == 200
    assert findings(text) == []
    values = {(s.name, *s.labels.values()): s.value for f in read_plain(text) for s in f.samples}
    assert values["agentd_connections_accepted_total",] == 2
    assert values["agentd_refusals_total", "BAD_HELLO"] == 1
    assert values["agentd_agent_return_mean", "a-1"] == 3.0
    assert values["agentd_agent_success_rate", "a-1"] == 0.5
    assert ("agentd_build_info", "2", __version__) in values or (
        "agentd_build_info",
        __version__,
        "2",
    ) in values
    assert values["process_resident_memory_bytes",] > 0
    gone = ("_p50", "_p99", "_ms", "agentd_accepted", "agentd_refusals ", "agentd_agent_version")
    assert not [name for name in gone if name in text]


async def test_who_asks_for_openmetrics_gets_it(scraped):
    text, media = make_metrics(scraped.server.stats)(OPEN)
    assert media.startswith("application/openmetrics-text")
    families = {family.name: family.type for family in read_open(text.decode())}
    assert families["agentd_agent_env_steps"] == "counter"
    assert families["agentd_act_latency_seconds"] == "histogram"
    assert families["agentd_build"] == "info"


async def test_what_is_left_out_of_metrics_stays_in_stats(scraped):
    server = json.loads((await get(scraped, "/stats"))[1])["server"]
    quantiles = {"act_p50_ms", "act_p99_ms", "act_p999_ms", "loop_lag_p50_ms", "loop_lag_p99_ms"}
    assert server.keys() >= quantiles | {"accepted", "refusals"}


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("# HELP agentd_a_ms Some words here.\n# TYPE agentd_a_ms gauge\nagentd_a_ms 1\n", "_ms"),
        ("# HELP agentd_a x\n# TYPE agentd_a gauge\nagentd_a 1\n", "says nothing"),
        ("# HELP agentd_a Words enough.\n# TYPE agentd_a gauge\nagentd_a{peer='x'} 1\n", "peer"),
        ("# HELP agentd_A Words enough.\n# TYPE agentd_A gauge\nagentd_A 1\n", "case"),
        ("# HELP agentd_a Words enough.\n# TYPE agentd_a gauge\nagentd_a 1\nagentd_a 2\n", "twice"),
    ],
)
def test_the_check_itself_finds_what_is_wrong(text, finding):
    assert any(finding in each for each in findings(text.replace("'", '"')))


async def test_every_query_of_the_dashboard_finds_its_metric(scraped):
    board = json.loads(DASHBOARD.read_text())
    assert board["uid"] == "agentd"
    assert [each["name"] for each in board["__inputs"]] == ["DS_PROMETHEUS"]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 12
    spots = {tuple(panel["gridPos"][at] for at in "xy") for panel in panels}
    assert len(spots) == len(panels), "no panel lies on another"
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    (variable,) = board["templating"]["list"]
    queries.append(variable["query"]["query"])
    text = (await get(scraped, "/metrics"))[1]
    known = {s.name for family in read_plain(text) for s in family.samples}
    known |= set(re.findall(r"^# TYPE (agentd_\S+) gauge$", text, re.M))  # known once it learns
    named = {name for query in queries for name in re.findall(r"\b(?:agentd|process)_\w+", query)}
    assert len(named) > 15
    assert named - known == set()
