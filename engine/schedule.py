"""Learning-rate schedules: a factor on the optimizer's rate, as a function of the step count."""

from math import cos, pi
from typing import Any

from engine.spec import ScheduleSpec


class Schedule:
    """The factor of each step: first a linear warm-up, then the shape that the spec names."""

    def __init__(self, spec: ScheduleSpec) -> None:
        self.spec = spec

    def factor(self, t: int) -> float:
        """Return the factor for the update after ``t`` updates."""
        spec = self.spec
        if t < spec.warmup:
            return (t + 1) / (spec.warmup + 1)
        t -= spec.warmup
        if spec.name == "constant":
            return 1.0
        if spec.name == "step":
            return float(spec.decay ** (t // spec.steps))
        done = min(1.0, t / spec.steps)
        if spec.name == "linear":
            return 1 - (1 - spec.final) * done
        return spec.final + (1 - spec.final) * (1 + cos(pi * done)) / 2

    def get_state(self) -> dict[str, Any]:
        """Return what ``factor`` depends on besides t."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where ``get_state`` was called."""


def make_schedule(spec: ScheduleSpec | None) -> Schedule:
    """Return the schedule that ``spec`` names; constant without one."""
    return Schedule(spec or ScheduleSpec())
