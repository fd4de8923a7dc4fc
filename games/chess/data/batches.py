"""Batches of chess positions to learn from: rows, inputs and targets.

The order of an epoch follows from seed and epoch alone, so training resumes anywhere in it. Rows
come from memory-mapped shards; nothing but the batch itself is copied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from agentd.games.chess.board.features import MIRRORED_MOVE, N_FEATURES, features, may_mirror
from agentd.games.chess.board.position import NO_EVAL, POSITION, Positions
from agentd.games.chess.board.score import SLOPE
from agentd.games.chess.data.lessons import marked

LITTLE = 0.02
"""Expected score that a move may lose and still count as best."""


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


class _Shuffled:
    """``size`` rows a step, shuffled anew each epoch; rows that fill no step are left out."""

    def __init__(self, rows: ChessRows, size: int, seed: int, source: int) -> None:
        if len(rows) < size:
            raise ValueError(f"chess rows: expected at least a batch of {size}, got {len(rows)}")
        self._rows, self._size, self._seed, self._source = rows, size, seed, source
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def at(self, step: int) -> Positions:
        """Return the rows of ``step``."""
        epoch, place = divmod(step, len(self._rows) // self._size)
        if epoch != self._epoch:
            rng = _rng(self._seed, epoch, self._source)
            self._epoch, self._order = epoch, rng.permutation(len(self._rows))
        return self._rows.take(self._order[place * self._size : (place + 1) * self._size])


class _Best:
    """``size`` rows a step of those whose move lost less than ``LITTLE``, marked as best play."""

    def __init__(self, rows: ChessRows, size: int, seed: int, source: int) -> None:
        self._size = size
        self._all = _Shuffled(rows, min(4 * size, len(rows)), seed, source)
        if not _as_good_as_best(self._all.at(0)).any():
            raise ValueError("chess rows: expected evaluations, to tell which moves were best")

    def at(self, step: int) -> Positions:
        """Return the rows of ``step``; where it has too few of them, some come twice."""
        rows = self._all.at(step)
        return marked(np.resize(rows[_as_good_as_best(rows)], self._size))


def _as_good_as_best(rows: Positions) -> NDArray[np.bool_]:
    known = (rows["eval"] != NO_EVAL) & (rows["after"] != NO_EVAL)
    lost = win_probability(rows["eval"]) - win_probability(rows["after"])
    return np.asarray(known & (lost < LITTLE))


class ChessBatches:
    """Batches that mix rows of games and of other sources; each source is shuffled by itself.

    mirror   whether every second position that allows it is shown with file a for file h
    best     how many rows of a batch are games' rows with a move as good as the best, so marked
    lessons  other sources, and how many rows of a batch each gives
    """

    def __init__(
        self,
        rows: ChessRows,
        size: int,
        seed: int,
        mirror: bool = True,
        best: int = 0,
        lessons: Sequence[tuple[ChessRows, int]] = (),
    ) -> None:
        """Raises ValueError when there are fewer rows than a batch takes, or no evaluations."""
        self.size, self.seed, self.mirror = size, seed, mirror
        sources = [(rows, size - best - sum(taken for _, taken in lessons)), *lessons]
        self._sources: list[_Shuffled | _Best] = []
        self._sources += [_Shuffled(*each, seed, n) for n, each in enumerate(sources)]
        if best:
            self._sources.append(_Best(rows, best, seed, len(sources)))

    def from_step(self, step: int, stride: int = 1) -> Iterator[ChessBatch]:
        """Yield every ``stride``-th batch without end, beginning with that of ``step``."""
        for at in count(step, stride):
            rows = np.concatenate([source.at(at) for source in self._sources])
            yield self._batch(rows, _rng(self.seed, at, len(self._sources)))

    def _batch(self, rows: Positions, rng: np.random.Generator) -> ChessBatch:
        move, mirrored = rows["move"].astype(np.int32), None
        if self.mirror:
            mirrored = may_mirror(rows) & (rng.random(len(rows)) < 0.5)
            move = np.where(mirrored, MIRRORED_MOVE[move], move).astype(np.int32)
        inputs = np.empty((len(rows), N_FEATURES), np.float32)
        features(rows, mirrored, inputs)
        win, value = expected_score(rows)[:, None], move_score(rows)[:, None]
        return ChessBatch(inputs, move, win, value)


def _rng(seed: int, step: int, source: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step, source)))
