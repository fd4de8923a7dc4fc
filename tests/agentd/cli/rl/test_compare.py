"""``agentd rl compare``: curves on one scale, figures, a picture."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.cli.rl.compare import Group, draw_groups, groups_of, table
from agentd.rl.scores import Scores
from agentd.rl.trace import append_trace, read_runs
from agentd.store import EpisodeSummary, ProgressLog, ProgressPoint

Run = Callable[..., subprocess.CompletedProcess[str]]


def leave(folder: Path, slope: float, end: int = 1000) -> None:
    """A run's trace in which the return is ``slope`` times the steps."""
    curve = [(float(at), slope * at) for at in range(0, end + 1, 50)]
    append_trace(folder, curve, [(end / 2, 3.0)], Scores((slope * end, slope * end + 2)), end)


def test_a_data_directory_is_the_seeds_of_one_thing(tmp_path: Path) -> None:
    for seed, slope in ((1, 0.4), (2, 0.6), (3, 0.5)):
        leave(tmp_path / "agents" / f"g-{seed}", slope, end=900 + seed * 100)

    group = Group("g", read_runs(tmp_path))

    assert [trace.name for trace in group.traces] == ["g-1", "g-2", "g-3"]
    assert group.scores.values == (401.0, 661.0, 601.0)
    x, rows = group.curve()
    assert (x[-1], rows.shape[1]) == (1200.0, 3)
    assert rows[-1].tolist() == [400.0, 660.0, 600.0]


def test_curves_share_their_axes_and_a_run_that_stopped_early_is_drawn_to_the_end(
    tmp_path: Path,
) -> None:
    leave(tmp_path / "slow", 0.1, end=2000)
    leave(tmp_path / "fast", 0.5, end=1000)
    groups = [Group(name, read_runs(tmp_path / name)) for name in ("slow", "fast")]

    lines = draw_groups(groups)

    assert lines[0] == "slow (1 agent)"
    assert sum(line.endswith("2,000 environment steps") for line in lines) == 2
    assert sum(line.startswith("500 ┤") for line in lines) == 2
    assert "fast" in table(groups).splitlines()[2]


def test_compare_prints_and_draws(run: Run, call: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        leave(tmp_path / name / "agents" / "g-1", 0.5)
        leave(tmp_path / name / "agents" / "g-2", 0.4)
    picture = tmp_path / "curves.png"

    done = run("rl", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--png", str(picture))

    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "b (2 seeds)" in done.stdout

    told = call("rl", "compare", str(tmp_path / "a"), "--json")
    assert json.loads(told.stdout)["runs"][0]["greedy_mean"] == 451.0


def test_the_agents_of_a_daemon_stand_each_for_itself(call: Run, tmp_path: Path) -> None:
    for name, value in (("one", 2.0), ("two", 5.0)):
        log = ProgressLog(tmp_path / "agents" / name)
        log.path.parents[1].mkdir(parents=True)
        for at in (1, 2):
            ended = EpisodeSummary(1, value, 0.0, value, value, length=3.0, sample=(value,))
            log.add(ProgressPoint(time=float(at), steps=10 * at, train=ended))

    assert [group.name for group in groups_of(tmp_path)] == ["one", "two"]
    told = call("rl", "compare", str(tmp_path))
    assert "two was never evaluated: its newest 2 training episodes" in told.stdout
    runs = json.loads(call("rl", "compare", str(tmp_path), "--json").stdout)["runs"]
    assert [(run["greedy_mean"], run["evaluated"]) for run in runs] == [
        (2.0, [False]),
        (5.0, [False]),
    ]


def test_compare_tells_what_it_cannot_do(call: Run, tmp_path: Path) -> None:
    leave(tmp_path / "a", 0.5)

    nothing = call("rl", "compare", str(tmp_path / "none"))
    nowhere = call("rl", "compare", str(tmp_path / "a"), "--png", str(tmp_path / "no/c.png"))
    strange = call("rl", "compare", str(tmp_path / "a"), "--png", str(tmp_path / "c.txt2"))

    assert [done.returncode for done in (nothing, nowhere, strange)] == [66, 74, 2]
    for done in (nothing, nowhere, strange):
        assert done.stderr.count("\n") == 1
