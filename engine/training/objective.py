"""Objective: a loss bound to a pass's output, for each batch size that comes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Step
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

    def bind(self, y: Array, dy: Array) -> Bound:
        """Bind to an output y (B, K) and where its gradient goes. Raises ModelError, ShapeError."""
        batch = y.shape[0]
        loss = self._backend.zeros((batch,))
        if self._takes_labels:
            target = self._backend.zeros((batch,), "int32")
        else:
            target = self._backend.zeros((batch, self._outputs))
        arrays = LossArrays(y=y, target=target, dy=dy, loss=loss)
        return Bound(y, target, loss, bind_loss(self.spec, self._backend, arrays))

    @property
    def whole(self) -> dict[str, Any] | None:
        """How a step in one call is told of this loss (see `FitStep`); None where it has none."""
        spec = self.spec
        match spec.name:
            case "softmax_cross_entropy" if not spec.smoothing and spec.class_weights is None:
                return {"is_class": True, "huber": None}
            case "squared_error":
                return {"is_class": False, "huber": None}
            case "huber":
                return {"is_class": False, "huber": spec.delta}
        return None

    def write(self, bound: Bound, targets: NDArray[Any]) -> None:
        """Give the loss its targets: (B,) classes or (B, K) numbers."""
        if targets.ndim == 1 and not self._takes_labels:
            rows = np.zeros((len(targets), self._outputs), np.float32)
            rows[np.arange(len(targets)), targets] = 1
            targets = rows
        self._backend.write(bound.target, targets)
