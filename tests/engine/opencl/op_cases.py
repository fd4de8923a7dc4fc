"""Cases of ops, by name: what each is bound to, its arrays, and the arguments of its step."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SIZES = (1, 2, 15, 16, 17, 63, 64, 65, 1023, 1025)
ROWS = ((1, 1), (3, 2), (5, 15), (2, 16), (64, 17), (63, 65), (2, 1025))

Case = tuple[str, Callable[..., Any], dict[str, Any], tuple[float, ...]]
CASES: dict[str, Callable[[np.random.Generator], Iterator[Case]]] = {}


def case(name: str) -> Callable[..., Any]:
    """Register the maker of an op's cases: (label, bind, arrays, arguments of the step)."""

    def keep(make: Callable[[np.random.Generator], Iterator[Case]]) -> Any:
        CASES[name] = make
        return make

    return keep


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def with_nan(array: Any) -> Any:
    """Return a copy whose first and last number are NaN."""
    spoilt = array.copy()
    spoilt.reshape(-1)[[0, -1]] = np.nan
    return spoilt


def masks(rng: np.random.Generator, rows: int, n: int) -> Any:
    mask = (rng.random((rows, n)) < 0.6).astype(np.uint8)
    mask[:, 0] = 1
    return mask
