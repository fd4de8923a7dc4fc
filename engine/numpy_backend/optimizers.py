"""Optimizer steps over flat vectors, in blocks that stay in the cache between passes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import absolute, add, clip, copyto, divide, dot, less, multiply, sign, sqrt, subtract

from agentd.engine.backend import TINY, AdamStep, Step, Step3, Step4
from agentd.engine.numpy_backend.adam import blocks_of, decayed
from agentd.engine.numpy_backend.host_adam import fastest_adam
from agentd.engine.numpy_backend.memory import MemoryOps, Nd


class OptimizerOps(MemoryOps):
    """Each op walks its vectors block by block, all passes on one block before the next."""

    def norm(self, g: Nd, out: Nd) -> Step:

        def step() -> None:
            out[0] = dot(g, g) ** 0.5

        return step

    def clip_norm(self, g: Nd, limit: float, out: Nd) -> Step:

        def step() -> None:
            norm = float(dot(g, g)) ** 0.5
            out[0] = norm
            if norm > limit:
                multiply(g, g.dtype.type(limit / norm), g)

        return step

    def clip_value(self, g: Nd, limit: float) -> Step:
        low, high = self.scalar(-limit), self.scalar(limit)
        return lambda: clip(g, low, high, g)

    def penalty(self, p: Nd, g: Nd, l1: float, l2: float) -> Step:
        scratch, a, b = self.empty(p.shape), self.scalar(l1), self.scalar(l2)

        def step() -> None:
            if l1:
                sign(p, scratch)
                multiply(scratch, a, scratch)
                add(g, scratch, g)
            if l2:
                multiply(p, b, scratch)
                add(g, scratch, g)

        return step

    def flush_to_zero(self, x: Nd) -> Step:
        blocks = [(*block, np.empty(len(block[0]), bool)) for block in blocks_of(x)]
        zero, tiny = self.scalar(0), self.scalar(TINY)

        def step() -> None:
            for xb, t, small in blocks:
                absolute(xb, t)
                copyto(xb, zero, where=less(t, tiny, small))

        return step

    def trace(self, g: Nd, z: Nd, out: Nd) -> Callable[[float], object]:
        scratch, number = self.empty(z.shape), self.dtype.type
        flush = self.flush_to_zero(z)

        def step(decay: float) -> None:
            multiply(z, number(decay), z)
            add(z, g, z)
            flush()
            absolute(z, scratch)
            out[0] = add.reduce(scratch)

        return step

    def sgd(self, p: Nd, g: Nd) -> Callable[[float, float], object]:
        blocks, number = blocks_of(p, g), self.dtype.type

        def step(lr: float, decay: float) -> None:
            rate, shrink = number(lr), number(1 - lr * decay)
            for pb, gb, t in blocks:
                multiply(gb, rate, t)
                if decay:
                    multiply(pb, shrink, pb)
                subtract(pb, t, pb)

        return step

    def momentum(self, p: Nd, g: Nd, m: Nd, nesterov: bool) -> Step3:
        blocks, number = blocks_of(p, g, m), self.dtype.type

        def step(lr: float, mu: float, decay: float) -> None:
            rate, keep, rate_mu = number(lr), number(mu), number(lr * mu)
            for pb, gb, mb, t in blocks:
                d = decayed(pb, gb, t, number(decay)) if decay else gb
                multiply(mb, keep, mb)
                add(mb, d, mb)
                if nesterov:
                    multiply(d, rate, t)
                    subtract(pb, t, pb)
                multiply(mb, rate_mu if nesterov else rate, t)
                subtract(pb, t, pb)

        return step

    def rmsprop(self, p: Nd, g: Nd, v: Nd, mean: Nd | None) -> Step4:
        blocks = blocks_of(p, g, v, v if mean is None else mean, scratches=2)
        number, centered = self.dtype.type, mean is not None

        def step(lr: float, rho: float, eps: float, decay: float) -> None:
            rate, keep, take, floor = number(lr), number(rho), number(1 - rho), number(eps)
            for pb, gb, vb, ab, t, t2 in blocks:
                d = decayed(pb, gb, t2, number(decay)) if decay else gb
                _average(vb, d, d, keep, take, t)
                root = vb
                if centered:
                    multiply(ab, keep, ab)
                    multiply(d, take, t)
                    add(ab, t, ab)
                    multiply(ab, ab, t)
                    root = subtract(vb, t, t)
                sqrt(root, t)
                add(t, floor, t)
                divide(d, t, t)
                multiply(t, rate, t)
                subtract(pb, t, pb)

        return step

    def adagrad(self, p: Nd, g: Nd, v: Nd) -> Step3:
        blocks, number = blocks_of(p, g, v, scratches=2), self.dtype.type

        def step(lr: float, eps: float, decay: float) -> None:
            rate, floor = number(lr), number(eps)
            for pb, gb, vb, t, t2 in blocks:
                d = decayed(pb, gb, t2, number(decay)) if decay else gb
                multiply(d, d, t)
                add(vb, t, vb)
                sqrt(vb, t)
                add(t, floor, t)
                divide(d, t, t)
                multiply(t, rate, t)
                subtract(pb, t, pb)

        return step

    def adadelta(self, p: Nd, g: Nd, v: Nd, u: Nd) -> Step4:
        blocks, number = blocks_of(p, g, v, u, scratches=2), self.dtype.type

        def step(lr: float, rho: float, eps: float, decay: float) -> None:
            rate, keep, take, floor = number(lr), number(rho), number(1 - rho), number(eps)
            for pb, gb, vb, ub, t, t2 in blocks:
                d = decayed(pb, gb, t2, number(decay)) if decay else gb
                _average(vb, d, d, keep, take, t)
                add(vb, floor, t)
                divide(d, sqrt(t, t), t2)
                add(ub, floor, t)
                multiply(t2, sqrt(t, t), t2)
                _average(ub, t2, t2, keep, take, t)
                multiply(t2, rate, t2)
                subtract(pb, t2, pb)

        return step

    def adam(self, p: Nd, g: Nd, m: Nd, v: Nd) -> AdamStep:
        return fastest_adam(p, g, m, v)


def _average(mean: Nd, a: Nd, b: Nd, keep: Any, take: Any, t: Nd) -> None:
    """mean = keep * mean + take * a * b, in place."""
    multiply(a, b, t)
    multiply(t, take, t)
    multiply(mean, keep, mean)
    add(mean, t, mean)
