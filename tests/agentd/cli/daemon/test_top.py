"""What `top` draws of two readings, and what it reads from a daemon."""

import io
import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from agentd.cli.daemon.top import MOST_POINTS, Curves, Sample, render
from agentd.client import FIRST, Client

AGENT = {
    "connections": 3, "frames": 100, "rows": 1600, "batch_p50": 16, "batch_p99": 64,
    "queued_rows": 0, "act_p50_ms": 0.25, "act_p99_ms": 1.5, "act_p999_ms": 4.0,
    "return_mean": 21.25, "version": 40, "policy_lag": 2, "updates": 42, "state": "learning",
}  # fmt: skip
SERVER = {"connections": 3, "accepted": 9, "refusals": 1, "act_p50_ms": 0.25, "queued_frames": 5}


def drawn(now: Sample, before: Sample | None, width: int = 240) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(now, before, "here"))
    return console.file.getvalue()


def test_rates_are_what_came_between_two_readings():
    before = Sample(10.0, SERVER, {"cart": AGENT})
    now = Sample(12.0, SERVER, {"cart": AGENT | {"frames": 300, "rows": 4800, "updates": 52}})
    text = drawn(now, before)
    row = next(line for line in text.splitlines() if line.startswith(" cart"))
    assert row.split()[:4] == ["cart", "3", "100", "1,600"]
    assert row.split()[-3:] == ["2", "5", "learning"]
    assert "queued 5 frames" in text
    assert "p99.9" in text


def test_why_an_agent_does_not_learn_stands_below(run):
    stopped = {"state": "paused", "state_reason": "10 updates were not finite"}
    text = drawn(Sample(1.0, SERVER, {"good": AGENT, "cart": AGENT | stopped}), None)
    assert text.rstrip().splitlines()[-1] == "cart is paused: 10 updates were not finite"
    assert "good is" not in text


def test_who_plays_is_named():
    clients = {"clients": {"godot-rl 0.7": 2, "catch-demo": 1}}
    text = drawn(Sample(1.0, SERVER, {"cart": AGENT | clients}), None)
    assert "cart is played by catch-demo, godot-rl 0.7 ×2" in text
    assert "played by" not in drawn(Sample(1.0, SERVER, {"cart": AGENT}), None)


def test_what_a_live_learner_does_is_shown_and_told_in_words():
    live = {
        "updates_per_row": 6.25, "possible_updates_per_second": 512.4, "updates_owed": 3,
        "held_out_gap": 0.0625, "state_reason": "the learner is too slow for 60 rows a second",
    }  # fmt: skip
    text = drawn(Sample(1.0, SERVER, {"cart": AGENT | live}), None, 200)
    head, row = (line.split() for line in text.splitlines() if line[1:6] in ("agent", "cart "))
    assert "upd/row possible/s owed gap" in " ".join(head)
    assert "6.25 512 3 0.062" in " ".join(row)
    assert "cart is learning: the learner is too slow" in text


def read(steps: int, mean: float | None, name: str = "cart") -> Sample:
    return Sample(float(steps), SERVER, {name: AGENT | {"env_steps": steps, "return_mean": mean}})


def lines_of(curves: Curves, width: int = 60, lines: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for each in curves.draw(width, lines):
        console.print(each)
    return console.file.getvalue().splitlines()


def test_the_return_is_drawn_as_a_curve_where_there_is_room():
    curves = Curves()
    curves.add(read(0, None))
    curves.add(read(100, 10.0))
    assert lines_of(curves) == [], "one point is no curve"
    for steps in range(200, 200 * MOST_POINTS, 100):
        curves.add(read(steps, steps / 100))
    drawn = lines_of(curves)
    assert drawn[1] == "return of cart"
    assert drawn[-1].split() == ["100", f"{200 * MOST_POINTS - 100:,}", "steps"]
    assert max(map(len, drawn)) <= 60
    assert lines_of(curves, lines=8) == []
    curves.add(read(50, 3.0))
    assert lines_of(curves) == [], "the agent begins anew"
    curves.add(read(50, 3.0, "other"))
    assert lines_of(curves) == []


def test_what_is_not_known_is_a_dash():
    text = drawn(Sample(1.0, SERVER, {"play": {"connections": 0, "return_mean": None}}), None)
    row = next(line for line in text.splitlines() if line.startswith(" play"))
    assert row.split()[1:4] == ["0", "–", "–"]
    assert "no agent" in drawn(Sample(1.0, {}, {}), None)


def test_top_reads_a_running_daemon_once(run, call, serve):
    daemon = serve("--set", "agent.learner=none")
    with Client.connect(
        ("127.0.0.1", daemon.port), "a", {"x": ("float32", (2,))}, 3, streams=2
    ) as client:
        client.step(np.zeros((2, 2), np.float32), [0, 0], [FIRST, FIRST])
        found = run("top", f"127.0.0.1:{daemon.port}", "--json")
        text = call("top", f"127.0.0.1:{daemon.port}").stdout
    record = json.loads(found.stdout)
    assert record["agents"]["a"]["rows"] == 2
    assert record["agents"]["a"]["batch_p50"] == 2
    assert record["server"]["loop_lag_p99_ms"] >= 0
    assert "act p50" in text


def test_top_without_a_daemon_says_that_nobody_answers(call, monkeypatch):
    monkeypatch.setattr("agentd.cli.daemon.top.RETRY_S", 0.2)
    found = call("top", "127.0.0.1:9", "--json")
    assert (found.returncode, found.stdout) == (69, "")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("width", [180, 140, 120, 100, 80, 60, 40, 20])
def test_where_there_is_no_room_whole_columns_are_left_out(width):
    before = Sample(10.0, SERVER, {"cart": AGENT})
    now = Sample(12.0, SERVER, {"cart": AGENT | {"frames": 300}, "snake-of-one": AGENT})
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(now, before, "here", width))
    lines = console.file.getvalue().splitlines()

    assert "…" not in console.file.getvalue()
    assert max(map(len, lines)) <= width
    (head,) = (line for line in lines if line.startswith(" agent "))
    (row,) = (line for line in lines if line.startswith(" cart "))
    cells = dict(zip(re.split("  +", head.strip()), re.split("  +", row.strip()), strict=True))
    whole = {"agent": "cart", "conn": "3", "frames/s": "100", "state": "learning", "return": "21.2"}
    assert cells.items() & whole.items() == {k: v for k, v in whole.items() if k in cells}.items()
    assert "return" in cells or width < 60
    assert "state" in cells or width < 40


def test_top_on_the_http_port_says_so_at_once(call, tmp_path):
    command = [sys.executable, "-m", "agentd", "serve", "--port", "0", "--http-port", "0"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)], stdout=-1, stderr=-1, text=True
    ) as daemon:
        log = iter(daemon.stderr.readline, "")
        port = re.search(r":(\d+)\"?$", next(line for line in log if "http listening" in line))[1]
        began = time.monotonic()
        found = call("top", f"127.0.0.1:{port}")
        took = time.monotonic() - began
        daemon.terminate()
        daemon.communicate()

    assert found.returncode == 69
    assert f"127.0.0.1:{port}: that is an HTTP port" in found.stderr
    assert took < 8


@pytest.mark.parametrize("address", ["::1:45583", "localhost:port", "127.0.0.1:99999", "http://x"])
def test_a_text_that_is_no_address_is_told_as_such(call, address):
    found = call("top", address)
    assert (found.returncode, found.stdout) == (69, "")
    assert f"address {address!r}" in found.stderr
    assert ("[::1]:45583" in found.stderr) == (address == "::1:45583")
