"""What further processes report is added to what this one counted."""

from agentd.server.batching.answers import Counters
from agentd.server.reports import Reports


def share(frames: int, connections: int) -> dict[str, object]:
    counters = Counters(frames=frames, rows=2 * frames, passes=frames)
    counters.latency.add(0.001)
    return {
        "sessions": connections,
        "connections": connections,
        "clients": {"catch-demo": connections},
        "queued_rows": 0,
        "queued_frames": 0,
        "log": {"fuel": float(frames), "laps": 1.0},
        "log_messages": 2,
        "log_dropped": 0,
        "counters": counters.share(),
    }


def test_reports_are_added_up_and_the_newest_counts():
    reports = Reports()
    assert (reports.agents(), reports.total("accepted"), reports.connections("a")) == (set(), 0, 0)

    reports.put(1, {"accepted": 9, "agents": {"a": share(9, 9)}})
    reports.put(1, {"accepted": 3, "agents": {"a": share(30, 1)}})
    reports.put(2, {"accepted": 4, "agents": {"a": share(40, 2), "b": share(1, 1)}})

    assert reports.agents() == {"a", "b"}
    assert (reports.total("accepted"), reports.connections("a")) == (7, 3)
    assert reports.counters().frames == 71
    own = Counters(frames=5, rows=10, passes=5)
    here = {"sessions": 1, "learner": "none", "log": {"fuel": 0.5}, "clients": {"ops": 1}}
    merged = reports.merged("a", here, own)
    assert merged["clients"] == {"ops": 1, "catch-demo": 3}
    assert (merged["log"], merged["log_messages"]) == ({"fuel": 0.5, "laps": 1.0}, 4)
    assert (merged["frames"], merged["rows"], merged["sessions"]) == (75, 150, 4)
    assert merged["learner"] == "none"

    reports.drop(2)
    assert (reports.agents(), reports.total("accepted")) == ({"a"}, 3)
