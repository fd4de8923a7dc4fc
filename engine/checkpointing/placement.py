"""Where buffers lie in shared memory: two that live at the same time never overlap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIGN = 16
"""Numbers of a cache line: every buffer begins on one."""


@dataclass(slots=True)
class Buffer:
    """``size`` numbers of 4 bytes that hold something from step ``first`` to step ``last``."""

    size: int
    first: int
    last: int

    @property
    def room(self) -> int:
        """Its size in whole cache lines."""
        return -(-self.size // ALIGN) * ALIGN


def most_alive(buffers: Sequence[Buffer]) -> int:
    """Return the most numbers that live at one time: no placement takes less."""
    change = np.zeros(max((buffer.last for buffer in buffers), default=0) + 2, np.int64)
    for buffer in buffers:
        change[buffer.first] += buffer.room
        change[buffer.last + 1] -= buffer.room
    return int(change.cumsum().max(initial=0))


def place(buffers: Sequence[Buffer]) -> tuple[list[int], int]:
    """Return each buffer's offset and the numbers needed in all.

    Greedy by size: the largest first, each in the tightest gap that its lifetime leaves (Pisarchyk
    & Lee 2020, arXiv:2001.03288, algorithm 3).
    """
    offsets = [0] * len(buffers)
    placed: list[int] = []  # by offset
    total = 0
    for i in sorted(range(len(buffers)), key=lambda i: (-buffers[i].room, buffers[i].first)):
        one = buffers[i]
        end, best, slack = 0, -1, 0
        for j in placed:
            other = buffers[j]
            if other.last < one.first or one.last < other.first:
                continue
            gap = offsets[j] - end
            if gap >= one.room and (best < 0 or gap < slack):
                best, slack = end, gap
            end = max(end, offsets[j] + other.room)
        offsets[i] = end if best < 0 else best
        at = next((k for k, j in enumerate(placed) if offsets[j] > offsets[i]), len(placed))
        placed.insert(at, i)
        total = max(total, offsets[i] + one.room)
    return offsets, total
