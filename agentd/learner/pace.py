"""When the learner updates, and which weights a row is acted on with: arithmetic on row counts.

Due point k (k = 0, 1, …) falls at row count ``learn_start + k * train_every``: once that many rows
are committed the learner makes ``updates`` updates that see only rows below that count, then
publishes. Paced, a row with absolute index h is acted on with the publication of the last due
point at or below ``h - train_every``: one period behind, so that learner and game overlap, yet a
function of h alone. Before the first due point the publication is -1: untrained weights.

Live, every row from ``learn_start`` on is a due point, whatever updates are made for it.
"""

from dataclasses import dataclass

from agentd.config.records import STREAMING, AgentConfig

NO_DUE = -1
"""The due point of weights that were not trained yet."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The due points of one agent; see `agentd.config.PaceConfig`."""

    learn_start: int
    train_every: int

    def rows_at(self, due: int) -> int:
        """Return how many rows must be committed for due point ``due``."""
        return self.learn_start + due * self.train_every

    def reached(self, rows: int) -> int:
        """Return the last due point that ``rows`` committed rows have reached, or -1."""
        if rows < self.learn_start:
            return NO_DUE
        return (rows - self.learn_start) // self.train_every

    def required(self, row: int) -> int:
        """Return the due point whose publication acts on the row with absolute index ``row``."""
        return self.reached(row - self.train_every)


def is_live(config: AgentConfig) -> bool:
    """Return whether the learner makes as many updates as it has time for, see `learner.live`."""
    return config.pace.mode == "live" and config.learner not in STREAMING


def pace_of(config: AgentConfig) -> Pace:
    """Return the due points of an agent."""
    return Pace(config.pace.learn_start, 1 if is_live(config) else config.pace.train_every)
