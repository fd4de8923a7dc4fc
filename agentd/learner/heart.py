"""The learner's sign of life on the board, and for how long it may stay away."""

import contextlib
import time
from collections.abc import Iterator

from agentd.memory.weight_board import WeightBoard
from agentd.supervision import START_S

DISK_S = 60.0
"""What a slow disk is given for a checkpoint."""
_TIMES_SLOWEST = 10


class Heart:
    """Beats on the board; says beforehand when the next beat may take long."""

    def __init__(self, board: WeightBoard) -> None:
        self._board = board
        self._slowest_s = START_S / _TIMES_SLOWEST  # the first update may have to build kernels
        self._updated = False
        board.patience_s = 0.0

    def beat(self) -> None:
        """Show that the process lives."""
        self._board.beats += 1

    @contextlib.contextmanager
    def updating(self) -> Iterator[None]:
        """Around updates: they may take ten times as long as the slowest so far."""
        began = time.monotonic()
        with self._patient(_TIMES_SLOWEST * self._slowest_s):
            yield
        took = time.monotonic() - began
        self._slowest_s = max(self._slowest_s, took) if self._updated else took
        self._updated = True

    @contextlib.contextmanager
    def on_disk(self) -> Iterator[None]:
        """Around what waits for the disk."""
        with self._patient(DISK_S):
            yield

    @contextlib.contextmanager
    def _patient(self, most_s: float) -> Iterator[None]:
        self._board.patience_s = most_s
        try:
            yield
        finally:
            self.beat()
            self._board.patience_s = 0.0
