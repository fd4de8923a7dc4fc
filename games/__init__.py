"""Environments and encodings: what the numbers mean. Arrays in, arrays out; no sockets.

``make(name, streams, seed)`` builds any game of ``GAMES``; ``games.game`` says what a game is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from games.cartpole import CartPole
from games.catch import Catch
from games.game import Frame, Game, Kind, Spec, Tensor
from games.snake import Snake

__all__ = ["GAMES", "CartPole", "Catch", "Frame", "Game", "Kind", "Snake", "Spec", "Tensor", "make"]

GAMES: dict[str, Callable[[int, np.random.Generator], Game]] = {
    "cartpole": CartPole,
    "catch": Catch,
    "snake": Snake,
}


def make(name: str, streams: int = 1, seed: int | None = None) -> Game:
    """Return ``streams`` episodes of the game ``name``; the same ``seed`` plays the same game.

    Raises ValueError for a game that does not exist, or for fewer than one stream.
    """
    if name not in GAMES:
        raise ValueError(f"no game {name!r}; use one of {', '.join(sorted(GAMES))}")
    if streams < 1:
        raise ValueError(f"want at least 1 stream, got {streams}")
    return GAMES[name](streams, np.random.default_rng(seed))
