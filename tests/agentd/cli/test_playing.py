"""Games by their names: ours, Gymnasium's, MinAtar's; and games for two over the wire."""

import json
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from agentd.config import load_preset, preset_names
from agentd.errors import MissingInput
from agentd.rl.games import check_game, open_game

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", preset_names())
def test_a_presets_games_are_there(name: str) -> None:
    play = load_preset(name).play
    for game in (play.game, play.evaluation):
        if game is None or not game.startswith("gym:"):
            check_game(game or "catch")


def test_minatar_is_played_through_gymnasium() -> None:
    pytest.importorskip("minatar")
    game = open_game("gym:MinAtar/Breakout-v1", 2, seed=1)

    frame = game.reset()

    (cells,) = frame.obs.values()
    assert (cells.shape, cells.dtype) == ((2, 10, 10, 4), np.uint8)
    assert game.spec.actions == 3
    with pytest.raises(MissingInput, match="MinAtar/Pong"):
        open_game("gym:MinAtar/Pong-v1", 1, seed=1)


@pytest.mark.parametrize("preset", ["connect4", "duel"])
def test_an_agent_plays_itself_and_is_measured_against_another(preset: str, run: Run) -> None:
    arguments = ("--preset", preset, "--steps", "800", "--streams", "4", "--json")

    done = run("rl", "train", *arguments)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["env_steps"] >= 800
    assert result["greedy_episodes"] == load_preset(preset).play.episodes
    assert -2 <= result["greedy_mean"] < 0.9, "nobody learned that in 800 steps"
