"""The learner's sign of life on the board, and for how long it may stay away."""

import contextlib
import time
from collections.abc import Iterator

from agentd.memory.weight_board import WeightBoard

DISK_S = 60.0
"""What a slow disk is given for a checkpoint."""
_TIMES_SLOWEST, _LONGEST_S = 10, 3600.0


class Heart:
    """Beats on the board; says beforehand when the next beat may take long."""

    def __init__(self, board: WeightBoard, first_s: float) -> None:
        """``first_s`` is what the first update may take; twice as long after a kill in it."""
        self._board = board
        self._first_s: float | None = min(max(first_s, 2 * board.patience_s), _LONGEST_S)
        self._slowest_s = 0.0
        board.patience_s = 0.0

    def beat(self) -> None:
        """Show that the process lives."""
        self._board.beats += 1

    @contextlib.contextmanager
    def updating(self) -> Iterator[None]:
        """Around updates: they may take ten times as long as the slowest so far."""
        began = time.monotonic()
        with self._patient(self._first_s or _TIMES_SLOWEST * self._slowest_s):
            yield
        self._slowest_s = max(self._slowest_s, time.monotonic() - began)
        self._first_s = None

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
