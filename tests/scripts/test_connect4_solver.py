"""The solver of Connect Four says what a search to the end says."""

from pathlib import Path

import numpy as np
import pytest

from agentd.games.connect4 import CELLS, ConnectFour
from agentd.games.negamax import search

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_perfect_moves_are_those_of_a_search_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from connect4_solver import best_moves, random_positions

    game = ConnectFour(1, np.random.default_rng(0))
    for position in random_positions(40, discs=CELLS - 10):
        q = search(game, position[None], plies=CELLS, discount=1.0)[0]
        assert np.array_equal(best_moves(position), q == q.max())
