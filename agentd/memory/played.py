"""What was really played before some rows, and how that is kept beside the actions."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

EXPLORED = 1
"""Bit of a row's ``explored``: the action was not the one that seemed best."""

BY_SHIFT = 1
"""Bits 1 and 2 of a row's ``explored`` say who chose: 0 the agent, 1 a person, 2 a script."""

HELD = 8
"""Bit of a row's ``explored``: the answer was held over from the row before."""


class PlayedRows(NamedTuple):
    """The actions that led to M rows of a batch of N.

    row (M,) int64 in the batch; action (M, branches) int32; by (M,) uint8: see BY_SHIFT.
    """

    row: NDArray[np.int64]
    action: NDArray[np.int32]
    by: NDArray[np.uint8]


def put_right(
    columns: dict[str, NDArray[Any]],
    slot: NDArray[np.int64],
    action: NDArray[np.int32],
    by: NDArray[np.uint8],
) -> None:
    """Write into M slots what was played there, (M, branches), in place of what was answered.

    What the agent itself played and had not answered (an older answer, say) was not its best
    choice, as far as is known: it counts as explored. What others played never does.
    """
    before, explored = columns["action"][slot], columns["explored"][slot]
    other = (before != action).any(axis=1)
    own = np.where(other, explored | EXPLORED, explored)
    columns["action"][slot] = action
    columns["explored"][slot] = np.where(by > 0, by << BY_SHIFT, own)
