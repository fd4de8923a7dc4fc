"""``agentd rl`` and ``agentd demo`` as a user runs them: over TCP, to the end, or interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.cli.menu import COMMANDS
from agentd.cli.rl.demo import what_next
from agentd.cli.rl.train import change_play
from agentd.config import load_preset

Run = Callable[..., subprocess.CompletedProcess[str]]
Wait = Callable[[Callable[[], bool]], None]
SHORT = ("rl", "train", "--preset", "catch", "--steps", "600", "--keep-going")


def test_a_run_ends_with_its_result_and_a_second_one_goes_on_with_the_agent(
    run: Run, call: Run, tmp_path: Path
) -> None:
    where = ("--preset", "catch", "--data-dir", str(tmp_path))
    done = run("rl", "train", *where, "--seed", "3", "--json")

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["seed"] == 3
    assert result["solved"] is True
    assert result["env_steps"] < load_preset("catch").play.steps
    assert result["env_steps_per_second"] > 0
    assert -1 <= result["greedy_mean"] <= 1
    assert result["greedy_std"] >= 0
    assert (tmp_path / "agents/catch/checkpoints" / result["checkpoint"]).is_dir()

    again = call("rl", "eval", *where, "--agent", "catch", "--json")
    assert again.returncode == 0, again.stderr
    record = json.loads(again.stdout)
    assert record["episodes"] == len(record["returns"]) == 20
    assert record["greedy_iqm_low"] <= record["greedy_iqm"] <= record["greedy_iqm_high"]
    assert -1 <= record["greedy_mean"] <= 1

    done = call("rl", "train", *where, "--steps", "1000", "--keep-going")

    assert done.returncode == 0, done.stderr
    assert "it goes on learning" in done.stderr
    assert "greedy return" in done.stdout
    assert "┤" in done.stdout
    steps = [int(p.name.split("-")[1]) for p in sorted(tmp_path.glob("agents/*/checkpoints/*"))]
    assert steps[-1] > steps[0]


def test_a_sweep_trains_an_agent_a_seed_and_sums_up(call: Run, tmp_path: Path) -> None:
    done = call(*SHORT, "--seeds", "1..2", "--data-dir", str(tmp_path), "--json")

    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["seeds"] == [one["seed"] for one in record["runs"]] == [1, 2]
    assert all(600 <= one["env_steps"] < 700 for one in record["runs"])
    assert -1 <= record["greedy_iqm_low"] <= record["greedy_iqm_high"] <= 1
    compared = call("rl", "compare", str(tmp_path), "--json")
    assert json.loads(compared.stdout)["runs"][0]["agents"] == ["catch-1", "catch-2"]


@pytest.mark.parametrize("preset", ["connect4", pytest.param("duel", marks=pytest.mark.long)])
def test_an_agent_plays_itself_and_is_measured_against_another(preset: str, call: Run) -> None:
    arguments = ("--preset", preset, "--steps", "400", "--streams", "4", "--json")

    done = call("rl", "train", *arguments)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["env_steps"] >= 400
    assert result["greedy_episodes"] == load_preset(preset).play.episodes
    assert -2 <= result["greedy_mean"] < 0.9, "nobody learned that in 400 steps"


def _begin(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agentd", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def _playing(process: subprocess.Popen[str]) -> None:
    """Read the plain view until the players have made steps."""
    assert process.stderr is not None
    for line in process.stderr:
        if re.match(r"steps=[1-9]", line):
            return
    raise AssertionError(f"it ended before it played: {process.wait()}")


def test_ctrl_c_saves_and_ends_orderly(tmp_path: Path) -> None:
    with _begin(
        *("rl", "train", "--preset", "catch", "--steps", "10000000", "--keep-going", "--json"),
        *("--data-dir", str(tmp_path)),
    ) as process:
        _playing(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)

    assert process.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert result["interrupted"] is True
    assert (tmp_path / "agents/catch/checkpoints" / result["checkpoint"]).is_dir()
    assert "Traceback" not in err


def test_a_second_ctrl_c_ends_at_once_with_130(tmp_path: Path) -> None:
    with _begin(
        *("rl", "train", "--preset", "catch", "--steps", "10000000", "--keep-going"),
        *("--data-dir", str(tmp_path)),
    ) as process:
        _playing(process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # one signal number twice may arrive as one
        _, err = process.communicate(timeout=40)

    assert process.returncode == 130
    assert err.endswith("agentd: interrupted\n")


def test_a_daemon_that_dies_is_told_in_one_line(tmp_path: Path) -> None:
    with _begin(
        *("rl", "train", "--preset", "catch", "--steps", "10000000", "--keep-going"),
        *("--data-dir", str(tmp_path)),
    ) as process:
        _playing(process)
        pid = json.loads((tmp_path / "lock").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)

    assert process.returncode not in (0, 130)
    last = err.splitlines()[-1]
    assert last.startswith("agentd: ")
    assert "Traceback" not in err


def test_training_that_diverges_is_no_success(call: Run) -> None:
    wild = ("optimizer={name: sgd, lr: 1e6}", "loss=mse", "dqn.clip_norm=null", "dqn.gamma=1.0")

    done = call(*SHORT, "--json", *(word for value in wild for word in ("--set", value)))

    assert (done.returncode, done.stdout) == (70, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("agentd: agent catch is paused: learning paused after 10 non-finite")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("rl", "train", "--preset", "cartpol"), 66, "did you mean 'cartpole'?"),
        (("rl", "train", "--preset", "catch", "--env", "snak"), 66, "did you mean 'snake'?"),
        (("rl", "train", "--preset", "catch", "--env", "gym:No-v0"), 66, "gym:No-v0"),
        (("rl", "eval", "--agent", "a", "--env", "catch", "--data-dir", "."), 66, "no agent 'a'"),
        (("rl", "eval", "--agent", "a", "--data-dir", "."), 2, "--preset NAME or --env GAME"),
        (("rl", "train", "--preset", "catch", "--steps", "0"), 2, "--steps"),
        (("rl", "train", "--preset", "catch", "--seeds", "3..1"), 2, "--seeds"),
        (("rl", "train", "--preset", "catch", "--seeds", "1", "--seed", "2"), 2, "not both"),
        (("rl", "train", "--preset", "catch", "--set", "dqn.noisy"), 2, "KEY=VALUE"),
        (("rl", "train", "--preset", "catch", "--set", "dqn.noise=1"), 78, "dqn.noise"),
        (("rl", "train", "--preset", "catch", "--set", "replay.capacity=16"), 78, "capacity"),
    ],
)
def test_what_is_not_there_is_told(
    arguments: tuple[str, ...], code: int, told: str, call: Run
) -> None:
    done = call(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_another_game_has_another_mark() -> None:
    preset = load_preset("catch")

    changed = change_play(preset, {"game": "snake", "steps": 5, "clients": None})

    assert (changed.play.game, changed.play.steps, changed.play.solved) == ("snake", 5, None)
    assert change_play(preset, {"game": "catch"}).play.solved == preset.play.solved
    assert changed.agent == preset.agent


@pytest.mark.parametrize("kept", [True, False])
def test_the_demo_ends_with_what_comes_next(tmp_path: Path, kept: bool) -> None:
    text = what_next(tmp_path if kept else None)

    assert "http://127.0.0.1:7332/" in text
    assert (str(tmp_path / "agents" / "demo") in text) == kept
    assert ("--data-dir DIR" in text) != kept
    for line in re.findall(r"^  (agentd [\w -]+)", text, re.MULTILINE):
        assert " ".join(line.split()[1:3]) in COMMANDS or line.split()[1] in COMMANDS
