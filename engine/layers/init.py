"""First values of parameters, drawn on the host from a seeded generator.

Shapes: a weight is (fan_in, fan_out) or, for convolutions, (..., fan_out) with the rest fan_in.
"""

from collections.abc import Callable
from math import prod, sqrt
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Shape

Floats: TypeAlias = NDArray[np.float64]
Init: TypeAlias = Literal["uniform", "he", "glorot", "orthogonal", "sparse", "zeros", "ones"]
Draw: TypeAlias = Callable[[np.random.Generator, Shape], NDArray[Any]]


def uniform(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return numbers from U(±1/sqrt(fan_in)): what PyTorch gives its linear layers."""
    bound = 1 / sqrt(_fan_in(shape))
    return rng.uniform(-bound, bound, shape)


def he(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return numbers from N(0, 2 / fan_in), for relu (He et al. 2015, arXiv:1502.01852)."""
    return rng.normal(0.0, sqrt(2 / _fan_in(shape)), shape)


def glorot(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return numbers from U(±sqrt(6 / (fan_in + fan_out))) (Glorot & Bengio 2010, equation 16)."""
    receptive = prod(shape[:-2])
    bound = sqrt(6 / (_fan_in(shape) + shape[-1] * receptive))
    return rng.uniform(-bound, bound, shape)


def orthogonal(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return a matrix with orthonormal rows or columns (Saxe et al. 2013, arXiv:1312.6120)."""
    rows, columns = prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))  # makes the draw uniform over orthogonal matrices
    return (q if rows >= columns else q.T).reshape(shape)


def sparse(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return U(±1/sqrt(fan_in)) with 90 % of each output's weights 0.

    The sparse initialisation of stream Q(λ) (Elsayed et al. 2024, arXiv:2410.14606).
    """
    weights = uniform(rng, shape).reshape(-1, shape[-1])
    dropped = int(0.9 * len(weights))
    for column in weights.T:
        column[rng.permutation(len(column))[:dropped]] = 0
    return weights.reshape(shape)


def zeros(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return zeros."""
    return np.zeros(shape)


def ones(rng: np.random.Generator, shape: Shape) -> Floats:
    """Return ones."""
    return np.ones(shape)


INITS: dict[str, Draw] = {
    "uniform": uniform,
    "he": he,
    "glorot": glorot,
    "orthogonal": orthogonal,
    "sparse": sparse,
    "zeros": zeros,
    "ones": ones,
}


def uniform_bias(fan_in: int) -> Draw:
    """Return a draw of U(±1/sqrt(fan_in)) for a bias, whose own shape does not know fan_in."""
    bound = 1 / sqrt(max(1, fan_in))
    return lambda rng, shape: rng.uniform(-bound, bound, shape)


def chrono_bias(fan_in: int, span: int) -> Draw:
    """Return a draw for the bias (3 H,) of a GRU that remembers over 1 to ``span`` rows at first.

    log U(1, span) for the first gate, which keeps the state, `uniform_bias` for the others (Tallec
    & Ollivier 2018, arXiv:1804.11188, section 2).
    """
    even = uniform_bias(fan_in)

    def draw(rng: np.random.Generator, shape: Shape) -> NDArray[Any]:
        bias = even(rng, shape)
        bias[: shape[0] // 3] = np.log(rng.uniform(1, span, shape[0] // 3))
        return bias

    return draw


def _fan_in(shape: Shape) -> int:
    return max(1, prod(shape[:-1]))
