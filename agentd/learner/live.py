"""How many updates a learner makes for the rows of a running game: as many as it has time for.

Pace ``live``: R = clip(0.8 U / F, R_min, R_max) updates are owed for every row, where U is how
many updates a second the learner makes while it works, and F how many rows a second come. What was
owed for longer than a second is forgotten, so a learner that is too slow never works on a past
that nobody remembers, and one that was asleep does not make up for it.

A row is counted once, so there are never more than R_max updates a row: a few hundred rows are
never learned by heart before the game has begun.
"""

import math
from collections import deque
from collections.abc import Mapping

SHARE = 0.8
"""Part of the learner's time that updates may fill; the rest keeps it behind no game."""
MIN_PER_ROW = 0.25
"""R_min, updates a row that are owed however many rows come."""
FORGET_S = 1.0
"""Seconds after which an update that was not made is owed no more."""
MUCH = 0.1
"""A learner that forgets this part of what it owes is too slow."""
_RATE_S = 2.0
"""Time constant of the rows a second."""
_COST_UPDATES = 50
"""Number of updates over which the time of one is averaged."""
_CHUNK_S = 0.05
"""Debts so close in time are kept as one."""


class UpdateBudget:
    """Counts what is owed. ``rows`` are absolute row counts, ``now`` seconds of a monotonic clock.

    max_per_row  R_max
    forgotten    updates that were owed for longer than `FORGET_S`
    """

    def __init__(self, max_per_row: float, rows: int, now: float) -> None:
        """Begin at ``rows`` rows: those are counted already."""
        self.max_per_row = max_per_row
        self.forgotten = 0.0
        self._rows, self._now = rows, now
        self._owed: deque[list[float]] = deque()  # [since when, how many], oldest first
        self._count = self._span = 0.0  # rows and seconds, both fading
        self._idle = 0.0  # seconds since the last row
        self._cost = math.nan  # seconds of one update

    @property
    def updates_per_second(self) -> float:
        """U: how many updates a second the learner makes while it works; NaN before the first."""
        return 1.0 / self._cost if self._cost > 0 else math.nan

    @property
    def rows_per_second(self) -> float:
        """F: how many rows a second come; 0 while none has come for a second."""
        return 0.0 if self._idle > FORGET_S else self._rate

    @property
    def per_row(self) -> float:
        """R: how many updates the next row is worth."""
        rate = self._rate
        if not rate or math.isnan(self._cost):
            return self.max_per_row
        affordable = SHARE * self.updates_per_second / rate
        return min(self.max_per_row, max(min(MIN_PER_ROW, self.max_per_row), affordable))

    @property
    def owed(self) -> float:
        """How many updates are due now."""
        return sum(amount for _, amount in self._owed)

    @property
    def next_rows(self) -> int:
        """The row count at which an update is due; the present one when one is due now."""
        missing = 1.0 - self.owed
        return self._rows + max(0, math.ceil(missing / self.per_row))

    @property
    def _rate(self) -> float:
        """How many rows a second came lately, pauses left out."""
        return self._count / self._span if self._span > 0 else 0.0

    def see(self, rows: int, now: float) -> None:
        """Take note that ``rows`` rows are there, and forget what is too old."""
        new, gone = max(0, rows - self._rows), max(0.0, now - self._now)
        self._rows, self._now = max(rows, self._rows), now
        if new or gone:
            counted = min(gone, max(0.0, FORGET_S - self._idle))  # a long pause is no low rate
            self._idle = 0.0 if new else self._idle + gone
            keep = math.exp(-counted / _RATE_S)
            self._count = self._count * keep + new
            self._span = self._span * keep + counted
        if new:
            amount = new * self.per_row
            if self._owed and now - self._owed[-1][0] < _CHUNK_S:
                self._owed[-1][1] += amount
            else:
                self._owed.append([now, amount])
        while self._owed and now - self._owed[0][0] > FORGET_S:
            self.forgotten += self._owed.popleft()[1]

    def pay(self, seconds: float) -> None:
        """Take note that one update was made, in so many seconds."""
        first = math.isnan(self._cost)
        self._cost = seconds if first else self._cost + (seconds - self._cost) / _COST_UPDATES
        rest = 1.0
        while self._owed and rest > 0:
            paid = min(rest, self._owed[0][1])
            self._owed[0][1] -= paid
            rest -= paid
            if self._owed[0][1] <= 0:
                self._owed.popleft()

    def clear(self) -> None:
        """Owe nothing: learning was switched off, or there was nothing to learn from."""
        self._owed.clear()


def too_slow(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Say that a learner is too slow for its rows, and what comes of it; "" where it is not.

    ``before`` and ``now`` are two readings of its statistics, a second or so apart.
    """
    per_row, rate = now["updates_per_row"], now["rows_per_second"]
    reasons = []
    if SHARE * now["possible_updates_per_second"] < per_row * rate:
        reasons.append(f"{per_row:.2g} updates a row, the least")
    made = now["updates"] - before["updates"]
    forgotten = now["updates_forgotten"] - before["updates_forgotten"]
    if forgotten >= 1 and forgotten > MUCH * (made + forgotten):
        share = forgotten / (made + forgotten)
        reasons.append(f"{share:.0%} of the updates that it owes it forgets")
    if not reasons:
        return ""
    return f"the learner is too slow for {rate:,.0f} rows a second: {' and '.join(reasons)}"
