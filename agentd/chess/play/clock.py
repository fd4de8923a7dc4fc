"""The clock of one move: when its search must end, from what searches were seen to overrun."""

import time

import chess

from agentd.games.chess.search.settings import Evaluator

_FADES = 0.8
"""Of an overrun, what is still expected of the next search."""


class Overheads:
    """What this machine was seen to need, in seconds.

    least   one look of the network at a position: no search takes less
    late    how long after its time a search answered: a step that runs is not cut
    """

    def __init__(self) -> None:
        self.least = self.late = 0.0

    def measure(self, evaluator: Evaluator) -> None:
        """Let the network look at a position, twice: the first look finds no memory made yet."""
        for _ in range(2):
            began = time.monotonic()
            evaluator.evaluate([chess.Board()])
            self.least = self.late = time.monotonic() - began


class Clock:
    """The time of one move; it runs from ``start`` on, and never where ``seconds`` is None."""

    def __init__(self, seconds: float | None, overheads: Overheads, spent: float = 0.0) -> None:
        """``spent`` seconds of the move are gone when the clock starts."""
        self._seconds, self._overheads, self._spent = seconds, overheads, spent
        self._stop: float | None = None

    def start(self) -> None:
        """Count from now on. What searches overrun is taken off, half of the time at most."""
        if self._seconds is None:
            return
        seconds = max(self._seconds - self._spent, 0.0)
        self._stop = time.monotonic() + seconds - min(self._overheads.late, 0.5 * seconds)

    def over(self) -> bool:
        """True from when the search must end."""
        return self._stop is not None and time.monotonic() >= self._stop

    def end(self) -> None:
        """The answer is out: learn how late it was."""
        if self._stop is not None:
            late = time.monotonic() - self._stop
            self._overheads.late = max(late, _FADES * self._overheads.late)
