"""Losses fused with their gradients: one number a row, and the gradient of the weighted mean."""

import numpy as np
from numpy import clip, einsum, multiply, subtract

from agentd.engine.backend import Step
from agentd.engine.backend.checks import same_shape
from agentd.engine.numpy_backend.activations import ActivationOps
from agentd.engine.numpy_backend.memory import Nd


class LossOps(ActivationOps):
    """Each op writes ``loss`` (B,) unweighted, and ``dy`` for mean(weight * loss)."""

    def squared_error(self, y: Nd, target: Nd, weight: Nd, dy: Nd, loss: Nd) -> Step:
        same_shape("squared_error target", y, target)
        half, finish = self.scalar(0.5), self._finish_gradient(dy, weight)

        def step() -> None:
            subtract(y, target, dy)
            einsum("be,be->b", dy, dy, out=loss)
            multiply(loss, half, loss)
            finish()

        return step

    def huber(self, y: Nd, target: Nd, weight: Nd, delta: float, dy: Nd, loss: Nd) -> Step:
        same_shape("huber target", y, target)
        d, square, half = self.empty(y.shape), self.empty(loss.shape), self.scalar(0.5)
        low, high = self.scalar(-delta), self.scalar(delta)
        finish = self._finish_gradient(dy, weight)

        def step() -> None:  # with c = clip(d): loss = c (d - ½ c) on both branches
            subtract(y, target, d)
            clip(d, low, high, dy)
            einsum("be,be->b", dy, d, out=loss)
            einsum("be,be->b", dy, dy, out=square)
            multiply(square, half, square)
            subtract(loss, square, loss)
            finish()

        return step

    def softmax_cross_entropy(
        self,
        y: Nd,
        label: Nd,
        mask: Nd,
        weight: Nd,
        smoothing: float,
        dy: Nd,
        loss: Nd,
    ) -> Step:
        batch, classes = y.shape
        shifted, row = self.empty(y.shape), self.empty((batch, 1))
        flat, first = shifted.reshape(-1), np.arange(batch) * classes
        at, flat_dy = np.empty(batch, np.intp), dy.reshape(-1)
        illegal: Nd = None if mask is None else np.empty(mask.shape, np.bool_)
        smooth = self._smoothing(shifted, illegal, at, smoothing, loss, dy) if smoothing else None
        lowest, one = self.scalar(-1e30), self.scalar(1)
        finish = self._finish_gradient(dy, weight)

        def step() -> None:
            np.copyto(shifted, y)
            if illegal is not None:
                np.equal(mask, 0, illegal)
                np.copyto(shifted, lowest, where=illegal)
            np.maximum.reduce(shifted, 1, None, row, keepdims=True)
            subtract(shifted, row, shifted)
            np.exp(shifted, dy)
            np.add.reduce(dy, 1, None, row, keepdims=True)
            np.divide(dy, row, dy)
            np.log(row, row)
            subtract(shifted, row, shifted)  # ln softmax
            np.add(first, label, at)
            flat.take(at, out=loss, mode="clip")
            np.negative(loss, loss)
            if smooth is None:
                flat_dy[at] -= one
            else:
                smooth()
            finish()

        return step

    def _smoothing(
        self, log_p: Nd, illegal: Nd, at: Nd, smoothing: float, loss: Nd, dy: Nd
    ) -> Step:
        """Bind turning the hard label's loss and softmax in ``dy`` into the smoothed label's."""
        share, row, part = self.empty(dy.shape), self.empty((len(dy), 1)), self.empty(loss.shape)
        flat_dy, zero, one = dy.reshape(-1), self.scalar(0), self.scalar(1)
        kept, given = self.scalar(1 - smoothing), self.scalar(smoothing)

        def step() -> None:
            share.fill(1)
            if illegal is not None:
                np.copyto(share, zero, where=illegal)
                np.copyto(log_p, zero, where=illegal)
            np.add.reduce(share, 1, None, row, keepdims=True)
            np.divide(given, np.maximum(row, one, out=row), row)
            multiply(share, row, share)
            multiply(loss, kept, loss)
            einsum("bc,bc->b", share, log_p, out=part)
            subtract(loss, part, loss)
            subtract(dy, share, dy)
            flat_dy[at] -= kept

        return step

    def soft_cross_entropy(self, y: Nd, target: Nd, weight: Nd, dy: Nd, loss: Nd) -> Step:
        same_shape("soft_cross_entropy target", y, target)
        log_p, row = self.empty(y.shape), self.empty((len(y), 1))
        finish = self._finish_gradient(dy, weight)

        def step() -> None:
            np.maximum.reduce(y, 1, None, row, keepdims=True)
            subtract(y, row, log_p)
            np.exp(log_p, dy)
            np.add.reduce(dy, 1, None, row, keepdims=True)
            np.divide(dy, row, dy)
            np.log(row, row)
            subtract(log_p, row, log_p)
            einsum("bc,bc->b", target, log_p, out=loss)
            np.negative(loss, loss)
            subtract(dy, target, dy)
            finish()

        return step

    def binary_cross_entropy(self, y: Nd, target: Nd, weight: Nd, dy: Nd, loss: Nd) -> Step:
        same_shape("binary_cross_entropy target", y, target)
        scratch = self.empty(y.shape)
        softplus = self.activation("softplus", y, scratch)
        sigmoid = self.activation("sigmoid", y, dy)
        finish = self._finish_gradient(dy, weight)

        def step() -> None:
            softplus()  # ln(1 + e^y)
            multiply(y, target, dy)
            subtract(scratch, dy, scratch)
            np.add.reduce(scratch, 1, None, loss)
            sigmoid()
            subtract(dy, target, dy)
            finish()

        return step

    def quantile_huber(
        self,
        y: Nd,
        target: Nd,
        weight: Nd,
        kappa: float,
        dy: Nd,
        loss: Nd,
        tau: Nd | None = None,
    ) -> Step:
        (batch, n), m = y.shape, target.shape[1]
        u, c, side = (self.empty((batch, n, m)) for _ in range(3))
        if tau is None:
            tau = self.asarray(((np.arange(n) + 0.5) / n).astype(self.dtype)).reshape(1, n)
        else:
            same_shape("quantile_huber tau", y, tau)
        fraction = tau[:, :, None]
        below = np.empty(u.shape, np.bool_)
        zero, low, high = self.scalar(0), self.scalar(-kappa), self.scalar(kappa)
        share, slope = self.scalar(1 / (m * kappa)), self.scalar(-1 / (m * kappa))
        half, finish = self.scalar(0.5), self._finish_gradient(dy, weight)

        def step() -> None:
            subtract(target[:, None, :], y[:, :, None], u)
            np.less(u, zero, below)
            subtract(fraction, below, side)
            np.abs(side, side)
            clip(u, low, high, c)
            einsum("bnm,bnm->bn", side, c, out=dy)
            multiply(dy, slope, dy)
            multiply(c, side, side)
            multiply(c, half, c)
            subtract(u, c, u)  # H(u) = c (u - ½ c)
            einsum("bnm,bnm->b", side, u, out=loss)
            multiply(loss, share, loss)
            finish()

        return step

    def categorical_projection(
        self, probability: Nd, atoms: Nd, low: float, high: float, out: Nd
    ) -> Step:
        same_shape("categorical_projection atoms", probability, atoms)
        batch, z = out.shape
        gap = (high - low) / (z - 1)
        at, near = self.empty(out.shape), self.empty(out.shape)
        left, right = np.empty(out.shape, np.intp), np.empty(out.shape, np.intp)
        row, flat = np.arange(batch)[:, None] * z, out.reshape(-1)
        least, most, zero, last = (self.scalar(v) for v in (low, high, 0, z - 1))

        def step() -> None:
            np.maximum(atoms, least, out=at)
            np.minimum(at, most, out=at)
            subtract(at, self.dtype.type(low), at)
            np.divide(at, self.dtype.type(gap), at)
            np.maximum(at, zero, out=at)
            np.minimum(at, last, out=at)
            np.floor(at, near)
            subtract(at, near, at)  # the share of the right neighbour
            np.copyto(left, near, casting="unsafe")
            np.maximum(left, 0, out=left)  # of a NaN
            np.minimum(left, z - 1, out=left)
            np.minimum(left + 1, z - 1, out=right)
            out.fill(0)
            multiply(probability, at, near)
            np.add.at(flat, (right + row).reshape(-1), near.reshape(-1))
            subtract(probability, near, near)
            np.add.at(flat, (left + row).reshape(-1), near.reshape(-1))

        return step

    def pick(self, table: Nd, label: Nd, out: Nd) -> Step:
        index = np.empty(label.shape, np.intp)

        def step() -> None:
            np.copyto(index, label)
            table.take(index, out=out, mode="clip")

        return step

    def _finish_gradient(self, dy: Nd, weight: Nd) -> Step:
        """Bind dy *= weight / B; without weights the mean's 1 / B alone."""
        share = self.scalar(1 / len(dy))
        if weight is None:
            return lambda: multiply(dy, share, dy)
        scaled = self.empty((len(dy), 1))
        column = weight.reshape(-1, 1)

        def step() -> None:
            multiply(column, share, scaled)
            multiply(dy, scaled, dy)

        return step
