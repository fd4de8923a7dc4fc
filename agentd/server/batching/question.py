"""What a network is asked by the rows of a batch, and how many rows make a long pass.

Shapes: as of `Actor`.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONG_S = 0.001
"""Seconds that a pass may keep others waiting; longer ones are made aside."""


def rows_of(seconds: float, one: float, many: float, rows: int) -> int:
    """How many rows a pass of ``seconds`` has: one row takes ``one`` seconds, ``rows`` ``many``."""
    if one >= seconds:
        return 1
    a_row = (many - one) / max(1, rows - 1)
    return sys.maxsize if a_row <= 0 else 1 + math.ceil((seconds - one) / a_row)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What the network is asked for N rows, the first ``learned`` of which explore.

    obs (N K, row_bytes), played, memory: as of ``Actor.values``; first_row as of ``Actor.act``.
    """

    obs: NDArray[np.uint8]
    played: NDArray[np.int32] | None
    learned: int
    first_row: int
    memory: NDArray[np.float32] | None

    def equals(self, other: "Question") -> bool:
        """Whether both ask the same, to the bit."""
        numbers = self.learned, self.first_row
        return numbers == (other.learned, other.first_row) and self._arrays() == other._arrays()

    def _arrays(self) -> list[bytes | None]:
        arrays = self.obs, self.played, self.memory
        return [None if array is None else array.tobytes() for array in arrays]
