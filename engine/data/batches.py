"""Batches: shuffled, normalised rows in float32, prepared ahead of their use.

Rows are prepared in slabs of several batches, so that a small batch costs one slice and threads
meet rarely. The order of an epoch is a function of seed and epoch alone: training resumes in the
middle of one by naming epoch and position.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data.dataset import Dataset
from agentd.engine.data.normalize import Normalizer
from agentd.engine.data.prefetch import Prefetch

SLAB_NUMBERS = 1 << 18
"""Input numbers of a slab, 1 MiB of float32: it stays in the second-level cache's reach."""


@dataclass(frozen=True, slots=True)
class Minibatch:
    """B rows: inputs (B, D) float32, targets (B,) int32 or (B, K) float32; valid until the next."""

    inputs: NDArray[np.float32]
    targets: NDArray[Any]


class Batches:
    """The batches of a data set, epoch by epoch.

    seed   of the shuffle; None keeps the data's order
    ahead  slabs that a thread prepares before they are asked for; 0 uses no thread
    """

    def __init__(
        self,
        data: Dataset,
        size: int,
        normalizer: Normalizer,
        *,
        seed: int | None = None,
        ahead: int = 2,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.data, self.size, self.ahead = data, size, ahead
        self.count = -(-len(data) // size)
        self.waited_s = 0.0
        self._normalizer, self._seed, self._clock = normalizer, seed, clock
        per_slab = max(1, SLAB_NUMBERS // max(1, data.features * size))
        self._slab = min(per_slab, self.count) * size
        shape = (min(self._slab, len(data)), data.features)
        self._buffers = [np.empty(shape, np.float32) for _ in range(ahead + 2)]

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows (N,) of an epoch in the order they are used."""
        index = self.data.index
        if index is None:
            index = np.arange(len(self.data))
        if self._seed is None:
            return index
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(2, epoch)))
        return rng.permutation(index)

    def epoch(self, epoch: int = 0, start: int = 0, stride: int = 1) -> Iterator[Minibatch]:
        """Yield each ``stride``-th batch of an epoch from ``start`` on; the last may be smaller."""
        rows = self.order(epoch)[start * self.size :]
        if stride > 1:
            begins = range(0, len(rows), stride * self.size)
            own = [rows[at : at + self.size] for at in begins]
            rows = np.concatenate(own) if own else rows
        slabs = self._slabs(rows)
        if not self.ahead or len(rows) <= self._slab:  # one slab: nothing to be ahead of
            yield from self._cut(slabs)
            return
        with Prefetch(slabs, self.ahead, self._clock) as ready:
            try:
                yield from self._cut(ready)
            finally:
                self.waited_s += ready.waited_s

    def _slabs(self, order: NDArray[np.int64]) -> Iterator[Minibatch]:
        for number, at in enumerate(range(0, len(order), self._slab)):
            rows = order[at : at + self._slab]
            out = self._buffers[number % len(self._buffers)][: len(rows)]
            self._normalizer.apply(self.data.inputs[rows], out)
            yield Minibatch(out, self.data.targets[rows])

    def _cut(self, slabs: Iterator[Minibatch]) -> Iterator[Minibatch]:
        for slab in slabs:
            for at in range(0, len(slab.inputs), self.size):
                yield Minibatch(slab.inputs[at : at + self.size], slab.targets[at : at + self.size])


def split(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset | None]:
    """Return training and validation data: ``share`` of the rows, drawn from ``seed``, held out.

    No validation data where the share comes to no row; at least one row stays for training.
    """
    held = min(round(share * len(data)), len(data) - 1)
    if held < 1:
        return data, None
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    order = rng.permutation(len(data))
    return data.take(np.sort(order[held:])), data.take(np.sort(order[:held]))
