"""What a network is asked by the rows of a batch, and how many rows make a long pass.

Shapes: as of `Actor`.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONG_S = 0.001
"""Seconds that a pass may keep others waiting; longer ones are made aside."""


MOST_ROWS = 256
"""Rows above which a long pass stays on the event loop: aside they are read and checked twice."""


def rows_of(seconds: float, one: float, many: float, rows: int) -> int:
    """How many rows make a pass of ``seconds``: one row takes ``one`` seconds, ``rows`` ``many``.

    sys.maxsize where these would be more than MOST_ROWS.
    """
    if one >= seconds:
        return 1
    a_row = (many - one) / max(1, rows - 1)
    if a_row * (MOST_ROWS - 1) < seconds - one:
        return sys.maxsize
    return 1 + math.ceil((seconds - one) / a_row)


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
        """Whether both ask the same."""
        pairs = (self.obs, other.obs), (self.played, other.played), (self.memory, other.memory)
        numbers = self.learned, self.first_row
        return numbers == (other.learned, other.first_row) and all(_equal(*pair) for pair in pairs)


def _equal(one: NDArray[Any] | None, other: NDArray[Any] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
