"""LayerNorm over rows and BatchNorm over columns: the same arithmetic along the other axis."""

import numpy as np
from numpy import add, copyto, dot, einsum, isfinite, multiply, subtract

from agentd.engine.backend import Step
from agentd.engine.numpy_backend.memory import MemoryOps, Nd


class NormOps(MemoryOps):
    """Means are products with a constant vector: BLAS does them faster than a reduction."""

    def layer_norm(self, x: Nd, gain: Nd, bias: Nd, eps: float, y: Nd, norm: Nd, scale: Nd) -> Step:
        rows, width = x.shape
        mean, even = self.empty((rows,)), self._full(width, 1 / width)
        share, floor, finish = self.scalar(1 / width), self.scalar(eps), _inverse_root
        mean_column, scale_column = mean.reshape(rows, 1), scale.reshape(rows, 1)
        rowwise = self.rowwise

        def step() -> None:
            if rowwise:
                einsum("rd,d->r", x, even, out=mean)
            else:
                dot(x, even, mean)
            subtract(x, mean_column, norm)
            einsum("rd,rd->r", norm, norm, out=scale)
            finish(scale, share, floor)
            multiply(norm, scale_column, norm)
            multiply(norm, gain, y)
            add(y, bias, y)

        return step

    def layer_norm_backward(
        self, dy: Nd, gain: Nd, norm: Nd, scale: Nd, dgain: Nd, dbias: Nd, dx: Nd
    ) -> Step:
        rows, width = dy.shape
        ones, even = self._full(rows, 1), self._full(width, 1 / width)
        mean, along = self.empty((rows, 1)), self.empty((rows, 1))
        part, share = self.empty(dy.shape), self.scalar(1 / width)
        flat_mean, flat_along, column = mean.reshape(rows), along.reshape(rows), scale[:, None]

        def step() -> None:
            dot(ones, dy, dbias)
            einsum("rd,rd->d", dy, norm, out=dgain)
            multiply(dy, gain, dx)
            dot(dx, even, flat_mean)
            einsum("rd,rd->r", dx, norm, out=flat_along)
            multiply(along, share, along)
            subtract(dx, mean, dx)
            multiply(norm, along, part)
            subtract(dx, part, dx)
            multiply(dx, column, dx)

        return step

    def batch_norm(
        self,
        x: Nd,
        gain: Nd,
        bias: Nd,
        mean: Nd,
        variance: Nd,
        momentum: float,
        eps: float,
        y: Nd,
        norm: Nd,
        scale: Nd,
    ) -> Step:
        rows = len(x)
        even, centre = self._full(rows, 1 / rows), self.empty(mean.shape)
        spread = self.empty(mean.shape)
        share, floor, finish = self.scalar(1 / rows), self.scalar(eps), _inverse_root
        unbias = self.scalar(1 / max(1, rows - 1))
        follow_mean = self.blend(centre, mean, momentum)
        follow_variance = self.blend(spread, variance, momentum)

        def step() -> None:
            dot(even, x, centre)
            subtract(x, centre, norm)
            einsum("rc,rc->c", norm, norm, out=scale)
            multiply(scale, unbias, spread)
            finish(scale, share, floor)
            multiply(norm, scale, norm)
            multiply(norm, gain, y)
            add(y, bias, y)
            if not isfinite(spread).all():  # an overflow must not stay in the running statistics
                lost = ~isfinite(spread)
                copyto(centre, mean, where=lost)
                copyto(spread, variance, where=lost)
            follow_mean()
            follow_variance()

        return step

    def batch_norm_backward(
        self, dy: Nd, gain: Nd, norm: Nd, scale: Nd, dgain: Nd, dbias: Nd, dx: Nd
    ) -> Step:
        rows = len(dy)
        ones, part, row = self._full(rows, 1), self.empty(dy.shape), self.empty(gain.shape)
        share = self.scalar(1 / rows)

        def step() -> None:
            dot(ones, dy, dbias)
            einsum("rc,rc->c", dy, norm, out=dgain)
            multiply(dgain, share, row)
            multiply(norm, row, part)
            subtract(dy, part, dx)
            multiply(dbias, share, row)
            subtract(dx, row, dx)
            multiply(gain, scale, row)
            multiply(dx, row, dx)

        return step

    def batch_norm_apply(
        self, x: Nd, gain: Nd, bias: Nd, mean: Nd, variance: Nd, eps: float, y: Nd
    ) -> Step:
        factor, floor, one = self.empty(mean.shape), self.scalar(eps), self.scalar(1)

        def step() -> None:
            copyto(factor, variance)
            _inverse_root(factor, one, floor)
            multiply(factor, gain, factor)
            subtract(x, mean, y)
            multiply(y, factor, y)
            add(y, bias, y)

        return step

    def _full(self, size: int, value: float) -> Nd:
        new = self.empty((size,))
        new.fill(value)
        return new


def _inverse_root(v: Nd, share: Nd, floor: Nd) -> None:
    """v = 1 / sqrt(share * v + floor), in place."""
    multiply(v, share, v)
    add(v, floor, v)
    np.sqrt(v, v)
    np.reciprocal(v, v)
