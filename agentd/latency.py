"""Latency histograms: constant memory, one addition a sample, quantiles within 5 %."""

from __future__ import annotations

import math

__all__ = ["Histogram"]

_PER_OCTAVE = 16  # buckets a factor of two: each 4.4 % wide
_FLOOR_S = 1e-6
_BUCKETS = 26 * _PER_OCTAVE  # 1 µs … 67 s


class Histogram:
    """Counts of durations in seconds over log-spaced buckets."""

    __slots__ = ("counts", "n", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.n = 0
        self.total = 0.0

    def add(self, seconds: float, weight: int = 1) -> None:
        """Count ``weight`` samples of ``seconds``."""
        at = int(_PER_OCTAVE * math.log2(seconds / _FLOOR_S)) if seconds > _FLOOR_S else 0
        self.counts[min(at, _BUCKETS - 1)] += weight
        self.n += weight
        self.total += seconds * weight

    def add_all(self, seconds: list[float]) -> None:
        """Count every one of these samples."""
        for sample in seconds:
            self.add(sample)

    def quantile(self, q: float) -> float:
        """The duration in seconds that a share ``q`` of the samples does not exceed; 0 if none."""
        left = q * self.n
        for at, count in enumerate(self.counts):
            left -= count
            if count and left <= 0:
                return float(_FLOOR_S * 2 ** ((at + 1) / _PER_OCTAVE))
        return 0.0

    def cumulative(self, bounds: list[float]) -> list[int]:
        """How many samples lie at or under each bound (seconds), as Prometheus wants them."""
        out, seen, at = [], 0, 0
        for bound in bounds:
            while at < _BUCKETS and _FLOOR_S * 2 ** ((at + 1) / _PER_OCTAVE) <= bound * 1.0001:
                seen += self.counts[at]
                at += 1
            out.append(seen)
        return out

    def merge(self, other: Histogram) -> None:
        """Add another histogram's samples, in place."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.n += other.n
        self.total += other.total

    def reset(self) -> None:
        """Forget every sample."""
        self.counts = [0] * _BUCKETS
        self.n, self.total = 0, 0.0
