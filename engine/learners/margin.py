"""The margin loss on demonstrations: no other action is as good as the one that was shown.

Shapes: B rows of a batch, A actions over all branches, N branches, Z numbers an action.
"""

from collections.abc import Mapping
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, Step
from agentd.engine.learners.heads import Head
from agentd.engine.replay.demonstrations import DemonstrationConfig
from agentd.engine.replay.rows import RowFormat

_KEEP = 0.999
"""Share of the running moments that an update leaves: about the last thousand updates count."""


class MarginLoss:
    """Adds the margin loss of demonstrated rows to a batch's loss and gradient.

    Hester et al. 2018 (arXiv:1704.03732): the mean of J_E over the batch's demonstrations times a
    weight that fades with the updates that had any. The margin is in deviations of the targets, of
    which running moments are kept, so that it fits rewards of any size.
    """

    def __init__(
        self,
        backend: Backend,
        size: int,
        format: RowFormat,
        head: Head,
        config: DemonstrationConfig,
    ) -> None:
        self.config = config
        self.updates = 0
        self._backend, self._head, self._branches = backend, head, format.branches
        self._moments = (0.0, 0.0, 0.0)  # fading sums: of 1, of targets, of their squares
        self._size, self._share = size, np.zeros(size, np.float32)
        self._made: _Arrays | None = None
        self._bound: dict[bool, tuple[Step, ...]] = {}

    @property
    def margin(self) -> float:
        """By how much the demonstrated action should be the best: 0 before the first update."""
        count, total, squares = self._moments
        if not count:
            return 0.0
        mean = total / count
        return self.config.margin * sqrt(max(0.0, squares / count - mean * mean))

    @property
    def loss(self) -> float:
        """The weighted loss of the last update that had demonstrations.

        0 before the first such update, and when its weight has faded to nothing.
        """
        last = max(0, self.updates - 1)
        if self._made is None or not self.config.weight_after(last):
            return 0.0
        return float(self._backend.to_host(self._made.mean)[0])

    def add(
        self,
        by: NDArray[np.uint8],
        mask: Host | None,
        action: Array,
        target: Array,
        y: Array,
        dy: Array,
        loss: Array,
    ) -> None:
        """Add to ``loss`` (1,) and ``dy`` (B, Z A), in place.

        by (B,): who chose the actions, 0 the agent; mask (B, A) of the legal ones or None; action
        (B, N); target: what the step wrote; y (B, Z A): the outputs. The arrays of the backend must
        be the same ones at each call.
        """
        self._see(self._head.means(self._backend.to_host(target)))
        shown = by > 0
        count = int(np.count_nonzero(shown))
        weight = self.config.weight_after(self.updates)
        self.updates += 1
        if not count or not weight:
            return
        made = self._made = self._made or _Arrays(self._backend, self._size, sum(self._branches))
        np.multiply(shown, weight * self._size / count, out=self._share)
        write = self._backend.write
        write(made.weight, self._share)
        write(made.margin, np.array([self.margin]))
        if mask is not None:
            write(made.mask, mask)
        steps = self._bound.get(mask is not None)
        if steps is None:
            steps = self._bind(made, action, y, dy, loss, masked=mask is not None)
            self._bound[mask is not None] = steps
        for step in steps:
            step()

    def get_state(self) -> dict[str, Any]:
        """Return JSON values; none where there never was a demonstration."""
        if not self.updates:
            return {}
        return {"demonstrations": {"updates": self.updates, "moments": list(self._moments)}}

    def set_state(self, scalars: Mapping[str, Any]) -> None:
        """Continue exactly where ``get_state`` was called."""
        state = scalars.get("demonstrations", {"updates": 0, "moments": (0.0, 0.0, 0.0)})
        self.updates = int(state["updates"])
        count, total, squares = map(float, state["moments"])
        self._moments = (count, total, squares)

    def _see(self, target: NDArray[np.floating[Any]]) -> None:
        """Take a batch's targets into the moments, unless one is not finite."""
        values = target.astype(np.float64)
        first, second = float(values.mean()), float((values * values).mean())
        if isfinite(second):
            count, total, squares = self._moments
            self._moments = (_KEEP * count + 1, _KEEP * total + first, _KEEP * squares + second)

    def _bind(
        self, made: "_Arrays", action: Array, y: Array, dy: Array, loss: Array, *, masked: bool
    ) -> tuple[Step, ...]:
        be, head = self._backend, self._head
        mask = made.mask if masked else None
        given = (made.q, action, mask, made.weight, self._branches, made.margin)
        return (
            head.bind_values(be, y, made.q),
            be.margin_loss(*given, made.dq, made.loss),
            head.bind_values_backward(be, y, made.q, made.dq, dy),
            be.mean_loss(made.loss, made.weight, made.mean),
            be.add(made.mean, loss),
        )


class _Arrays:
    """The margin loss's arrays on the backend, made when there is a demonstration."""

    def __init__(self, backend: Backend, size: int, n_actions: int) -> None:
        self.weight, self.loss = backend.zeros((size,)), backend.zeros((size,))
        self.margin, self.mean = backend.zeros((1,)), backend.zeros((1,))
        self.mask = backend.zeros((size, n_actions), "uint8")
        self.q, self.dq = backend.zeros((size, n_actions)), backend.zeros((size, n_actions))
