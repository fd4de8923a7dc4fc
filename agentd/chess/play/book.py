"""The bundled book of openings, from which one game after the other is drawn."""

import random
from importlib import resources

import chess

from agentd.games.chess.play.opening_book import Openings, draw_opening, read_book

BUNDLED = "models/chess-openings.txt"


class Book:
    """People's openings, drawn by how often they were played; read when first asked."""

    def __init__(self) -> None:
        self._openings: Openings | None = None
        self._rng = random.Random()

    def begin(self, seed: int) -> None:
        """Draw from ``seed`` on."""
        self._rng.seed(seed)

    def draw(self, board: chess.Board) -> chess.Move | None:
        """Return a move for ``board``; None where the book has none."""
        if self._openings is None:
            self._openings = read_book((resources.files("agentd") / BUNDLED).read_text())
        return draw_opening(self._openings, board, self._rng)
