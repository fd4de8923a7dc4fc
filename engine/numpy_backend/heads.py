"""The dueling head's aggregation: values and advantages to action values, over legal actions."""

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import TypeAlias

import numpy as np
from numpy import add, matmul, multiply, subtract

from agentd.engine.backend import Step
from agentd.engine.errors import ShapeError
from agentd.engine.numpy_backend.gemm import bind_rowwise
from agentd.engine.numpy_backend.memory import MemoryOps, Nd

_Share: TypeAlias = Callable[[], Nd]


class HeadOps(MemoryOps):
    """``z`` (B, 1 + A) holds the state value first, then the advantages of all branches."""

    def dueling(self, z: Nd, mask: Nd, branches: tuple[int, ...], q: Nd) -> Step:
        share = self._legal_share(mask, branches, q)
        value, advantage = z[:, :1], z[:, 1:]
        spread = self._branch_sums(branches)
        product, mean = self.empty(q.shape), self.empty(q.shape)
        bind = bind_rowwise if self.rowwise else partial(partial, matmul)
        means = bind(product, spread, mean)  # every action: its branch's mean

        def step() -> None:
            multiply(advantage, share(), product)
            means()
            subtract(advantage, mean, q)
            add(q, value, q)

        return step

    def dueling_backward(self, dq: Nd, mask: Nd, branches: tuple[int, ...], dz: Nd) -> Step:
        share = self._legal_share(mask, branches, dq)
        reduce = add.reduce
        spread, total = self._branch_sums(branches), self.empty(dq.shape)
        value, advantage = dz[:, 0], dz[:, 1:]

        def step() -> None:
            reduce(dq, 1, None, value)
            matmul(dq, spread, total)
            multiply(total, share(), total)
            subtract(dq, total, advantage)

        return step

    def _branch_sums(self, branches: tuple[int, ...]) -> Nd:
        """Return S (A, A) with 1 where two actions share a branch: x @ S sums over branches."""
        owner = np.repeat(np.arange(len(branches)), branches)
        return self.asarray((owner[:, None] == owner).astype(self.dtype))

    def _legal_share(self, mask: Nd, branches: tuple[int, ...], q: Nd) -> _Share:
        """Return a function that gives 1 / (legal actions of the branch), 0 where illegal."""
        if q.shape[1] != sum(branches):
            raise ShapeError("dueling", (len(q), sum(branches)), q.shape)
        if mask is None:
            even = self.asarray(np.repeat([1 / n for n in branches], branches).astype(self.dtype))
            return lambda: even
        starts = [0, *accumulate(branches)][:-1]
        legal, counts = self.empty(q.shape), self.empty((len(q), len(branches)))
        owner = np.repeat(np.arange(len(branches)), branches)

        def share() -> Nd:
            np.copyto(legal, mask)
            add.reduceat(legal, starts, 1, None, counts)
            np.maximum(counts, 1, out=counts)
            np.divide(legal, counts[:, owner], legal)
            return legal

        return share
