"""Objective: a loss bound to a pass's output, for each batch size that comes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, FitStep, Step
from agentd.engine.optim.losses import LossArrays, bind_loss, target_kind
from agentd.engine.optim.spec import LossSpec


@dataclass(frozen=True, slots=True)
class Bound:
    """One batch size's loss: write the targets, call ``run``; row losses are then in ``loss``."""

    y: Array
    target: Array
    loss: Array
    run: Step


class Objective:
    """The loss of ``spec`` over outputs (B, K): its values (B,) and its gradient.

    Without a spec it is cross-entropy for classes and the squared error for numbers. A loss on
    numbers takes a class as 1 at the class and 0 elsewhere.
    """

    def __init__(
        self, spec: LossSpec | None, backend: Backend, outputs: int, is_class: bool
    ) -> None:
        self.spec = spec or LossSpec(name="softmax_cross_entropy" if is_class else "squared_error")
        self._backend, self._outputs = backend, outputs
        self._takes_labels = target_kind(self.spec) == "class"
        self._pull = backend.zeros((1,)) if self.spec.is_evidential else None
        self.anneal(0)

    def anneal(self, epochs: int) -> None:
        """Weigh an evidential loss's divergence as after so many epochs, in bound steps too."""
        if self._pull is not None:
            self._backend.write(self._pull, np.array([self.spec.pull(epochs)], np.float32))

    def bind(self, y: Array, dy: Array, *, annealed: bool = True) -> Bound:
        """Bind to an output y (B, K) and where its gradient goes. Raises ModelError, ShapeError.

        Unless ``annealed`` an evidential loss's divergence has its final weight from the first
        epoch on: losses of different epochs compare.
        """
        batch = y.shape[0]
        loss = self._backend.zeros((batch,))
        if self._takes_labels:
            target = self._backend.zeros((batch,), "int32")
        else:
            target = self._backend.zeros((batch, self._outputs))
        pull = self._pull if annealed else None
        arrays = LossArrays(y=y, target=target, dy=dy, loss=loss, pull=pull)
        return Bound(y, target, loss, bind_loss(self.spec, self._backend, arrays))

    def fit_step(self, bound: Bound) -> FitStep | None:
        """Return what a step in one call reads and writes; None where it has no such loss."""
        spec = self.spec
        is_class = spec.name == "softmax_cross_entropy"
        plain = is_class and not spec.smoothing and spec.class_weights is None
        if not plain and spec.name not in ("squared_error", "huber"):
            return None
        return FitStep(
            label=bound.target,
            weight=self._backend.asarray(np.ones(bound.y.shape[0], np.float32)),
            y=bound.y,
            is_class=is_class,
            huber=spec.delta if spec.name == "huber" else None,
        )

    def write(self, bound: Bound, targets: NDArray[Any]) -> None:
        """Give the loss its targets: (B,) classes or (B, K) numbers."""
        if targets.ndim == 1 and not self._takes_labels:
            rows = np.zeros((len(targets), self._outputs), np.float32)
            rows[np.arange(len(targets)), targets] = 1
            targets = rows
        self._backend.write(bound.target, targets)
