"""Optimizer steps over flat vectors, in blocks that stay in the cache between passes."""

from collections.abc import Callable

import numpy as np

from engine.backend import Step
from engine.numpy_backend.memory import MemoryOps, Nd

BLOCK = 16_384
"""Numbers per block: four float32 vectors of it and a scratch fit a 512 KiB second-level cache."""


class OptimizerOps(MemoryOps):
    """Each op walks its vectors block by block, all passes on one block before the next."""

    def norm(self, g: Nd, out: Nd) -> Step:
        dot = np.dot

        def step() -> None:
            out[0] = dot(g, g) ** 0.5

        return step

    def clip_norm(self, g: Nd, limit: float, out: Nd) -> Step:
        dot, multiply = np.dot, np.multiply

        def step() -> None:
            norm = float(dot(g, g)) ** 0.5
            out[0] = norm
            if norm > limit:
                multiply(g, g.dtype.type(limit / norm), g)

        return step

    def clip_value(self, g: Nd, limit: float) -> Step:
        clip, low, high = np.clip, self.scalar(-limit), self.scalar(limit)
        return lambda: clip(g, low, high, g)

    def penalty(self, p: Nd, g: Nd, l1: float, l2: float) -> Step:
        multiply, add, sign = np.multiply, np.add, np.sign
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

    def blocks(self, *vectors: Nd) -> list[tuple[Nd, ...]]:
        """Cut equally long vectors into tuples of blocks, each with a shared scratch at its end."""
        size = len(vectors[0])
        scratch = self.empty((min(BLOCK, size),))
        return [
            (*(v[i : i + BLOCK] for v in vectors), scratch[: min(BLOCK, size - i)])
            for i in range(0, size, BLOCK)
        ]

    def sgd(self, p: Nd, g: Nd) -> Callable[[float, float], object]:
        blocks, multiply, subtract = self.blocks(p, g), np.multiply, np.subtract
        number = self.dtype.type

        def step(lr: float, decay: float) -> None:
            rate, shrink = number(lr), number(1 - lr * decay)
            for pb, gb, t in blocks:
                multiply(gb, rate, t)
                if decay:
                    multiply(pb, shrink, pb)
                subtract(pb, t, pb)

        return step

    def adam(
        self, p: Nd, g: Nd, m: Nd, v: Nd
    ) -> Callable[[float, float, float, float, float], object]:
        blocks = self.blocks(p, g, m, v)
        multiply, add, subtract = np.multiply, np.add, np.subtract
        sqrt, divide, number = np.sqrt, np.divide, self.dtype.type

        def step(b1: float, b2: float, rate: float, eps: float, shrink: float) -> None:
            k1, k2, lr, floor = number(b1), number(b2), number(rate), number(eps)
            for pb, gb, mb, vb, t in blocks:
                multiply(mb, k1, mb)
                add(mb, gb, mb)
                multiply(gb, gb, t)
                multiply(vb, k2, vb)
                add(vb, t, vb)
                sqrt(vb, t)
                add(t, floor, t)
                divide(mb, t, t)
                multiply(t, lr, t)
                if shrink != 1:
                    multiply(pb, number(shrink), pb)
                subtract(pb, t, pb)

        return step
