"""Batches of chess positions to learn from: which rows, what a network sees, what it should say.

The order of an epoch follows from seed and epoch alone, so training resumes anywhere in it. Rows
come from memory-mapped shards; nothing but the batch itself is copied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from games.chess_features import MIRRORED_MOVE, N_FEATURES, features, may_mirror
from games.chess_position import NO_EVAL, POSITION, Positions
from games.chess_score import SLOPE


def win_probability(centipawns: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return the expected score in [0, 1] of evaluations: 1 / (1 + exp(-0.00368208 cp))."""
    clipped = np.clip(centipawns.astype(np.float32), -4000, 4000)
    return np.asarray(1 / (1 + np.exp(-SLOPE * clipped)), np.float32)


def expected_score(rows: Positions) -> NDArray[np.float32]:
    """Return (B,) what the mover may expect: by the evaluation, or else by the result."""
    result = (rows["result"].astype(np.float32) + 1) / 2
    known = rows["eval"] != NO_EVAL
    return np.where(known, win_probability(rows["eval"]), result).astype(np.float32)


def move_score(rows: Positions) -> NDArray[np.float32]:
    """Return (B,) Q(s, a) of the move played: what the mover may expect after it.

    From the evaluation after the move; the game's result where there is none.
    """
    result = (rows["result"].astype(np.float32) + 1) / 2
    known = rows["after"] != NO_EVAL
    return np.where(known, win_probability(rows["after"]), result).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ChessBatch:
    """B positions: inputs (B, N_FEATURES), the move's number (B,) int32, and two targets (B, 1)."""

    inputs: NDArray[np.float32]
    move: NDArray[np.int32]
    win: NDArray[np.float32]
    action_value: NDArray[np.float32]


class ChessRows:
    """The rows of all shards, numbered through; a batch is a sorted draw from them."""

    def __init__(self, shards: Sequence[Positions]) -> None:
        """Raises ValueError when there are no rows."""
        self._shards = [shard for shard in shards if len(shard)]
        self._starts = np.cumsum([0, *(len(shard) for shard in self._shards)])
        if not self._shards:
            raise ValueError("chess rows: expected at least one position, got none")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, index: NDArray[np.int64]) -> Positions:
        """Return the rows ``index`` (B,), sorted by number."""
        index = np.sort(index)
        out = np.empty(len(index), POSITION)
        cuts = np.searchsorted(index, self._starts)
        for shard, start, lo, hi in zip(
            self._shards, self._starts, cuts[:-1], cuts[1:], strict=False
        ):
            if hi > lo:
                out[lo:hi] = shard[index[lo:hi] - start]
        return out


class ChessBatches:
    """Shuffled batches, epoch by epoch; the last rows of an epoch that fill no batch are left out.

    mirror   whether every second position that allows it is shown with file a for file h
    """

    def __init__(self, rows: ChessRows, size: int, seed: int, mirror: bool = True) -> None:
        """Raises ValueError when there are fewer rows than a batch takes."""
        if len(rows) < size:
            raise ValueError(f"chess rows: expected at least a batch of {size}, got {len(rows)}")
        self.rows, self.size, self.seed, self.mirror = rows, size, seed, mirror
        self.per_epoch = len(rows) // size

    def from_step(self, step: int) -> Iterator[ChessBatch]:
        """Yield batches without end, beginning with that of ``step``."""
        epoch, position = divmod(step, self.per_epoch)
        while True:
            order = self._rng(epoch, 0).permutation(len(self.rows))
            for at in range(position, self.per_epoch):
                chosen = order[at * self.size : (at + 1) * self.size]
                yield self._batch(self.rows.take(chosen), self._rng(epoch, 1 + at))
            epoch, position = epoch + 1, 0

    def _batch(self, rows: Positions, rng: np.random.Generator) -> ChessBatch:
        move, mirrored = rows["move"].astype(np.int32), None
        if self.mirror:
            mirrored = may_mirror(rows) & (rng.random(len(rows)) < 0.5)
            move = np.where(mirrored, MIRRORED_MOVE[move], move).astype(np.int32)
        inputs = np.empty((len(rows), N_FEATURES), np.float32)
        features(rows, mirrored, inputs)
        win, value = expected_score(rows)[:, None], move_score(rows)[:, None]
        return ChessBatch(inputs, move, win, value)

    def _rng(self, epoch: int, place: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, place)))
