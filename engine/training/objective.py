"""Objective: a loss bound to a pass's output, for each batch size that comes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backend import Array, Backend, Step
from engine.errors import ShapeError
from engine.training.spec import LossSpec


@dataclass(slots=True)
class Bound:
    """One batch size's loss: write the targets, call ``run``; row losses are then in ``loss``."""

    y: Array
    label: Array
    weight: Array | None
    loss: Array
    run: Step


class Objective:
    """The loss of ``spec`` over outputs (B, K): its values (B,) and its gradient.

    ``is_class`` says whether it takes labels; a regression on a class takes 1 at the class and 0
    elsewhere.
    """

    def __init__(self, spec: LossSpec, backend: Backend, outputs: int, is_class: bool) -> None:
        self.name = spec.name
        if self.name == "auto":
            self.name = "cross_entropy" if is_class else "squared_error"
        self._spec, self._backend, self._outputs = spec, backend, outputs
        self._takes_labels = self.name == "cross_entropy"
        weights = spec.class_weights
        if weights is not None and len(weights) != outputs:
            raise ShapeError("class_weights", (outputs,), (len(weights),))
        self._class_weights = None if weights is None else np.array(weights, np.float32)

    def bind(self, y: Array, dy: Array) -> Bound:
        """Bind to an output y (B, K) and where its gradient goes."""
        backend, spec = self._backend, self._spec
        batch = y.shape[0]
        loss = backend.zeros((batch,))
        if self._takes_labels:
            label = backend.zeros((batch,), "int32")
            weight = None if self._class_weights is None else backend.zeros((batch,))
            run = backend.softmax_cross_entropy(y, label, None, weight, spec.smoothing, dy, loss)
            return Bound(y, label, weight, loss, run)
        label = backend.zeros((batch, self._outputs))
        if self.name == "huber":
            run = backend.huber(y, label, None, spec.delta, dy, loss)
        else:
            run = backend.squared_error(y, label, None, dy, loss)
        return Bound(y, label, None, loss, run)

    def write(self, bound: Bound, targets: NDArray[Any]) -> None:
        """Give the loss its targets: (B,) classes or (B, K) numbers."""
        if self._takes_labels:
            self._backend.write(bound.label, targets)
            if bound.weight is not None and self._class_weights is not None:
                self._backend.write(bound.weight, self._class_weights[targets])
        elif targets.ndim == 1:
            rows = np.zeros((len(targets), self._outputs), np.float32)
            rows[np.arange(len(targets)), targets] = 1
            self._backend.write(bound.label, rows)
        else:
            self._backend.write(bound.label, targets)
