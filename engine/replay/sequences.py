"""Sequences: runs of one episode's rows, read from a replay ring for a network that remembers.

Kapturowski et al. 2019 ("Recurrent Experience Replay in Distributed Reinforcement Learning", R2D2):
the state that the agent had is kept with every row; a sequence begins with the one before its first
row, and a few rows more before that let it catch up with the present weights (burn-in). A sequence
never leaves its episode: where that is shorter, the places left over count for nothing. A row that
is drawn stands anywhere in its sequence, so that an episode's first rows are learned from as often
as others, with all that follows them.

Shapes: L sequences, T rows each of which the first P are learned from, K rows of burn-in, D
features, N branches, A actions, S numbers of a state; M = P L. All is time first: (P, L) as (M,).
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.replay.rows import FIRST, MID, ReplayError, RowFormat, Rows, inputs, row_before
from agentd.engine.replay.transitions import TransitionReader
from agentd.engine.strictyaml import Record


class SequenceConfig(Record, frozen=True, kw_only=True):
    """What a recurrent model learns from: runs of rows, with the states that were kept (R2D2)."""

    batch: Annotated[int, Meta(ge=1, le=4096)] = 32  # sequences per update, instead of dqn.batch
    length: Annotated[int, Meta(ge=1, le=1024)] = 40  # rows of each that are learned from
    burn_in: Annotated[int, Meta(ge=0, le=1024)] = 10  # rows before them that refresh the state

    def rows(self, n_step: int) -> int:
        """Return how many rows of a stream one sequence may reach over."""
        return self.burn_in + self.length + n_step


class SequenceBatch(NamedTuple):
    """A batch of sequences in host memory, valid until the next read.

    before       (K L, D) float32: the inputs of the rows of burn-in
    begun        (K, L) bool: False where a sequence has not begun yet
    memory       (L, S) float32: the state before the first row
    x            (T L, D) float32: the inputs of the rows
    action_tm1   (M, N) int32
    reward_t     (M,) float32, the discounted rewards of the steps that follow
    discount_t   (M,) float32, as of `TransitionBatch`
    ahead        (M,) int32: which row of ``x`` is the last of these steps
    mask         (2 M, A) uint8, of the rows themselves and of those ahead; None: all is legal
    valid        (P, L) bool: False where the sequence is over
    """

    before: NDArray[np.float32]
    begun: NDArray[np.bool_]
    memory: NDArray[np.float32]
    x: NDArray[np.float32]
    action_tm1: NDArray[np.int32]
    reward_t: NDArray[np.float32]
    discount_t: NDArray[np.float32]
    ahead: NDArray[np.int32]
    mask: NDArray[np.uint8] | None
    valid: NDArray[np.bool_]


class SequenceReader:
    """Reads sequences around given rows into buffers of its own; n-step returns as elsewhere.

    A row must be one that a sampler with ``stack`` rows may draw.
    """

    def __init__(
        self,
        format: RowFormat,
        config: SequenceConfig,
        n_step: int,
        gamma: float,
        shape_reward: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> None:
        self._format, self._config = format, config
        lanes, length, burn_in = config.batch, config.length, config.burn_in
        self.times = length + n_step
        self.stack = max(2, format.depth)  # a row whose stack and state are in the ring
        self._reader = TransitionReader(
            format, lanes * length, n_step, gamma, shape_reward, demonstrated=n_step
        )
        self._reader.observes, self._reader.sees_by = False, True
        count = (burn_in + self.times) * lanes
        self._x = np.empty((count, format.features), np.float32)
        self._raw = np.empty((count * format.stack, format.row_bytes), np.uint8)
        self._row = np.empty((burn_in + self.times, lanes), np.int64)
        self._back = np.empty((length + burn_in + self.stack - 1, lanes), np.int64)

    def read(
        self, rows: Rows, lo: int, hi: int, drawn: NDArray[np.int64], place: NDArray[np.int64]
    ) -> SequenceBatch:
        """Return the sequences in which the rows ``drawn`` (L,) stand at ``place`` (L,) < P.

        Or as near to it as the rows before them allow. Raises NStepTooLong, ReplayError.
        """
        length, burn_in = self._config.length, self._config.burn_in
        row, (start, begun) = self._row, self._walk_back(rows, lo, drawn, place)
        there = self._walk_on(rows, hi, start)
        valid = there[1 : length + 1]
        own = np.where(valid, row[burn_in : burn_in + length], start)
        read = self._reader.read(rows, hi, own.reshape(-1))
        first = np.where(valid, np.arange(length)[:, np.newaxis], 0)
        ahead = (first + self._reader.steps.reshape(first.shape)) * len(start)
        ahead += np.arange(len(start))
        inputs(rows, row.reshape(-1) % rows.capacity, self._raw, self._x)
        cut = burn_in * len(start)
        return SequenceBatch(
            before=self._x[:cut],
            begun=begun,
            memory=self._memory(rows, lo, row[0]),
            x=self._x[cut:],
            action_tm1=read.action_tm1,
            reward_t=read.reward_t,
            discount_t=read.discount_t,
            ahead=ahead.reshape(-1).astype(np.int32),
            mask=read.mask,
            valid=valid,
        )

    def _walk_back(
        self, rows: Rows, lo: int, drawn: NDArray[np.int64], place: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Write the rows of burn-in; return the first row behind them (L,) and ``begun``.

        A row counts only with the rows that its input and its state are made of.
        """
        back, lane = self._back, np.arange(len(drawn))
        back[0], known = drawn, np.zeros(len(drawn), np.int64)
        for k in range(1, len(back)):
            before = row_before(rows, back[k - 1] % rows.capacity)
            there = before >= lo
            known += there
            back[k] = np.where(there, before, back[k - 1])
        whole = rows.kind[back[-1] % rows.capacity] == FIRST
        usable = np.where(whole, known, known - (self.stack - 1))
        shift = np.minimum(place, usable)
        refreshed = np.minimum(self._config.burn_in, usable - shift)
        age = np.arange(self._config.burn_in, 0, -1)[:, np.newaxis]
        self._row[: len(age)] = back[shift + np.minimum(age, refreshed), lane]
        return back[shift, lane], age <= refreshed

    def _walk_on(self, rows: Rows, hi: int, start: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Write the rows from ``start`` on; return where they are, (T, L)."""
        row = self._row[self._config.burn_in :]
        there = np.ones((self.times, len(start)), np.bool_)
        row[0] = start
        for t in range(1, self.times):
            slot = row[t - 1] % rows.capacity
            after = rows.next[slot]
            going = (after > row[t - 1]) & (after < hi) & (rows.kind[slot] <= MID)
            there[t] = there[t - 1] & going
            row[t] = np.where(there[t], after, row[t - 1])
        return there

    def _memory(self, rows: Rows, lo: int, first: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the state before each row ``first`` (L,): what the row before it left, or 0."""
        if rows.memory is None:
            raise ReplayError("sequences: the ring does not say what was remembered")
        before = row_before(rows, first % rows.capacity)
        memory: NDArray[np.float32] = rows.memory[before % rows.capacity].astype(np.float32)
        memory[before < lo] = 0.0
        return memory
