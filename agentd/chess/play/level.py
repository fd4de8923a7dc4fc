"""The level of strength of a bot: among the moves that it looked at, which one it plays."""

import numpy as np
from numpy.typing import NDArray

from agentd.engine.rules.dial import BEST, Dial
from agentd.errors import UsageError
from agentd.games.chess.search.search import Search

LEVEL_NODES = 400
"""Positions a move at a level without a limit, so that it is worth the same on every machine."""


def set_level(search: Search, level: float | None, seed: int) -> None:
    """Let ``search`` play a game at ``level``, drawn by ``seed``; None and 100: as well as it can.

    Raises ValueError for a level outside 0 to 100.
    """
    search.choose = None if level is None or level >= BEST else _Chooser(level, seed)


def check_no_other_variety(
    level: float | None, rating: int | None, temperature: float | None
) -> None:
    """Raise UsageError where a level comes with a rating or a temperature above 0."""
    if level is not None and (rating is not None or temperature):
        raise UsageError("--level excludes --rating and --temperature: each says how it varies")


class _Chooser:
    """The dial of one game; every move is a moment of its only stream."""

    def __init__(self, level: float, seed: int) -> None:
        self._dial, self._moves = Dial(level, seed), 0

    def __call__(self, worth: NDArray[np.float64]) -> int:
        """Return the index of one of the moves that are worth so much, (M,)."""
        self._moves += 1
        stream = np.zeros(1, np.int64)
        return int(self._dial.choose(worth[None], None, (len(worth),), stream, self._moves)[0, 0])
