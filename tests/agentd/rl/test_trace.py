"""The returns that runs leave behind are read as they were written."""

from pathlib import Path

import pytest

from agentd.errors import MissingInput
from agentd.rl.scores import Scores
from agentd.rl.trace import PLACE, append_evaluation, append_trace, read_runs, read_trace
from agentd.store import EpisodeSummary, ProgressLog, ProgressPoint


def leave(folder: Path, slope: float, end: int = 1000) -> None:
    """A run's trace in which the return is ``slope`` times the steps."""
    curve = [(float(at), slope * at) for at in range(0, end + 1, 50)]
    append_trace(folder, curve, [(end / 2, 3.0)], Scores((slope * end, slope * end + 2)), end)


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    leave(tmp_path / "a", 0.5)

    trace = read_trace(tmp_path / "a")

    assert (trace.name, trace.steps) == ("a", 1000)
    assert trace.curve[0] == (0.0, 0.0)
    assert trace.curve[-1] == (1000.0, 500.0)
    assert trace.greedy == [(500.0, 3.0)]
    assert trace.final.values == (500.0, 502.0)


def test_a_second_run_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    leave(tmp_path, 0.5)
    leave(tmp_path, 0.1)

    trace = read_trace(tmp_path)

    assert trace.steps == 2000
    assert trace.curve[-1] == (2000.0, 100.0)
    assert trace.final.values == (100.0, 102.0)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    leave(tmp_path, 0.5)
    with (tmp_path / PLACE).open("a") as file:
        file.write('{"steps": 3, "ret')

    assert read_trace(tmp_path).steps == 1000


@pytest.mark.parametrize("place", ["", "agents/a"])
def test_a_folder_without_returns_is_told(place: str, tmp_path: Path) -> None:
    (tmp_path / "agents/a").mkdir(parents=True)
    with pytest.raises(MissingInput, match="no returns of"):
        read_runs(tmp_path / place)


def episodes(*returns: float) -> EpisodeSummary:
    mean = sum(returns) / len(returns)
    return EpisodeSummary(
        len(returns), mean, 0.0, min(returns), max(returns), length=9.0, sample=returns
    )


def test_an_agent_that_no_run_of_ours_trained_is_read_from_what_its_daemon_kept(
    tmp_path: Path,
) -> None:
    agent = tmp_path / "agents" / "mine"
    agent.mkdir(parents=True)
    log = ProgressLog.open(agent)
    with pytest.raises(MissingInput, match="no returns of"):
        read_runs(tmp_path)
    log.add(ProgressPoint(time=1.0, steps=100, train=episodes(1.0, 3.0)))
    log.add(ProgressPoint(time=2.0, steps=200, train=episodes(5.0), figures={"return_mean": 3.0}))

    (trace,) = read_runs(tmp_path)
    assert (trace.name, trace.steps, trace.of_run, trace.evaluated) == ("mine", 200, False, False)
    assert trace.curve == [(100.0, 2.0), (200.0, 3.0)]
    assert sorted(trace.final.values) == [1.0, 3.0, 5.0]

    log.add(ProgressPoint(time=3.0, steps=200, eval=episodes(8.0, 10.0)))
    (trace,) = read_runs(agent)
    assert (trace.final.values, trace.evaluated) == ((8.0, 10.0), True)
    assert trace.greedy == [(200.0, 9.0)]

    append_evaluation(agent, Scores((20.0, 22.0, 24.0)), 200)
    (trace,) = read_runs(agent)
    assert (trace.final.values, trace.evaluated) == ((20.0, 22.0, 24.0), True)
    assert trace.greedy == [(200.0, 9.0), (200.0, 22.0)]
    assert not trace.of_run


def test_what_was_played_after_a_run_goes_on_from_it(tmp_path: Path) -> None:
    agent = tmp_path / "a"
    agent.mkdir()
    log = ProgressLog.open(agent)
    log.add(ProgressPoint(time=1.0, steps=900, train=episodes(77.0), eval=episodes(77.0)))
    leave(agent, 0.5)
    log.add(ProgressPoint(time=4e9, steps=1500, train=episodes(600.0)))

    trace = read_trace(agent)

    assert trace.curve[-2:] == [(1000.0, 500.0), (1500.0, 600.0)]
    assert trace.final.values == (500.0, 502.0)
    assert (trace.steps, trace.of_run) == (1500, True)
