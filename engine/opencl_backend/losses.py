"""Losses fused with their gradients: one number a row, and the gradient of the weighted mean."""

from agentd.engine.backend import Step
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
        grid, local = self.runtime.each_row(rows)
        given = (rows, n, y, label, *optional(mask, y), *optional(weight, y))
        name = "softmax_cross_entropy"
        return self.runtime.bind("softmax", name, grid, local, *given, float(smoothing), dy, loss)

    def soft_cross_entropy(self, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv) -> Step:
        return self._row_wise("softmax", "soft_cross_entropy", y, target, weight, dy, loss)

    def binary_cross_entropy(self, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv) -> Step:
        return self._row_wise("loss", "binary_cross_entropy", y, target, weight, dy, loss)

    def quantile_huber(
        self, y: Dv, target: Dv, weight: Dv | None, kappa: float, dy: Dv, loss: Dv
    ) -> Step:
        (rows, n), m = y.shape, target.shape[1]
        grid, local = self.runtime.each_row(rows)
        args = (rows, n, m, y, target, *optional(weight, y), float(kappa), dy, loss)
        return self.runtime.bind("quantile", "quantile_huber", grid, local, *args)

    def categorical_projection(
        self, probability: Dv, atoms: Dv, low: float, high: float, out: Dv
    ) -> Step:
        _same_shape("categorical_projection atoms", probability, atoms)
        rows, z = out.shape
        grid, local = self.runtime.items(rows)
        gap = (high - low) / (z - 1)
        args = (rows, z, probability, atoms, float(low), float(high), gap, out)
        return self.runtime.bind("categorical", "categorical_projection", grid, local, *args)

    def pick(self, table: Dv, label: Dv, out: Dv) -> Step:
        grid, local = self.runtime.items(out.size)
        args = (out.size, table.size, table, label, out)
        return self.runtime.bind("pick", "pick", grid, local, *args)

    def _row_wise(
        self, file: str, name: str, y: Dv, target: Dv, weight: Dv | None, dy: Dv, loss: Dv
    ) -> Step:
        _same_shape(f"{name} target", y, target)
        grid, local = self.runtime.each_row(y.shape[0])
        args = (*y.shape, y, target, *optional(weight, y), dy, loss)
        return self.runtime.bind(file, name, grid, local, *args)

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
        _same_shape(f"{what} target", y, target)
        rows, n = y.shape
        grid, local = self.runtime.each_row(rows)
        args = (rows, n, y, target, *optional(weight, y), *optional(delta, 0.0), dy, loss)
        return self.runtime.bind("loss", "regression", grid, local, *args)


def _same_shape(what: str, a: Dv, b: Dv) -> None:
    if a.shape != b.shape:
        raise ShapeError(what, a.shape, b.shape)
