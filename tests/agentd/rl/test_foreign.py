"""Environments of other people: whatever they do, commands end and say whose mistake it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")

from agentd.children import child_environment  # noqa: E402
from agentd.errors import AgentdError, ExitCode  # noqa: E402
from agentd.rl.evaluation import GreedyPlayer  # noqa: E402
from agentd.rl.games import look, open_game  # noqa: E402
from agentd.rl.tasks import GameSource, Look  # noqa: E402

MINE = """
print("hello from the module")
import os, sys, time
import gymnasium, numpy as np
from gymnasium import spaces

class Mine(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.MultiBinary(2)

    def __init__(self, level, does="nothing"):
        if does == "no map":
            open("level1.map")
        self.level, self.does, self.t = level, does, 0

    def action_masks(self):
        return [1, 1, 1, 0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        print("new episode")
        os.write(1, b"from C\\n")
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.t += 1
        assert action.tolist() in ([0, 0], [1, 0]), action
        if self.does == "raise" and self.t > 2:
            raise RuntimeError("mesh not\\nfound: Größe_1")
        if self.does == "exit":
            sys.exit("enough")
        if self.does == "crash":
            os.abort()
        while self.does == "hang" and self.t > 2:
            time.sleep(1)
        over = self.does != "go on" and self.t == 5
        return np.zeros(3, np.float32), np.array([1.0]), over, False, {}

gymnasium.register("Mine-v0", entry_point=Mine)
gymnasium.register("Short-v0", entry_point=Mine, max_episode_steps=3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of a person who has written mine.py."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "needy.py").write_text("import a_package_that_is_missing")
    (tmp_path / "odd.py").write_text("def f(:\n    pass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("mine", "needy", "odd"):
        sys.modules.pop(name, None)
    for name in ("Mine-v0", "Short-v0"):
        gymnasium.registry.pop(name, None)


IMPATIENT = """
import sys
from agentd.rl import process, run
process.STOP_S, run.LAST_S = 0.5, 1.0
from agentd.cli import main
sys.exit(main())
"""
"""The command, which gives up on what hangs after a second instead of five."""


def begin(folder: Path, *arguments: str, impatient: bool = False) -> subprocess.Popen[str]:
    program = ("-c", IMPATIENT) if impatient else ("-m", "agentd")
    return subprocess.Popen(
        [sys.executable, "-P", *program, "rl", *arguments],
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_any_environment_is_learned_without_a_preset_and_may_print(folder: Path) -> None:
    flags = ("--env", "mine:Mine-v0", "--env-arg", "level=3", "--env-arg", "does=go on")
    flags += ("--max-episode-steps", "4", "--json", "--data-dir", "kept")
    with begin(folder, "train", *flags, "--steps", "200") as process:
        out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    result = json.loads(out)
    assert (result["greedy_mean"], result["greedy_episodes"]) == (4.0, 20)
    assert "new episode\n" in err
    assert "from C\n" in err
    (told,) = re.findall(r"mine:Mine-v0\(.*", err, re.MULTILINE)
    assert told == (
        "mine:Mine-v0(level=3, does='go on'): observation obs float32[3]; actions 2 × 2; "
        "masks action_masks(); time limit 4 steps; 8 streams on 1 client; device cpu"
    )
    assert "20 of 20 episodes were cut off" in err

    with begin(folder, "eval", *flags, "--agent", "mine-v0", "--episodes", "3") as process:
        out, err = process.communicate(timeout=60)

    assert json.loads(out)["returns"] == [4.0, 4.0, 4.0], err


def test_a_signal_ends_a_run_whose_environment_hangs(folder: Path) -> None:
    flags = ("--env", "mine:Mine-v0", "--env-arg", "level=3", "--env-arg", "does=hang")
    command = ("train", *flags, "--steps", "200", "--json")
    with begin(folder, *command, impatient=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("steps=") and "clients=1" in line:
                break
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)

    assert time.monotonic() - began < 30
    assert process.returncode == 0, err
    result = json.loads(out)
    assert (result["interrupted"], result["greedy_mean"], result["greedy_episodes"]) == (
        *(True, None),
        0,
    )


@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium's own
@pytest.mark.parametrize(
    ("game", "code", "told"),
    [
        ("mine:Mine-v0 level=1 does=raise", 1, r"failed: RuntimeError: mesh not found: Größe_1 \("),
        ("mine:Mine-v0 level=1 does=exit", 1, r"failed: SystemExit: enough \(.*mine\.py:\d+\)$"),
        ("mine:Mine-v0 level=1 does='no map'", 1, r"FileNotFound.*level1\.map.*mine\.py:\d+"),
        ("mine:Mine-v0", 2, "missing 1 required positional argument: 'level'"),
        ("mine:Mine-v0 level=1 depth=2", 2, "unexpected keyword argument 'depth'"),
        ("needy:Mine-v0", 1, r"No module named 'a_package_that_is_missing' \(.*needy\.py:1\)"),
        ("odd:Mine-v0", 1, r"odd:Mine-v0 failed: SyntaxError: .*odd\.py:1\)$"),
        ("nothing:Mine-v0", 66, "no module 'nothing'"),
        ("mine:Other-v0", 66, "Other"),
        ("Mine-v0", 66, "no game 'Mine-v0'"),
        ("catch level=1", 2, "catch takes no --env-arg"),
    ],
)  # fmt: skip
def test_whose_mistake_it_was_is_told_in_one_line(
    game: str, code: int, told: str, folder: Path
) -> None:
    name, *given = re.findall(r"(?:'.*?'|\S)+", game)
    arguments = {k: v.strip("'") for k, v in (pair.split("=") for pair in given)}

    with pytest.raises(AgentdError) as caught:
        _play(GameSource(name, arguments))

    assert re.search(told, caught.value.message), caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == ExitCode(code)


def _play(source: GameSource) -> None:
    game = open_game(source, 2, 0)
    game.reset()
    for _ in range(6):
        game.step(np.zeros((2, 2), np.int32))


def test_an_environment_without_a_limit_has_one_in_evaluations(folder: Path) -> None:
    def limit(name: str, bounded: bool, own: int | None = None) -> int | None:
        source = GameSource(name, {"level": 1}, own)
        return look(open_game(source, 2, 0, bounded=bounded)).time_limit

    for bounded, found in ((False, None), (True, 10_000)):
        assert limit("mine:Mine-v0", bounded) == found
        assert limit("mine:Short-v0", bounded) == 3
        assert limit("mine:Short-v0", bounded, own=2) == 2


def test_a_process_that_dies_is_told_with_its_last_words(folder: Path) -> None:
    heard: list[str] = []
    with GreedyPlayer(heard.append) as evaluator:
        looks = evaluator.look(GameSource("mine:Mine-v0", {"level": 1}))
        assert looks.actions == (2, 2)
        evaluator.send(Look(GameSource("mine:Mine-v0", {"level": 1, "does": "no map"})))
        with pytest.raises(AgentdError, match=r"level1\.map") as caught:
            evaluator.take(20)
        assert "Traceback" in caught.value.__notes__[0]
        assert evaluator._process is not None
        os.kill(evaluator._process.pid, signal.SIGSEGV)
        with pytest.raises(AgentdError, match=r"ended unexpectedly \(SIGSEGV\): .*new episode"):
            evaluator.take(20)
    assert heard[:3] == ["hello from the module", "new episode", "from C"]
