"""``agentd demo``: in a pipe, in a terminal that moves, and with a person at its keyboard."""

import io
import json
import os
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agentd.children import child_environment
from agentd.cli import boundary
from agentd.cli.app import app
from agentd.cli.rl.demo_live import AGAINST
from agentd.cli.rl.live_screen import binned, draw_live
from agentd.cli.screen.terminal import Terminal
from agentd.engine.replay.rows import RowFormat, TensorFormat
from agentd.games.pictures import WIDEST
from agentd.memory.played import BY_SHIFT
from agentd.memory.ring_reader import ReplayRingReader
from agentd.rl.live import LivePlan, LiveProgress
from agentd.rl.tasks import Scene

Run = Callable[..., subprocess.CompletedProcess[str]]
PATIENCE_S = 60.0


class Screen:
    """``agentd demo`` in a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.ours, self.theirs = os.openpty()
        termios.tcsetwinsize(self.ours, (24, 80))
        self.before = termios.tcgetattr(self.theirs)
        self.seen = ""
        take = "import fcntl, termios, runpy; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        command = f"{take}; runpy.run_module('agentd', run_name='__main__')"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "demo", *arguments],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env=child_environment(TERM="xterm-256color", COLUMNS="80", LINES="24"),
        )

    def await_text(self, pattern: str) -> None:
        """Read until ``pattern`` was shown since the last call."""
        deadline = time.monotonic() + PATIENCE_S
        shown = ""
        while not re.search(pattern, shown):
            assert time.monotonic() < deadline, self.seen[-3000:]
            shown += self._read()

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen[-3000:]
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def _read(self) -> str:
        if not select.select([self.ours], [], [], 0.1)[0]:
            return ""
        text = os.read(self.ours, 1 << 16).decode(errors="replace")
        self.seen += text
        return text

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def screen() -> Iterator[Callable[..., Screen]]:
    """``screen("--seconds", "6")``: the demo in a terminal."""
    opened: list[Screen] = []

    def begin(*arguments: str) -> Screen:
        opened.append(Screen(*arguments))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def test_in_a_pipe_it_says_a_line_now_and_then_and_sums_up(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--seconds", "4", "--json", "--data-dir", str(tmp_path), timeout=110)

    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^seconds=\d+ frames=(\d+) late=\d+ .* epsilon=", done.stderr, re.M)
    assert lines
    assert all(int(frames) > 0 for frames in lines)
    record = json.loads(done.stdout)
    assert record["game"] == "cartpole"
    assert 4 <= record["seconds"] < 30
    assert 0 < record["frames"] <= 61 * record["seconds"], "it ran in wall-clock time"
    assert record["late_frames"] <= record["frames"]
    assert record["greedy_mean_before"] > 0
    assert record["greedy_mean_after"] > 0
    assert (tmp_path / "agents/demo-cartpole/checkpoints" / record["checkpoint"]).is_dir()


def test_in_a_terminal_the_picture_moves_and_the_summary_stays(
    screen: Callable[..., Screen],
) -> None:
    shown = screen("--seconds", "2", "--game", "catch")

    assert shown.end() == 0, shown.seen
    assert len(set(re.findall(r"▀▀▀▀ *│", shown.seen))) > 1, "the paddle"
    assert shown.seen.count("╭─ agentd demo") > 10
    end = shown.seen[shown.seen.rindex("╰") :]
    assert re.search(r"greedy return before: -?\d.*\r\n.*after 0:0\d: -?\d", end)
    assert re.search(r"\d+ frames, (none|\d+) late; answers p99", end)
    assert "--data-dir DIR` keeps it" in end
    assert termios.tcgetattr(shown.theirs) == shown.before


def persons_rows(agent: Path) -> int:
    """How many rows of a stored agent's ring a person chose the action of; the last may be out."""
    tensor = TensorFormat("planes", np.dtype("u1"), (4, 8, 8), 0, 256)
    if "duel" in agent.name:
        tensor = TensorFormat("sky", np.dtype("f4"), (56,), 0, 224)
    format = RowFormat((tensor,), (4,) if "snake" in agent.name else (7,))
    reader = ReplayRingReader(agent / "replay" / "rows.ring", format)
    explored = reader.rows(reader.head).explored[: reader.head]
    return int(np.count_nonzero(explored >> BY_SHIFT == 1))


@pytest.mark.parametrize("ending", ["q", "\x03"])
def test_a_person_plays_hands_over_and_takes_back(
    ending: str, screen: Callable[..., Screen], tmp_path: Path
) -> None:
    game = "snake" if ending == "q" else "duel"
    shown = screen("--play", "--game", game, "--data-dir", str(tmp_path))
    shown.await_text("steer|turn")
    daemon = json.loads((tmp_path / "lock").read_text())["pid"]
    assert not termios.tcgetattr(shown.theirs)[3] & termios.ECHO
    shown.press("\x1b[A\x1b[C")
    shown.await_text(r"\x1b\[1;33m")  # yellow: the person
    shown.press("a")
    shown.await_text(r"\x1b\[1;32m")  # green: the agent
    shown.press("f")
    shown.await_text(r"\x1b\[1;32m")
    shown.press("p ")
    shown.await_text(r"\x1b\[1;33m")
    shown.press(ending)

    assert shown.end() == 0, shown.seen
    played = re.search(r"you played ([\d,]+) of ([\d,]+) steps", shown.seen)
    assert played is not None
    mine, all_of_them = (int(text.replace(",", "")) for text in played.groups())
    assert 0 < mine < all_of_them
    assert mine - 1 <= persons_rows(tmp_path / "agents" / f"demo-{AGAINST.get(game, game)}") <= mine
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)
    assert termios.tcgetattr(shown.theirs) == shown.before


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--fast", "--game", "catch"), 2, "--fast goes with none of"),
        (("--steps", "5"), 2, "--fast only"),
        (("--game", "gym:CartPole-v1"), 2, "want a game of agentd"),
        (("--game", "snak"), 66, "did you mean 'snake'?"),
        (("--seconds", "0"), 2, "--seconds"),
        (("--seconds", "nan"), 2, "--seconds"),
        (("--play",), 2, "want a terminal"),
        (("--play", "--game", "catch"), 2, "no keys for it"),
    ],
)
def test_what_cannot_be_shown_is_told(arguments: tuple[str, ...], code: int, told: str) -> None:
    out, err = io.StringIO(), io.StringIO()

    ended = boundary.run(app, ["demo", *arguments], Terminal(out, err))

    assert (ended, out.getvalue()) == (code, "")
    assert told in err.getvalue()
    assert err.getvalue().count("\n") == 1


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_the_view_fits_into_the_terminal(width: int, tmp_path: Path) -> None:
    plan = LivePlan("cartpole", "a", tmp_path, 0, fps=60.0, seconds=180.0)
    scene = Scene(["x" * WIDEST] * 14, False, 0, 600, 3, 0.0021, 0.03)
    curve = [(float(t), t * t / 7.0) for t in range(1, 400)]
    now = LiveProgress(plan, 100.0, 6000, scene, curve, epsilon=0.25, updates=48_000)
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)

    console.print(draw_live(now, "a game", ["a line"], "q ends", width))

    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for part in ("600", "late", "0.25", "2.1 ms", "1:40 of 3:00", "q ends", "a line"):
        assert part in text, part
    assert len(lines) <= 24 or width < 80


def test_a_curve_of_many_episodes_is_drawn_by_means() -> None:
    points = [(float(x), float(x % 2)) for x in range(1, 1001)]

    few = binned(points, 10)

    assert len(few) <= 10
    assert all(0.4 < y < 0.6 for _, y in few)
    assert [x for x, _ in few] == sorted(x for x, _ in few)
    assert binned(points[:5], 10) == points[:5]
