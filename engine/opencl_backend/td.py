"""Temporal-difference targets and losses; ``engine.td`` says what each of them must equal."""

from engine.backend import Step
from engine.errors import ShapeError
from engine.opencl_backend.heads import HeadOps
from engine.opencl_backend.memory import Dv, optional


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
        _check_values("td_target", branches, value, select)
        rows = value.shape[0]
        grid, local = self.runtime.items(rows)
        given = (rows, len(branches), self.starts(branches), value, select, *optional(mask, value))
        return self.runtime.bind("td", "td_target", grid, local, *given, reward, discount, target)

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
    ) -> Step:
        _check_values("td_loss", branches, q, dq)
        rows, lanes = q.shape[0], self.runtime.tuning.lanes
        given = (rows, len(branches), self.starts(branches), q, action, target)
        bend = (0, 0.0) if huber is None else (1, float(huber))
        args = (*given, *optional(weight, q), *bend, dq, td, loss)
        return self.runtime.bind("td", "td_loss", (lanes,), (lanes,), *args)


def _check_values(what: str, branches: tuple[int, ...], a: Dv, b: Dv) -> None:
    expected = (a.shape[0], sum(branches))
    if a.shape != expected or b.shape != expected:
        raise ShapeError(what, expected, a.shape if a.shape != expected else b.shape)
