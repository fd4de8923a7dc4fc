"""What a run of Q-learning has shown so far."""

from dataclasses import dataclass, field
from math import nan

MOST = 4096  # readings that are kept


@dataclass(frozen=True)
class Reading:
    """One look at the agent. Times in seconds; NaN for what is not known yet."""

    elapsed_s: float
    env_steps: int
    episodes: int
    return_mean: float  # of the last episodes, exploration included
    greedy_mean: float  # of the last evaluation
    loss: float
    q_mean: float
    epsilon: float
    updates: int
    version: int
    steps_per_s: float
    p50_s: float  # from a step frame's arrival to its answer
    p99_s: float
    clients: int
    updates_per_row: float = nan  # these are known of a live learner alone
    rows_per_s: float = nan
    possible_updates_per_s: float = nan
    updates_owed: float = nan
    held_out_gap: float = nan
    too_slow: str = ""  # in words, where the learner is


@dataclass
class History:
    """The readings of one run, thinned out so that a long run stays small."""

    total_steps: int
    solved: float | None = None
    measured: bool = False  # by evaluations: against itself an agent's returns say nothing
    readings: list[Reading] = field(default_factory=list)
    greedy: list[tuple[float, float]] = field(default_factory=list)  # (env steps, mean return)

    def add(self, reading: Reading) -> None:
        """Append a reading; every second of the older ones goes when there are too many."""
        self.readings.append(reading)
        if len(self.readings) > MOST:
            self.readings[: MOST // 2] = self.readings[: MOST // 2 : 2]

    def note_greedy(self, steps: int, mean: float) -> None:
        """Remember the mean return of an evaluation."""
        self.greedy.append((float(steps), mean))

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(env steps, mean return) that shows how well it plays."""
        return self.greedy if self.measured else self.training

    @property
    def training(self) -> list[tuple[float, float]]:
        """(env steps, mean return) of the readings that had one; none where it says nothing."""
        if self.measured:
            return []
        known = [r for r in self.readings if r.return_mean == r.return_mean]
        return [(float(r.env_steps), r.return_mean) for r in known]

    @property
    def left_s(self) -> float:
        """Seconds to the last step at the present speed; NaN before there is one."""
        if not self.readings or self.readings[-1].steps_per_s <= 0:
            return float("nan")
        last = self.readings[-1]
        return max(0.0, (self.total_steps - last.env_steps) / last.steps_per_s)
