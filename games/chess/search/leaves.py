"""What a search makes of a network's word on a leaf: priors to explore by, and a value.

The value is the network's win probability, held to the material on the board and to what captures
alone win: one look at a position misses hanging pieces, and positions of a search are wilder than
those that a network learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import chess
import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.score import cp_to_win, win_to_cp
from agentd.games.chess.search.captures import exchange_gain, material
from agentd.games.chess.search.settings import SearchSettings
from agentd.games.chess.search.tree import Node

FIFTY = 100
"""Half-moves without a capture or a pawn's move after which a game is a draw."""


@dataclass(slots=True)
class SearchLeaf:
    """A path's end that the network shall judge: legal ``moves`` and their ``numbers`` (M,)."""

    path: list[Node]
    moves: list[chess.Move]
    numbers: NDArray[np.int16]
    checks: list[chess.Move] = field(default_factory=list)


@dataclass(slots=True)
class Judged:
    """What the transposition table keeps of a position; the likeliest move comes first."""

    moves: Sequence[chess.Move]
    priors: Sequence[float]
    policy: NDArray[np.float32]
    """The network's own probabilities of ``moves``."""
    value: float


def judge(
    leaf: SearchLeaf,
    board: chess.Board,
    logits: NDArray[np.float32],
    win: float,
    settings: SearchSettings,
) -> Judged:
    """Return what the search keeps of a leaf with the logits (M,) of its moves and a win chance."""
    logits = logits - logits.max()
    policy = np.exp(logits)
    policy /= policy.sum()
    priors = np.exp(logits / np.float32(settings.policy_temperature))
    priors /= priors.sum()
    theirs, checks = board.occupied_co[not board.turn], leaf.checks
    forcing = [
        n
        for n, move in enumerate(leaf.moves)
        if move.promotion or theirs >> move.to_square & 1 or (checks and move in checks)
    ]
    if forcing:
        priors *= 1.0 - settings.forcing
        priors[forcing] += settings.forcing / len(forcing)
    order = np.argsort(-priors, kind="stable")
    ahead = settings.trust * win_to_cp(win) + settings.material * material(board)
    won = exchange_gain(board)
    win = cp_to_win(ahead + settings.exchange * won)
    moves = [leaf.moves[n] for n in order.tolist()]
    return Judged(moves, priors[order].tolist(), policy[order], win)


def fade(value: float, clock: int) -> float:
    """Return ``value`` pulled to a draw, as ``clock`` half-moves went by without progress.

    By a tenth over the first 60, which prefers progress where all else is equal, and wholly as the
    fifty-move rule comes near.
    """
    left = 1.0 - clock / 600.0 if clock <= 60 else max(0.0, 0.9 * (FIFTY - clock) / 40.0)
    return 0.5 + (value - 0.5) * left
