"""Learning-rate schedules: a factor on the optimizer's rate, as a function of the step count."""

from math import cos, inf, pi
from typing import Any

from agentd.engine.optim.spec import ScheduleSpec


class Schedule:
    """The factor of each step: first a linear warm-up, then the shape that the spec names.

    Only ``plateau`` has a memory: it drops when ``observe`` has seen no better value for
    ``patience`` observations.
    """

    def __init__(self, spec: ScheduleSpec) -> None:
        self.spec = spec
        self._best = inf
        self._waited = 0
        self._share = 1.0

    def factor(self, t: int) -> float:
        """Return the factor for the update after ``t`` updates, in (0, 1] or down to ``final``."""
        spec = self.spec
        if t < spec.warmup:
            return (t + 1) / (spec.warmup + 1)
        t -= spec.warmup
        if spec.name == "constant":
            return 1.0
        if spec.name == "plateau":
            return self._share
        if spec.name == "step":
            return max(spec.final, float(spec.decay ** (t // spec.steps)))
        done = min(1.0, t / spec.steps)
        if spec.name == "linear":
            return 1 - (1 - spec.final) * done
        return spec.final + (1 - spec.final) * (1 + cos(pi * done)) / 2

    def observe(self, value: float) -> None:
        """Take in a value that should fall, a validation loss: only ``plateau`` minds."""
        if value < self._best:
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited > self.spec.patience:
            self._share = max(self.spec.final, self._share * self.spec.decay)
            self._waited = 0

    def get_state(self) -> dict[str, Any]:
        """Return what ``factor`` depends on besides t."""
        best = None if self._best == inf else self._best
        return {"best": best, "waited": self._waited, "share": self._share}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where ``get_state`` was called."""
        self._best = inf if state["best"] is None else float(state["best"])
        self._waited, self._share = int(state["waited"]), float(state["share"])


def make_schedule(spec: ScheduleSpec | None) -> Schedule:
    """Return the schedule that ``spec`` names; constant without one."""
    return Schedule(spec or ScheduleSpec())
