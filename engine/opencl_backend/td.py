"""Temporal-difference targets and losses; ``engine.rules.td`` says what each of them must equal."""

from typing import Any

from agentd.engine.backend import Step, TdStep
from agentd.engine.backend.checks import check_values
from agentd.engine.opencl_backend.heads import HeadOps
from agentd.engine.opencl_backend.memory import Dv, optional


class TdOps(HeadOps):
    """Q-values of several branches lie side by side; each branch is a range of columns."""

    def td_target(
        self,
        value: Dv,
        select: Dv,
        mask: Dv | None,
        branches: tuple[int, ...],
        reward: Dv,
        discount: Dv,
        target: Dv,
    ) -> Step:
        check_values("td_target", branches, value, select)
        ahead = (value, select, *optional(mask, value), reward, discount)
        given = (*self._rows(value, branches), *ahead, target)
        return self.runtime.bind("td", "td_target", *self.runtime.items(value.shape[0]), *given)

    def td_loss(
        self,
        q: Dv,
        action: Dv,
        target: Dv,
        weight: Dv | None,
        branches: tuple[int, ...],
        huber: float | None,
        dq: Dv,
        td: Dv,
        loss: Dv,
        mean_error: bool = False,
    ) -> Step:
        check_values("td_loss", branches, q, dq)
        taken = (q, action, *optional(weight, q), *optional(huber, 0.0), int(mean_error))
        args = (*self._rows(q, branches), *taken, target, dq, td, loss)
        return self.runtime.bind("td", "td_loss", *self.runtime.each_row(1), *args)

    def margin_loss(
        self,
        q: Dv,
        action: Dv,
        mask: Dv | None,
        weight: Dv,
        branches: tuple[int, ...],
        margin: Dv,
        dq: Dv,
        loss: Dv,
    ) -> Step:
        check_values("margin_loss", branches, q, dq)
        args = (*self._rows(q, branches), q, action, *optional(mask, q), weight, margin, dq, loss)
        return self.runtime.bind("margin", "margin_loss", *self.runtime.items(q.shape[0]), *args)

    def td_step(self, step: TdStep) -> Step:
        s = step
        check_values("td_step", s.branches, s.value, s.select)
        check_values("td_step", s.branches, s.y, s.dy)
        ahead = (s.value, s.select, *optional(s.mask, s.value), s.reward, s.discount)
        taken = (s.y, s.action, *optional(s.weight, s.y), *optional(s.huber, 0.0))
        given = (*self._rows(s.y, s.branches), *ahead, *taken, int(s.mean_error))
        args = (*given, s.target, s.dy, s.error, s.loss)
        return self.runtime.bind("td", "td_step", *self.runtime.each_row(1), *args)

    def _rows(self, q: Dv, branches: tuple[int, ...]) -> tuple[Any, ...]:
        return q.shape[0], len(branches), self.starts(branches)
