"""How well moves are predicted: shares of moves found, cross-entropy, rating by rating."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.features import features
from agentd.games.chess.board.moves import N_MOVES, legal_indices
from agentd.games.chess.board.position import NO_MOVE, Positions, unpack

Predict: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From inputs (B, N_FEATURES) to logits (B, 1858)."""

ILLEGAL = np.float32(-1e30)
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class MoveMatch:
    """Shares in [0, 1] of positions where the move played was the first, or among three.

    cross_entropy is in nats a move, over the legal moves; legal is how often the best move of all
    1,858 was a legal one, before the mask.
    """

    positions: int
    top1: float
    top3: float
    cross_entropy: float
    legal: float


class MoveTest:
    """Positions with the moves that people played; the legal moves are found once, here."""

    def __init__(self, rows: Positions) -> None:
        """Raises ValueError for a row without a move."""
        if not len(rows) or (rows["move"] == NO_MOVE).any():
            raise ValueError("move test: expected positions with the moves that were played")
        self.rows = rows
        self._legal = np.packbits(np.stack([_mask(row) for row in rows]), axis=1)

    def measure(self, predict: Predict, bands: Sequence[tuple[int, int]] = ()) -> list[MoveMatch]:
        """Return the figures of all positions, then of those of each band [low, high) of rating."""
        found = [self._judge(predict, at) for at in range(0, len(self.rows), _ROWS)]
        rank, loss, legal = (np.concatenate(column) for column in zip(*found, strict=True))
        ratings = self.rows["mover_rating"]
        groups = [np.ones(len(self.rows), np.bool_)]
        groups += [(low <= ratings) & (ratings < high) for low, high in bands]
        return [_summary(rank[group], loss[group], legal[group]) for group in groups]

    def _judge(self, predict: Predict, at: int) -> tuple[NDArray[np.generic], ...]:
        """Return rank of the move played, its cross-entropy, and whether the best was legal."""
        rows = self.rows[at : at + _ROWS]
        mask = np.unpackbits(self._legal[at : at + _ROWS], axis=1, count=N_MOVES).astype(np.bool_)
        logits = predict(features(rows))
        each, move = np.arange(len(rows)), rows["move"].astype(np.int64)
        legal = mask[each, logits.argmax(1)]
        masked = np.where(mask, logits, ILLEGAL)
        masked -= masked.max(1, keepdims=True)
        own = masked[each, move]
        rank = (masked > own[:, None]).sum(1)
        loss = np.log(np.exp(masked).sum(1, dtype=np.float64)) - own
        return rank, loss, legal


def _mask(row: np.void) -> NDArray[np.bool_]:
    mask = np.zeros(N_MOVES, np.bool_)
    mask[legal_indices(unpack(row))[1]] = True
    return mask


def _summary(
    rank: NDArray[np.generic], loss: NDArray[np.generic], legal: NDArray[np.generic]
) -> MoveMatch:
    if not len(rank):
        return MoveMatch(0, *[float("nan")] * 4)
    ranks = rank.astype(np.int64)
    return MoveMatch(
        len(ranks),
        float((ranks == 0).mean()),
        float((ranks < 3).mean()),
        float(loss.astype(np.float64).mean()),
        float(legal.astype(np.float64).mean()),
    )


def random_mover(rows: Positions) -> MoveMatch:
    """Return the figures of a player who draws evenly among the legal moves."""
    counts = np.array([_mask(row).sum() for row in rows], np.float64)
    top1, top3 = float((1 / counts).mean()), float(np.minimum(3 / counts, 1).mean())
    return MoveMatch(len(rows), top1, top3, float(np.log(counts).mean()), 1.0)
