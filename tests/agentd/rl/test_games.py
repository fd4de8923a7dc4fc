"""Games by their names: ours, Gymnasium's, MinAtar's."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentd.children import child_environment
from agentd.config import load_preset, preset_names
from agentd.errors import MissingInput
from agentd.rl.games import check_game, open_game
from agentd.rl.tasks import GameSource


@pytest.mark.parametrize("name", preset_names())
def test_a_presets_games_are_there(name: str) -> None:
    play = load_preset(name).play
    for game in (play.game, play.evaluation):
        if game is None or not game.startswith("gym:"):
            check_game(GameSource(game or "catch"))


def test_minatar_is_played_through_gymnasium() -> None:
    pytest.importorskip("minatar")
    game = open_game(GameSource("gym:MinAtar/Breakout-v1"), 2, seed=1)

    frame = game.reset()

    (cells,) = frame.obs.values()
    assert (cells.shape, cells.dtype) == ((2, 10, 10, 4), np.uint8)
    assert game.spec.actions == 3
    with pytest.raises(MissingInput, match="MinAtar/Pong"):
        open_game(GameSource("gym:MinAtar/Pong-v1"), 1, seed=1)


OWN = """
import gymnasium, numpy as np

class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, True, False, {}

gymnasium.register("Mine-v0", entry_point=Mine)
"""


def test_a_gymnasium_game_may_lie_in_the_current_folder_which_shadows_nothing(
    tmp_path: Path,
) -> None:
    pytest.importorskip("gymnasium")
    (tmp_path / "my_env.py").write_text(OWN)
    for name in ("engine", "kernels", "numpy", "queue", "games/__init__"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the folder shadows ours')")
    command = [sys.executable, "-P", "-m", "agentd", "rl", "train", "--preset", "catch", "--json"]
    command += ["--env", "gym:my_env:Mine-v0", "--steps", "100"]

    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["greedy_mean"] == 1.0
