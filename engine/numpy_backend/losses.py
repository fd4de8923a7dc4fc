"""Losses fused with their gradients: one number a row, and the gradient of the weighted mean."""

import numpy as np

from engine.backend import Step
from engine.errors import ShapeError
from engine.numpy_backend.memory import MemoryOps, Nd


class LossOps(MemoryOps):
    """Each op writes ``loss`` (B,) unweighted, and ``dy`` for mean(weight * loss)."""

    def squared_error(self, y: Nd, target: Nd, weight: Nd | None, dy: Nd, loss: Nd) -> Step:
        _same_shape("squared_error target", y, target)
        subtract, einsum, multiply = np.subtract, np.einsum, np.multiply
        half, finish = self.scalar(0.5), self._finish_gradient(dy, weight)

        def step() -> None:
            subtract(y, target, dy)
            einsum("be,be->b", dy, dy, out=loss)
            multiply(loss, half, loss)
            finish()

        return step

    def huber(self, y: Nd, target: Nd, weight: Nd | None, delta: float, dy: Nd, loss: Nd) -> Step:
        _same_shape("huber target", y, target)
        subtract, einsum, multiply, clip = np.subtract, np.einsum, np.multiply, np.clip
        d, half = self.empty(y.shape), self.scalar(0.5)
        low, high = self.scalar(-delta), self.scalar(delta)
        finish = self._finish_gradient(dy, weight)

        def step() -> None:  # with c = clip(d): loss = c (d - ½ c) on both branches
            subtract(y, target, d)
            clip(d, low, high, dy)
            einsum("be,be->b", dy, d, out=loss)
            multiply(dy, dy, d)
            multiply(d, half, d)
            subtract(loss, d.sum(1), loss)
            finish()

        return step

    def softmax_cross_entropy(
        self,
        y: Nd,
        label: Nd,
        mask: Nd,
        weight: Nd | None,
        smoothing: float,
        dy: Nd,
        loss: Nd,
    ) -> Step:
        batch, classes = y.shape
        shifted, row = self.empty(y.shape), self.empty((batch, 1))
        flat, first = shifted.reshape(-1), np.arange(batch) * classes
        at, flat_dy = np.empty(batch, np.intp), dy.reshape(-1)
        illegal: Nd = None if mask is None else np.empty(mask.shape, np.bool_)
        share = self.empty(y.shape) if smoothing else None
        lowest, one = self.scalar(-1e30), self.scalar(1)
        finish = self._finish_gradient(dy, weight)

        def step() -> None:
            np.copyto(shifted, y)
            if illegal is not None:
                np.equal(mask, 0, illegal)
                np.copyto(shifted, lowest, where=illegal)
            np.maximum.reduce(shifted, 1, None, row, keepdims=True)
            np.subtract(shifted, row, shifted)
            np.exp(shifted, dy)
            np.add.reduce(dy, 1, None, row, keepdims=True)
            np.divide(dy, row, dy)
            np.log(row, row)
            np.subtract(shifted, row, shifted)  # ln softmax
            np.add(first, label, at)
            flat.take(at, out=loss, mode="clip")
            np.negative(loss, loss)
            if share is None:
                flat_dy[at] -= one
            else:
                self._smooth(shifted, illegal, at, share, smoothing, loss, dy)
            finish()

        return step

    def _smooth(
        self, log_p: Nd, illegal: Nd | None, at: Nd, share: Nd, smoothing: float, loss: Nd, dy: Nd
    ) -> None:
        """Turn the hard label's loss and softmax in ``dy`` into the smoothed label's, in place."""
        share.fill(1)
        if illegal is not None:
            np.copyto(share, 0, where=illegal)
            np.copyto(log_p, 0, where=illegal)
        share *= smoothing / share.sum(1, keepdims=True)
        loss *= 1 - smoothing
        loss -= np.einsum("bc,bc->b", share, log_p)
        dy -= share
        dy.reshape(-1)[at] -= self.dtype.type(1 - smoothing)

    def _finish_gradient(self, dy: Nd, weight: Nd | None) -> Step:
        """Bind dy *= weight / B; without weights the mean's 1 / B alone."""
        multiply, share = np.multiply, self.scalar(1 / len(dy))
        if weight is None:
            return lambda: multiply(dy, share, dy)
        scaled = self.empty((len(dy), 1))
        column = weight.reshape(-1, 1)

        def step() -> None:
            multiply(column, share, scaled)
            multiply(dy, scaled, dy)

        return step


def _same_shape(what: str, a: Nd, b: Nd) -> None:
    if a.shape != b.shape:
        raise ShapeError(what, a.shape, b.shape)
