"""Arrays of changing length in memory that is kept."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """Gives out arrays by name, each in memory of its own that grows to the longest asked for.

    For arrays whose length changes from call to call: to allocate them anew each time makes the
    heap grow and shrink, and every page that comes back is one more that the system must clear.
    """

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[Any]] = {}

    def empty(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array with anything in it, valid until ``name`` is asked for again."""
        size, kept = math.prod(shape), self._kept.get(name)
        if kept is None or len(kept) < size:
            room = size if kept is None else max(size, 2 * len(kept))
            kept = self._kept[name] = np.empty(room, dtype)
        return kept[:size].reshape(shape)
