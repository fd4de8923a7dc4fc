"""Losses fused with their gradients: one number a row, and the gradient of the weighted mean."""

from agentd.engine.backend import Step
from agentd.engine.backend.checks import same_shape
from agentd.engine.errors import ShapeError
from agentd.engine.opencl_backend.memory import Dv, MemoryOps, optional


class LossOps(MemoryOps):
    """Each op writes ``loss`` (B,) unweighted, and ``dy`` for mean(weight * loss)."""

    def squared_error(self, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv) -> Step:
        return self._regression("squared_error", y, target, weight, None, dy, loss)

    def huber(self, y: Dv, target: Dv, weight: Dv | None, delta: float, dy: Dv, loss: Dv) -> Step:
        return self._regression("huber", y, target, weight, delta, dy, loss)

    def softmax_cross_entropy(
        self,
        y: Dv,
        label: Dv,
        mask: Dv | None,
        weight: Dv | None,
        smoothing: float,
        dy: Dv,
        loss: Dv,
    ) -> Step:
        rows, n = y.shape
        if label.shape != (rows,):
            raise ShapeError("softmax_cross_entropy label", (rows,), label.shape)
        given = (rows, n, y, label, *optional(mask, y), *optional(weight, y), float(smoothing))
        return self._each_row("softmax", "softmax_cross_entropy", *given, dy, loss)

    def soft_cross_entropy(self, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv) -> Step:
        return self._row_wise("softmax", "soft_cross_entropy", y, target, weight, dy, loss)

    def binary_cross_entropy(self, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv) -> Step:
        return self._row_wise("loss", "binary_cross_entropy", y, target, weight, dy, loss)

    def quantile_huber(
        self,
        y: Dv,
        target: Dv,
        weight: Dv | None,
        kappa: float,
        dy: Dv,
        loss: Dv,
        tau: Dv | None = None,
    ) -> Step:
        (rows, n), m = y.shape, target.shape[1]
        if tau is not None:
            same_shape("quantile_huber tau", y, tau)
        given = (y, target, *optional(weight, y), *optional(tau, y))
        args = (m, *given, float(kappa), dy, loss)
        return self._each_row("quantile", "quantile_huber", rows, n, *args)

    def categorical_projection(
        self, probability: Dv, atoms: Dv, low: float, high: float, out: Dv
    ) -> Step:
        same_shape("categorical_projection atoms", probability, atoms)
        rows, z = out.shape
        gap, each = (high - low) / (z - 1), self.runtime.items(rows)
        args = (rows, z, probability, atoms, float(low), float(high), gap, out)
        return self.runtime.bind("categorical", "categorical_projection", *each, *args)

    def pick(self, table: Dv, label: Dv, out: Dv) -> Step:
        args = (out.size, table.size, table, label, out)
        return self.runtime.bind("pick", "pick", *self.runtime.items(out.size), *args)

    def _row_wise(
        self, file: str, name: str, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv
    ) -> Step:
        same_shape(f"{name} target", y, target)
        args = (y, target, *optional(weight, y), dy, loss)
        return self._each_row(file, name, *y.shape, *args)

    def _regression(
        self,
        what: str,
        y: Dv,
        target: Dv,
        weight: Dv | None,
        delta: float | None,
        dy: Dv,
        loss: Dv,
    ) -> Step:
        same_shape(f"{what} target", y, target)
        args = (y, target, *optional(weight, y), *optional(delta, 0.0), dy, loss)
        return self._each_row("loss", "regression", *y.shape, *args)

    def _each_row(self, file: str, name: str, rows: int, *args: Dv) -> Step:
        return self.runtime.bind(file, name, *self.runtime.each_row(rows), rows, *args)
