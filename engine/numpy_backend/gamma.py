"""ln Γ, ψ and ψ' of positive numbers.

Each is Stirling's series at t >= N, and its recurrence from x up to t = x + N below that
(Abramowitz & Stegun 1964, 6.1.15, 6.1.41, 6.3.5, 6.3.18, 6.4.6, 6.4.12). N
and the terms of the series are as many as the dtype's digits need.
"""

from math import log, pi
from typing import Any, NamedTuple

import numpy as np

Nd = np.ndarray[Any, np.dtype[Any]]

HALF_LOG_2PI = 0.5 * log(2 * pi)
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""B_2, B_4, ...: ψ'(t) = 1/t + 1/(2t²) + Σ B_2k / t^(2k+1); ψ and ln Γ are its integrals."""
_DIGAMMA = tuple(b / (2 * k) for k, b in enumerate(BERNOULLI, 1))
_LOG_GAMMA = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1))


class Gammas(NamedTuple):
    """The functions of one array, each of its shape and dtype; NaN at 0 and below.

    ``mass`` is ln Γ(x) - (x - 1) ψ(x) + x. It grows as ½ ln x where its parts grow as x ln x: the
    divergence of two Dirichlets is a sum of masses, in which no digits cancel.
    """

    log_gamma: Nd
    digamma: Nd
    trigamma: Nd
    mass: Nd


def gammas(x: Nd) -> Gammas:
    """Return ln Γ, ψ, ψ' and mass of finite numbers, of any shape, in float32 or float64."""
    shift, terms = (4, 5) if x.dtype == np.float32 else (10, 7)
    x = np.where(x > 0, x, x.dtype.type(np.nan))
    low = x < shift
    t = np.where(low, x + shift, x)
    inverse, ln = 1 / t, np.log(t)
    square = inverse * inverse

    rungs = np.minimum(x, shift) + np.arange(shift, dtype=x.dtype).reshape(-1, *(1,) * x.ndim)
    lift = low * np.log(rungs.prod(0))  # ln Γ(t) - ln Γ(x)
    rungs = 1 / rungs
    first, second = low * rungs.sum(0), low * np.square(rungs).sum(0)

    gap = 0.5 * inverse + square * _series(_DIGAMMA[:terms], square)  # ln t - ψ(t)
    rest = HALF_LOG_2PI + inverse * _series(_LOG_GAMMA[:terms], square)
    slope = inverse + square * (0.5 + inverse * _series(BERNOULLI[:terms], square))
    digamma = ln - gap
    mass = 0.5 * ln + rest + (t - 1) * gap  # of t; the next line brings it down to x
    mass += low * shift * (digamma - 1) + ((x - 1) * first - lift)
    return Gammas((t - 0.5) * ln - t + rest - lift, digamma - first, slope + second, mass)


def _series(factors: tuple[float, ...], square: Nd) -> Nd:
    """Σ_k factors[k] square^k, by Horner's rule."""
    total = np.full_like(square, factors[-1])
    for factor in factors[-2::-1]:
        total *= square
        total += factor
    return total
