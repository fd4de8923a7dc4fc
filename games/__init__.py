"""Environments and encodings: what the numbers mean. Arrays in, arrays out; no sockets.

``make(name, streams, seed)`` builds any game of ``GAMES``; ``games.game`` says what a game is.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from agentd.games.cartpole import CartPole
from agentd.games.catch import Catch
from agentd.games.connect4 import ConnectFour, search_player
from agentd.games.deepsea import DeepSea
from agentd.games.duel import Duel, fly_by_rules
from agentd.games.game import ArraySpec, Game, Kind, Spec, TimeStep
from agentd.games.memory_chain import MemoryChain
from agentd.games.minatar import Breakout, SpaceInvaders
from agentd.games.negamax import negamax_player
from agentd.games.snake import Snake
from agentd.games.two_player import Against, InTurn, SelfPlay, random_player

__all__ = [
    "GAMES",
    "Against",
    "ArraySpec",
    "Breakout",
    "CartPole",
    "Catch",
    "ConnectFour",
    "DeepSea",
    "Duel",
    "Game",
    "InTurn",
    "Kind",
    "MemoryChain",
    "SelfPlay",
    "Snake",
    "SpaceInvaders",
    "Spec",
    "TimeStep",
    "make",
]

Make = Callable[[int, np.random.Generator], Game]

GAMES: dict[str, Make] = {
    "cartpole": CartPole,
    "cartpole-positions": partial(CartPole, positions_only=True),
    "catch": Catch,
    "catch-idle": partial(Catch, actions=30),
    "catch-noise": partial(Catch, noise=1.0),
    "catch-scale": partial(Catch, scale=1000.0),
    "connect4": lambda tables, rng: InTurn(ConnectFour(tables, rng, opening=10)),
    "connect4-random": lambda n, rng: Against(ConnectFour(n, rng), random_player(rng)),
    "connect4-search": lambda n, rng: Against(ConnectFour(n, rng), search_player(rng)),
    "connect4-search4": lambda n, rng: Against(ConnectFour(n, rng), negamax_player(rng, 4)),
    "deepsea": DeepSea,
    "duel": lambda tables, rng: SelfPlay(Duel(tables, rng, shaping=0.1)),
    "duel-script": lambda n, rng: Against(Duel(n, rng), fly_by_rules),
    "memory-chain": MemoryChain,
    "minatar-breakout": Breakout,
    "minatar-space-invaders": SpaceInvaders,
    "snake": Snake,
}
"""Every game by its name. The agent plays ``connect4`` and ``duel`` against itself; their other
names seat a player of ours opposite the agent."""


def make(name: str, streams: int = 1, seed: int | None = None) -> Game:
    """Return ``streams`` episodes of the game ``name``; the same ``seed`` plays the same game.

    Of a game with several seats it is as many worlds, with a stream a seat.
    Raises ValueError for a game that does not exist, or for fewer than one stream.
    """
    if name not in GAMES:
        raise ValueError(f"no game {name!r}; use one of {', '.join(sorted(GAMES))}")
    if streams < 1:
        raise ValueError(f"want at least 1 stream, got {streams}")
    return GAMES[name](streams, np.random.default_rng(seed))
