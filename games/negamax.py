"""Search in games that can be simulated: full-width negamax over learned values.

Wins and losses within the plies looked at are exact; beyond them counts what a value function says.
Equal positions of one ply are looked at once, whichever moves led there: of Connect Four's 117,649
orders of six moves 16,422 positions are left.

Shape letters: N positions, A actions, E moves (edges) of one ply.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import Kind, Observations, TimeStep
from agentd.games.two_player import Against, InTurn, Player, Tables, pick_any

Positions = NDArray[np.int8]
"""(N, ...): each as the side sees it that moves next."""
Values = Callable[[Observations, NDArray[np.bool_]], NDArray[np.floating[Any]]]
"""``values(observations, legal)``: what each action is worth to the side that moves, (N, A)."""

BLOCK = 4_096
"""So many positions are valued at once, at most."""
DISCOUNT = 0.99
"""A win now is better than a win later, and a loss later better than one now."""


class Outcome(NamedTuple):
    """What N moves led to."""

    after: Positions  # as the other side sees it, which moves next
    won: NDArray[np.bool_]  # (N,) the move won the game
    drawn: NDArray[np.bool_]  # (N,) the move ended the game, and nobody won


class SimulatedGame(Protocol):
    """A two-player game in turns whose rules can be asked what a move would do."""

    def positions(self, tables: Tables) -> Positions:
        """Return where each of ``tables`` (N,) stands."""

    def moves(self, positions: Positions) -> NDArray[np.bool_]:
        """Return the legal actions, (N, A)."""

    def outcome(self, positions: Positions, actions: NDArray[np.integer[Any]]) -> Outcome:
        """Return what the legal ``actions`` (N,) lead to."""

    def look(self, positions: Positions) -> Observations:
        """Return what the side that moves observes, name -> (N, ...)."""

    def position_of(self, observations: Observations) -> Positions:
        """Return the positions that ``look`` shows so: its inverse. Numbers of any dtype."""


def no_values(observations: Observations, legal: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Know nothing of a position: every action is worth 0."""
    return np.zeros(legal.shape, np.float32)


def search(
    game: SimulatedGame,
    positions: Positions,
    values: Values = no_values,
    plies: int = 4,
    discount: float = DISCOUNT,
) -> NDArray[np.float32]:
    """Return what each action is worth at each of ``positions``, (N, A), ``plies`` moves ahead.

    A win on the k-th move from here is worth ``discount`` ** (k - 1), a loss less that; after the
    last ply the best of ``values`` counts, cut to [-1, 1]. They are asked for at most ``BLOCK``
    positions at once. Illegal actions are worth minus infinity. Negamax: Shannon 1950,
    "Programming a Computer for Playing Chess", section 3. Raises ValueError for fewer than one ply.
    """
    if plies < 1:
        raise ValueError(f"want at least 1 ply, got {plies}")
    ahead: list[_Ply] = []
    at = positions
    for _ in range(plies):
        if len(at) == 0:
            break
        ply, at = _expand(game, at)
        ahead.append(ply)
    worth = _leaf_values(game, at, values)
    for ply in reversed(ahead):
        q = ply.back_up(worth, discount)
        worth = q.max(axis=1)
    return q


@dataclass(frozen=True, slots=True)
class _Ply:
    """All moves of one ply, and where they lead."""

    legal: NDArray[np.bool_]  # (N, A)
    won: NDArray[np.bool_]  # (E,)
    goes_on: NDArray[np.bool_]  # (E,)
    leads_to: NDArray[np.intp]  # for each move that goes on: which of the next ply's positions

    def back_up(self, worth: NDArray[np.float32], discount: float) -> NDArray[np.float32]:
        """Return (N, A) from what the next ply's positions are worth to the other side."""
        edges = self.won.astype(np.float32)
        edges[self.goes_on] = -np.float32(discount) * worth[self.leads_to]
        q = np.full(self.legal.shape, -np.inf, np.float32)
        q[self.legal] = edges
        return q


def _expand(game: SimulatedGame, positions: Positions) -> tuple[_Ply, Positions]:
    legal = game.moves(positions)
    parent, action = np.nonzero(legal)
    after, won, drawn = game.outcome(positions[parent], action)
    goes_on = ~(won | drawn)
    children, leads_to = _distinct(after[goes_on])
    return _Ply(legal, won, goes_on, leads_to), children


def _distinct(positions: Positions) -> tuple[Positions, NDArray[np.intp]]:
    """Return each position once, and which of them each of ``positions`` is."""
    if len(positions) == 0:
        return positions, np.zeros(0, np.intp)
    flat = np.ascontiguousarray(positions.reshape(len(positions), -1))
    keys = flat.view(np.dtype((np.void, flat.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return positions[first], which.reshape(-1)


def _leaf_values(game: SimulatedGame, positions: Positions, values: Values) -> NDArray[np.float32]:
    worth = np.zeros(len(positions), np.float32)
    for at in range(0, len(positions), BLOCK):
        block = positions[at : at + BLOCK]
        legal = game.moves(block)
        q = np.where(legal, values(game.look(block), legal), -np.inf)
        worth[at : at + BLOCK] = np.clip(q.max(axis=1), -1, 1)
    return worth


def pick_best(rng: np.random.Generator, q: NDArray[np.float32]) -> NDArray[np.integer[Any]]:
    """Return one of the best actions of each row of ``q`` (N, A), each equally likely."""
    return pick_any(rng, q == q.max(axis=1, keepdims=True))


def negamax_player(rng: np.random.Generator, plies: int) -> Player:
    """A player that sees so many plies ahead and knows nothing of what comes after.

    Among moves of the same value it draws lots.
    """

    def choose(world: SimulatedGame, tables: Tables, seat: int) -> NDArray[np.integer[Any]]:
        return pick_best(rng, search(world, world.positions(tables), plies=plies))

    return choose


def is_simulated(game: object) -> TypeGuard[Against]:
    """Return whether the agent plays one side of a game whose world is a ``SimulatedGame``."""
    return isinstance(game, Against) and hasattr(game.world, "outcome")


def is_simulated_in_turn(game: object) -> TypeGuard[InTurn]:
    """Return whether the agent plays both sides of a game whose world is a ``SimulatedGame``."""
    return isinstance(game, InTurn) and hasattr(game.world, "outcome")


def moves_not_lost(game: SimulatedGame, positions: Positions, plies: int = 2) -> NDArray[np.uint8]:
    """Return 1 for the legal moves, (N, A), after which the other side cannot force a win.

    As far as ``plies`` moves show it, 2: its reply. Where every move loses, all legal ones are 1.
    """
    legal = game.moves(positions)
    safe = legal & (search(game, positions, plies=plies) >= 0)
    kept: NDArray[np.bool_] = np.where(safe.any(axis=1, keepdims=True), safe, legal)
    return kept.astype(np.uint8)


class Guarded:
    """A game that bars, by its mask, the moves of the agent that lose to the other's reply."""

    def __init__(self, game: Against) -> None:
        """``game`` is one that ``is_simulated``."""
        self._game = game
        self._world: SimulatedGame = game.world  # type: ignore[assignment]
        self.spec, self.streams = game.spec, game.streams

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """See ``Game.reset``."""
        return self._barred(self._game.reset(streams))

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """See ``Game.step``."""
        return self._barred(self._game.step(actions))

    def render(self, stream: int = 0) -> str:
        """See ``Game.render``."""
        return self._game.render(stream)

    def _barred(self, frame: TimeStep) -> TimeStep:
        """The same rows; those in which the agent moves have the mask of moves that do not lose."""
        assert frame.mask is not None
        moving, mask = frame.kind < Kind.TERMINATED, frame.mask.copy()
        mask[moving] = moves_not_lost(self._world, self._world.positions(frame.stream[moving]))
        return frame._replace(mask=mask)
