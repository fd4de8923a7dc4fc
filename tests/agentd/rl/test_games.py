"""Games by their names: ours, Gymnasium's, MinAtar's."""

import numpy as np
import pytest

from agentd.config import load_preset, preset_names
from agentd.errors import MissingInput
from agentd.rl.games import check_game, open_game


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
