"""Histograms of durations and of sizes: constant memory, one addition a sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PER_OCTAVE = 16  # buckets a factor of two: each 4.4 % wide
_FLOOR_S = 1e-6
_BUCKETS = 26 * _PER_OCTAVE  # 1 µs … 67 s


class Histogram:
    """Counts of durations in seconds over log-spaced buckets; quantiles within 5 %."""

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

    def share(self) -> dict[str, Any]:
        """The histogram as plain values, for another process."""
        return {"counts": {str(i): n for i, n in enumerate(self.counts) if n}, "total": self.total}

    def add_share(self, share: Mapping[str, Any]) -> None:
        """Add what ``share`` returned elsewhere."""
        for at, count in share["counts"].items():
            self.counts[int(at)] += count
            self.n += count
        self.total += share["total"]

    def reset(self) -> None:
        """Forget every sample."""
        self.counts = [0] * _BUCKETS
        self.n, self.total = 0, 0.0


class Sizes:
    """Counts of whole numbers from 1 on over buckets 1, 2, 3–4, 5–8, … each twice the last."""

    __slots__ = ("counts", "n", "total")

    def __init__(self) -> None:
        self.counts = [0] * 32
        self.n = self.total = 0

    def add(self, size: int) -> None:
        """Count one sample."""
        self.counts[(size - 1).bit_length()] += 1
        self.n += 1
        self.total += size

    def quantile(self, q: float) -> int:
        """The upper end of the bucket that at most a share 1 - ``q`` exceeds; 0 if none."""
        left = q * self.n
        for at, count in enumerate(self.counts):
            left -= count
            if count and left <= 0:
                return 1 << at
        return 0

    def share(self) -> dict[str, Any]:
        """The histogram as plain values, for another process."""
        return {"counts": {str(i): n for i, n in enumerate(self.counts) if n}, "total": self.total}

    def add_share(self, share: Mapping[str, Any]) -> None:
        """Add what ``share`` returned elsewhere."""
        for at, count in share["counts"].items():
            self.counts[int(at)] += count
            self.n += count
        self.total += share["total"]

    def cumulative(self, buckets: int) -> list[tuple[int, int]]:
        """(upper end, samples up to it) of the first ``buckets`` buckets."""
        return [(1 << at, sum(self.counts[: at + 1])) for at in range(buckets)]
