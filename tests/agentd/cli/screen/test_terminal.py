"""What a command writes: results here, logs and errors there, as -q, -v and --json say."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from agentd.cli.screen.terminal import Terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield Terminal(io.StringIO(), io.StringIO())
    root.handlers[:], level = before
    root.setLevel(level)


def told(terminal: Terminal) -> tuple[str, str]:
    assert isinstance(terminal.out, io.StringIO)
    assert isinstance(terminal.err, io.StringIO)
    return terminal.out.getvalue(), terminal.err.getvalue()


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("frame refused agent=a seq=3", 'event="frame refused" agent=a seq=3'),
        ("draining connections=0", "event=draining connections=0"),
        ("a=1 b=2", "a=1 b=2"),
        ("ready", "event=ready"),
        ('said "no" to\nus', 'event="said \\"no\\" to us"'),
    ],
)
def test_a_log_line_is_one_fact_in_pairs(message: str, line: str, terminal: Terminal) -> None:
    terminal.configure(logs=True)

    logging.getLogger("agentd.test").info(message)

    _, err = told(terminal)
    assert re.fullmatch(
        rf"time=\d{{4}}-\d\d-\d\dT[\d:]{{8}} level=info logger=agentd\.test {re.escape(line)}\n",
        err,
    )


@pytest.mark.parametrize(
    ("verbose", "quiet", "logs", "levels"),
    [
        (0, False, False, "error"),
        (0, False, True, "info error"),
        (1, False, False, "debug info error"),
        (0, True, True, "error"),
    ],
)
def test_q_and_v_choose_the_levels(
    verbose: int, quiet: bool, logs: bool, levels: str, terminal: Terminal
) -> None:
    terminal.configure(verbose=verbose, quiet=quiet, logs=logs)

    for level in ("debug", "info", "error"):
        getattr(logging.getLogger("agentd.test"), level)("x")

    assert re.findall(r"level=(\w+)", told(terminal)[1]) == levels.split()


def test_a_result_is_json_or_text(terminal: Terminal) -> None:
    terminal.configure()
    terminal.report({"a": 1.5}, "a is 1.5")
    terminal.configure(as_json=True)
    terminal.report({"a": 1.5, "b": None}, "a is 1.5")

    lines = told(terminal)[0].splitlines()
    assert lines[0] == "a is 1.5"
    assert json.loads(lines[1]) == {"a": 1.5, "b": None}


def test_quiet_leaves_results_and_errors(terminal: Terminal) -> None:
    terminal.configure(quiet=True)

    terminal.say("result")
    terminal.note("by the way")
    terminal.complain("agentd: no")

    assert told(terminal) == ("result\n", "agentd: no\n")


def test_only_a_person_gets_a_live_view(terminal: Terminal) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    person = Terminal(Tty(), io.StringIO())

    assert person.live
    assert not terminal.live
    person.configure(as_json=True)
    assert not person.live
