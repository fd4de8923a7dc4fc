"""The returns that runs leave behind are read as they were written."""

from pathlib import Path

import pytest

from agentd.errors import MissingInput
from agentd.rl.scores import Scores
from agentd.rl.trace import PLACE, append_trace, read_runs, read_trace


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
