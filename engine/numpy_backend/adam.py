"""Adam over flat vectors, in blocks that stay in the cache between passes."""

from typing import Any

from numpy import add, divide, multiply, sqrt, subtract

from agentd.engine.backend import AdamStep
from agentd.engine.numpy_backend.memory import Nd, aligned

BLOCK = 32_768
"""Numbers per block, about: four float32 vectors of it and a scratch fit a 1 MiB second cache."""
BLOCKS = (BLOCK, BLOCK // 2, BLOCK // 4)
"""Sizes worth a trial: the smaller ones fit second caches of 512 and 256 KiB."""


def decayed(p: Nd, g: Nd, out: Nd, decay: Any) -> Nd:
    """Return out = g + decay * p."""
    multiply(p, decay, out)
    return add(g, out, out)


def blocks_of(*vectors: Nd, scratches: int = 1, about: int = BLOCK) -> list[tuple[Nd, ...]]:
    """Cut equally long vectors into tuples of blocks, with shared scratches at their end."""
    size = len(vectors[0])
    block = -(-size // max(1, round(size / about)))  # even ones: a short rest costs as many calls
    shared = [aligned((block,), vectors[0].dtype) for _ in range(scratches)]
    return [
        (*(v[i : i + block] for v in vectors), *(s[: size - i] for s in shared))
        for i in range(0, size, max(1, block))
    ]


def adam_in_blocks(p: Nd, g: Nd, m: Nd, v: Nd, about: int = BLOCK) -> AdamStep:
    """Bind Adam in NumPy; see ``Backend.adam``. ``kernels/host_adam.cl`` gives the same bits.

    So does every size of the blocks, which have about that many numbers.
    """
    blocks, number = blocks_of(p, g, m, v, about=about), p.dtype.type

    def step(
        b1: float, b2: float, rate: float, eps: float, decay: float, shrink: float, adaptive: bool
    ) -> None:
        k1, k2, lr, floor = number(b1), number(b2), number(rate), number(eps)
        for pb, gb, mb, vb, t in blocks:
            d = decayed(pb, gb, t, number(decay)) if decay else gb
            multiply(mb, k1, mb)
            add(mb, d, mb)
            multiply(d, d, t)
            multiply(vb, k2, vb)
            add(vb, t, vb)
            if adaptive:
                sqrt(vb, t)
                add(t, floor, t)
                divide(mb, t, t)
                multiply(t, lr, t)
            else:
                multiply(mb, lr, t)
            if shrink != 1:
                multiply(pb, number(shrink), pb)
            subtract(pb, t, pb)

    return step
