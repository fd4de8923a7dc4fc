"""What a search is given and what it answers: evaluator, settings, lines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import chess
import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.score import Score

UNLIMITED = 200_000
"""Visits after which every search ends: its tree takes about a gibibyte then."""


class BudgetSpent(Exception):
    """A search by rule has looked at as many positions as it may, or its time is over."""


def never() -> bool:
    """The ``should_stop`` of a search that ends by its own limits."""
    return False


class Budget:
    """How many positions a search by rule may look at, and until when."""

    ASK_EVERY = 16
    """Positions between two looks at the clock."""

    def __init__(self, positions: int, should_stop: Callable[[], bool] = never) -> None:
        self.left, self._should_stop = positions, should_stop

    def spend(self) -> None:
        """Count one position. Raises BudgetSpent."""
        self.left -= 1
        if self.left < 0 or (self.left % self.ASK_EVERY == 0 and self._should_stop()):
            raise BudgetSpent


class Evaluator(Protocol):
    """Judges positions."""

    def evaluate(
        self, boards: Sequence[chess.Board]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits (B, 1858) over mover-relative moves, not masked, and win (B,) in [0, 1]."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How strong and how varied a search plays."""

    nodes: int | None = None
    """Visits of the tree; 1 plays the policy alone. None: as ``depth`` says, or until stopped."""
    depth: int | None = None
    """Plies that the tree may reach; without ``nodes`` it gets 50 · 4^(depth - 1) visits."""
    temperature: float = 0.0
    """0 plays the best move; above, moves are drawn by visits (by the policy at 1 node) ^ 1/T."""
    multipv: int = 1
    """Lines reported."""
    batch: int = 32
    """Leaves evaluated at once, at most."""
    explore: float = 1.0
    """PUCT's constant."""
    policy_temperature: float = 1.4
    """Above 1 the search trusts the policy less."""
    forcing: float = 0.1
    """Share of the prior given to captures, checks and promotions."""
    trust: float = 0.6
    """Weight of the network's value, in centipawns, at a leaf."""
    material: float = 0.4
    """Weight of the material on the board there."""
    exchange: float = 0.6
    """Weight of what captures win there. The three were fitted, on positions one or two random
    moves off the games of a held-out set, to Stockfish's win chances at 3,000 nodes: their root
    mean square error is 0.107, of the network alone 0.137."""
    seed: int = 0
    guarded: bool = False
    """With 1 node: short mates, a bare king, and moves that give a won game away for a draw are
    looked at before the policy's move."""

    def budget(self) -> int:
        """Visits after which the search ends by itself."""
        if self.nodes is not None:
            return max(1, min(self.nodes, UNLIMITED))
        if self.depth is not None:
            return min(50 << 2 * min(self.depth - 1, 8), UNLIMITED)
        return UNLIMITED


@dataclass(frozen=True, slots=True)
class Line:
    """One of the moves that the search considers, and what it expects after it."""

    move: chess.Move
    score: Score
    win: float
    """Expected score of the mover, [0, 1]."""
    visits: int
    moves: tuple[chess.Move, ...]


@dataclass(frozen=True, slots=True)
class SearchInfo:
    """Where a search stands; ``lines`` are best first, at most ``SearchSettings.multipv``."""

    depth: int
    nodes: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a search ended with; ``move`` is None where there is no legal move."""

    move: chess.Move | None
    ponder: chess.Move | None
    info: SearchInfo
