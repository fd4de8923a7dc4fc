"""How long to wait before the next try: exponential, with full jitter, so that no crowd forms."""

import random
from collections.abc import Callable, Iterator


def delays(rng: random.Random, first_s: float = 0.05, longest_s: float = 5.0) -> Iterator[float]:
    """Yield seconds without end: the k-th is uniform in [0, min(longest, first * 2**k)).

    Brooker 2015, "Exponential Backoff And Jitter" (AWS Architecture Blog), "full jitter".
    """
    limit = first_s
    while True:
        yield rng.uniform(0.0, limit)
        limit = min(longest_s, 2.0 * limit)


class Patience:
    """Counts how long things have gone wrong, and says when to try again and when to give up."""

    def __init__(self, seconds: float, rng: random.Random, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._rng = rng
        self._clock = clock
        self._until: float | None = None  # clock time of giving up; None while all is well
        self._delays = delays(rng)

    def next_delay(self, at_least: float = 0.0) -> float | None:
        """Return the seconds to wait before the next try, or None when it is time to give up.

        The last try is made when the patience ends, not before it.
        """
        now = self._clock()
        if self._until is None:
            self._until = now + self._seconds
        left = self._until - now
        if left <= 0 or left < at_least:
            return None
        return min(left, max(next(self._delays), at_least))

    def restore(self) -> None:
        """Something went well: the next trouble is met with full patience."""
        if self._until is not None:
            self._until = None
            self._delays = delays(self._rng)
