"""The live view: a pure drawing in a terminal, one plain line elsewhere."""

import io
import math

from rich.console import Console

from agentd.cli.rl.live_view import RunView, plain_line, render
from agentd.cli.screen.terminal import Terminal
from agentd.rl.history import History, Reading

TITLE = "agentd · test"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def reading(at: float, steps: int, **changes: float) -> Reading:
    values: dict[str, float] = {
        "elapsed_s": at,
        "env_steps": steps,
        "episodes": 3,
        "return_mean": float(steps) / 10,
        "greedy_mean": math.nan,
        "loss": 0.125,
        "q_mean": 2.5,
        "epsilon": 0.75,
        "updates": 12,
        "version": 4,
        "steps_per_s": 1000.0,
        "p50_s": 0.0005,
        "p99_s": 0.0021,
        "clients": 2,
    }
    return Reading(**(values | changes))  # type: ignore[arg-type]


def history(*readings: Reading) -> History:
    made = History(10_000, solved=475)
    for one in readings:
        made.add(one)
    return made


def drawn(made: History, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(made, TITLE, width=width))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_view_shows_every_number() -> None:
    text = drawn(history(reading(1, 1000), reading(2, 2000)))

    for part in ("return", "200.0", "greedy", "–", "0.1250", "2.50", "0.750", "1,000"):
        assert part in text
    for part in ("0.50 ms", "2.10 ms", "2,000/10,000", "0:02 gone, 0:08 left", "agentd · test"):
        assert part in text
    assert max(map(len, text.splitlines())) == 80


def test_a_live_learner_shows_what_a_row_is_worth_and_says_when_it_is_too_slow() -> None:
    live = {"updates_per_row": 6.25, "rows_per_s": 60.0, "possible_updates_per_s": 512.4}
    live |= {"updates_owed": 3.0, "held_out_gap": 0.0625}
    slow = reading(2, 2000, **live, too_slow="the learner is too slow")  # type: ignore[arg-type]
    text = drawn(history(slow))

    for part in ("upd/row", "6.25", "possible/s", "512", "owed", "gap", "0.062", "is too slow"):
        assert part in text
    assert "upd/row" not in drawn(history(reading(1, 1000)))
    line = plain_line(history(), slow)
    assert "updates_per_row=6.25 rows_per_s=60 possible_updates_per_s=512" in line
    assert line.endswith("updates_owed=3 held_out_gap=0.062")


def test_the_view_stands_before_the_first_reading() -> None:
    assert "too few points" in drawn(history())


def test_unknown_numbers_are_dashes() -> None:
    text = plain_line(history(), reading(0, 0, loss=math.nan, p99_s=math.nan))

    assert "loss=–" in text
    assert "p99_ms=–" in text


def test_a_pipe_gets_plain_lines_now_and_then() -> None:
    out = Terminal(io.StringIO(), io.StringIO())
    made = history()
    with RunView(out, TITLE) as view:
        for at in range(50):
            made.add(reading(at / 10, at))
            view.update(made)
        view.tell("greedy 500.0")

    lines = out.err.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 4
    assert lines[0].startswith("steps=0/10000 ")
    assert lines[-1] == "greedy 500.0"
    assert out.out.getvalue() == ""  # type: ignore[attr-defined]


def test_a_terminal_gets_a_view_that_redraws_and_goes() -> None:
    out = Terminal(Tty(), io.StringIO())
    made = history(reading(1, 1000), reading(2, 2000))
    with RunView(out, TITLE) as view:
        view.update(made)
        view.tell("greedy 500.0")
        view.update(made)

    text = out.out.getvalue()  # type: ignore[attr-defined]
    assert "agentd · test" in text
    assert "greedy 500.0" in text
    assert out.err.getvalue() == ""  # type: ignore[attr-defined]


def test_quiet_says_nothing() -> None:
    out = Terminal(Tty(), io.StringIO())
    out.verbosity = -1
    with RunView(out, TITLE) as view:
        view.update(history(reading(1, 1)))
        view.tell("x")

    assert out.out.getvalue() == out.err.getvalue() == ""  # type: ignore[attr-defined]
