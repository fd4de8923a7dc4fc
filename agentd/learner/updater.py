"""The updates of a learner, due point by due point.

A due point's updates may be split over several calls (and over a restart); what they see is a
function of the row count alone, so the result does not depend on when they were made.
"""

import time
from typing import Any, NamedTuple

from agentd.config.records import AgentConfig
from agentd.engine.learners.learner import Learner
from agentd.engine.replay.rows import NoValidStart
from agentd.learner.live import UpdateBudget
from agentd.learner.pace import NO_DUE, is_live, pace_of
from agentd.memory.ring_reader import RingReader

SKIPS_TO_PAUSE = 10
"""So many updates with non-finite gradients in a row, and learning pauses."""


class Progress(NamedTuple):
    """How far learning has come.

    due       last due point whose updates are all done, -1 before the first
    part      updates done of the next one
    """

    due: int = NO_DUE
    part: int = 0


class Updater:
    """Makes the updates of one due point after another, from the rows that have come.

    frozen: switched off; diverged: paused by itself; dropped: due points that a slow learner
    skipped; torn: due points whose oldest rows were overwritten before they were read.
    """

    def __init__(self, learner: Learner[Any], reader: RingReader, config: AgentConfig) -> None:
        self.learner, self.reader, self.config = learner, reader, config.pace
        self.pace = pace_of(config)
        self.progress = Progress()
        self.frozen = self.diverged = False
        self.dropped = self.torn = 0
        self._skipped_before = 0  # non-finite updates in a row when learning was last switched on

    @property
    def paused(self) -> bool:
        """Whether no updates are made, whatever rows come."""
        return self.frozen or self.diverged

    @property
    def next_rows(self) -> int:
        """Row count of the next due point."""
        return self.pace.rows_at(self.progress.due + 1)

    def backlog(self) -> int:
        """Return how many due points are reached and not done."""
        return max(0, self.pace.reached(self.reader.head) - self.progress.due)

    def ready(self) -> bool:
        """Whether there is an update to make now."""
        return not self.paused and self.reader.head >= self.next_rows

    def advance(self, until: float, stop_at: int | None = None) -> bool:
        """Make updates of the next due point; return whether it is done now.

        Goes on until the due point is done, time.monotonic() passes ``until``, ``stop_at``
        updates were ever made, or learning diverges; at least one update is made.
        """
        if self.config.mode != "paced":
            self._drop_debt()
        hi = self.next_rows
        lo, whole = self.reader.window(hi)
        rows = self.reader.rows(hi)
        due, part = self.progress
        self.torn += not whole and part == 0
        while part < self.config.updates:
            try:
                self.learner.update(rows, lo, hi, self.config.updates - part)
                part += 1
            except NoValidStart:
                part = self.config.updates  # nothing to learn from yet: this point is done
            if self._has_diverged():
                break
            if time.monotonic() >= until or self.learner.updates == stop_at:
                break
        done = part >= self.config.updates
        self.progress = Progress(due + 1, 0) if done else Progress(due, part)
        return done

    def jump(self) -> None:
        """Go on from now: due points that the rows have reached are never made up for."""
        self.progress = Progress(self.pace.reached(self.reader.head))

    def resume(self) -> None:
        """Go on with the present weights; forget skipped updates and missed due points."""
        self.diverged = False
        self._skipped_before = self.learner.skipped_in_row
        self.jump()

    def stats(self) -> dict[str, float]:
        """Return figures for the board, see `agentd.memory.weight_board.STATS`."""
        return {
            **self.learner.stats,
            "due": self.progress.due,
            "rows": self.reader.head,
            "backlog": self.backlog(),
            "dropped": self.dropped,
            "frozen": self.frozen,
            "diverged": self.diverged,
        }

    def _drop_debt(self) -> None:
        """Drop due points beyond ``max_backlog``: no game is slowed, no memory filled."""
        oldest = self.pace.reached(self.reader.head) - self.config.max_backlog
        if oldest > self.progress.due:
            self.dropped += oldest - self.progress.due
            self.progress = Progress(oldest)

    def _has_diverged(self) -> bool:
        skipped = self.learner.skipped_in_row
        self._skipped_before = min(self._skipped_before, skipped)
        self.diverged = skipped - self._skipped_before >= SKIPS_TO_PAUSE
        return self.diverged


class LiveUpdater(Updater):
    """Makes as many updates a row as there is time for; a due point is a row that was counted.

    dropped: updates that were owed and are forgotten, see `agentd.learner.live.UpdateBudget`.
    """

    def __init__(self, learner: Learner[Any], reader: RingReader, config: AgentConfig) -> None:
        super().__init__(learner, reader, config)
        self._budget: UpdateBudget | None = None

    @property
    def budget(self) -> UpdateBudget:
        """What is owed, from the rows on that ``progress`` has counted."""
        if self._budget is None:
            rows = self.pace.rows_at(self.progress.due)
            self._budget = UpdateBudget(self.config.max_updates_per_row, rows, time.monotonic())
        return self._budget

    @property
    def next_rows(self) -> int:
        """Row count at which an update is owed."""
        return max(self.budget.next_rows, self.config.learn_start)

    def backlog(self) -> int:
        """Return how many updates are owed."""
        return int(self.budget.owed)

    def ready(self) -> bool:
        """Whether there is an update to make now."""
        if self.paused:
            return False
        self._count()
        return self.budget.owed >= 1.0

    def advance(self, until: float, stop_at: int | None = None) -> bool:
        """Make the updates that are owed for the rows of now; return True: any may be published.

        Goes on until they are made, time.monotonic() passes ``until``, ``stop_at`` updates were
        ever made, or learning diverges.
        """
        hi = self.reader.head
        lo, _ = self.reader.window(hi)
        rows, began = self.reader.rows(hi), time.monotonic()
        while self.budget.owed >= 1.0:
            try:
                self.learner.update(rows, lo, hi, int(self.budget.owed))
            except NoValidStart:
                self.budget.clear()
                break
            now = time.monotonic()
            self.budget.pay(now - began)
            began = now
            if self._has_diverged() or now >= until or self.learner.updates == stop_at:
                break
        self.progress = Progress(self.pace.reached(hi))
        return True

    def jump(self) -> None:
        """Go on from now: rows that are there are owed nothing."""
        super().jump()
        self._budget = None

    def stats(self) -> dict[str, float]:
        """Return figures for the board, see `agentd.memory.weight_board.STATS`."""
        return {
            **super().stats(),
            "dropped": self.dropped + self.budget.forgotten,
            "updates_per_row": self.budget.per_row,
            "rows_per_second": self.budget.rows_per_second,
            "possible_updates_per_second": self.budget.updates_per_second,
            "updates_owed": self.budget.owed,
            "updates_forgotten": self.budget.forgotten,
        }

    def _count(self) -> None:
        self.budget.see(self.reader.head, time.monotonic())


def updater_for(learner: Learner[Any], reader: RingReader, config: AgentConfig) -> Updater:
    """Return the updater of an agent's pace."""
    kind = LiveUpdater if is_live(config) else Updater
    return kind(learner, reader, config)
