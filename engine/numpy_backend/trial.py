"""A short trial on this machine, among ways that give the same bits: only time is at stake."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

ROUNDS = 5
GAIN = 0.97
"""A way must take at most this share of the first one's times to be preferred to it."""


def fastest(ways: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> int:
    """Return which of ``ways`` is fastest: they take turns, and best and median times count.

    The first one stays unless another wins in both: one of several threads has a good best time on
    a busy machine, but waits for a core most of the time.
    """
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    for _ in range(rounds):
        for way, taken in zip(ways, times, strict=True):
            start = perf_counter()
            way()
            taken.append(perf_counter() - start)
    best, middle = list(map(min, times)), list(map(median, times))
    better = [
        i for i in range(1, len(ways)) if best[i] < GAIN * best[0] and middle[i] < GAIN * middle[0]
    ]
    return min(better, key=middle.__getitem__, default=0)


def calls_in(seconds: float, step: Callable[[], object]) -> int:
    """Return how many calls of a step take about so many seconds, at least one."""
    times = []
    for _ in range(3):
        start = perf_counter()
        step()
        times.append(perf_counter() - start)
    return max(1, round(seconds / min(times)))
