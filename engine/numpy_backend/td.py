"""Temporal-difference targets and losses; ``engine.rules.td`` says what each of them must equal."""

import numpy as np
from numpy import add, copyto, equal, maximum, minimum, multiply, subtract

from agentd.engine.backend import Step, TdStep, in_order, nothing
from agentd.engine.backend.checks import check_values
from agentd.engine.numpy_backend.memory import MemoryOps, Nd
from agentd.engine.rules.td import ILLEGAL


class TdOps(MemoryOps):
    """Q-values of several branches lie side by side; each branch is a range of columns."""

    def td_target(
        self,
        value: Nd,
        select: Nd,
        mask: Nd | None,
        branches: tuple[int, ...],
        reward: Nd,
        discount: Nd,
        target: Nd,
    ) -> Step:
        check_values("td_target", branches, value, select)
        batch, width = value.shape
        legal, hide = self._legal(select, mask)
        flat, row = self.reshape(value, (-1,)), np.arange(batch) * width
        best, part = np.empty(batch, np.intp), self.empty((batch,))
        columns = [(legal[:, at : at + n], row + at) for at, n in ranges(branches)]
        share = self.scalar(1 / len(branches))

        def step() -> None:
            hide()
            target.fill(0)
            for values, first in columns:
                values.argmax(1, best)
                add(best, first, best)
                flat.take(best, out=part, mode="clip")
                add(target, part, target)
            multiply(target, share, target)
            multiply(target, discount, target)
            add(target, reward, target)

        return step

    def td_loss(
        self,
        q: Nd,
        action: Nd,
        target: Nd,
        weight: Nd | None,
        branches: tuple[int, ...],
        huber: float | None,
        dq: Nd,
        td: Nd,
        loss: Nd,
        mean_error: bool = False,
    ) -> Step:
        check_values("td_loss", branches, q, dq)
        batch, width = q.shape
        starts = np.array([at for at, _ in ranges(branches)])
        first, at = np.arange(batch)[:, None] * width + starts, np.empty(td.shape, np.intp)
        flat_q, flat_dq = self.reshape(q, (-1,)), self.reshape(dq, (-1,))
        column, slope = target.reshape(-1, 1), self.empty(td.shape)
        part, half, share = self.empty(td.shape), self.scalar(0.5), self.scalar(-1 / td.size)
        weights = None if weight is None else weight.reshape(-1, 1)
        bend = self._bend(td, slope, huber)
        mean = self.empty((batch, 1)) if mean_error else None

        def step() -> None:
            add(first, action, at)
            flat_q.take(at, out=td, mode="clip")
            subtract(column, td, td)
            if mean is not None:
                td.mean(axis=1, keepdims=True, out=mean)
                copyto(td, mean)
            bend()
            multiply(slope, half, part)  # loss = slope (td - ½ slope), on both sides of the bend
            subtract(td, part, part)
            if weights is not None:
                multiply(part, weights, part)
            loss[0] = -share * part.reshape(-1).dot(slope.reshape(-1))
            multiply(slope, share, slope)
            if weights is not None:
                multiply(slope, weights, slope)
            dq.fill(0)
            flat_dq[at] = slope

        return step

    def margin_loss(
        self,
        q: Nd,
        action: Nd,
        mask: Nd | None,
        weight: Nd,
        branches: tuple[int, ...],
        margin: Nd,
        dq: Nd,
        loss: Nd,
    ) -> Step:
        check_values("margin_loss", branches, q, dq)
        legal, hide = self._legal(q, mask)
        lifted, row = self.empty(q.shape), np.arange(len(q))
        share = self.scalar(1 / len(branches))
        slope, each = self.scalar(1 / (len(q) * len(branches))), self.empty(weight.shape)

        def step() -> None:
            hide()
            add(legal, margin, lifted)
            dq.fill(0)
            loss.fill(0)
            multiply(weight, slope, each)
            for i, (at, n) in enumerate(ranges(branches)):
                taken = np.clip(action[:, i], 0, n - 1) + at
                value = q[row, taken]
                lifted[row, taken] = value
                best = lifted[:, at : at + n].argmax(1) + at
                add(loss, lifted[row, best] - value, loss)
                dq[row, best] += each
                dq[row, taken] -= each
            multiply(loss, share, loss)

        return step

    def td_step(self, step: TdStep) -> Step:
        s = step
        ahead = (s.value, s.select, s.mask, s.branches, s.reward, s.discount, s.target)
        taken = (s.y, s.action, s.target, s.weight, s.branches, s.huber)
        written = s.dy, s.error, s.loss, s.mean_error
        return in_order(self.td_target(*ahead), self.td_loss(*taken, *written))

    def _legal(self, q: Nd, mask: Nd | None) -> tuple[Nd, Step]:
        """Return a copy of q with illegal actions masked out, and the step that updates it."""
        if mask is None:
            return q, nothing
        legal, lowest = self.empty(q.shape), self.scalar(ILLEGAL)
        illegal = np.empty(q.shape, np.bool_)

        def hide() -> None:
            copyto(legal, q)
            equal(mask, 0, illegal)
            copyto(legal, lowest, where=illegal)

        return legal, hide

    def _bend(self, td: Nd, slope: Nd, huber: float | None) -> Step:
        """Bind slope = clip(td, -huber, huber); without ``huber`` it is td itself."""
        if huber is None:
            return self.copy(td, slope)
        low, high = self.scalar(-huber), self.scalar(huber)

        def step() -> None:
            minimum(td, high, out=slope)
            maximum(slope, low, out=slope)

        return step


def ranges(branches: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return each branch's first column and width."""
    starts = np.cumsum((0, *branches[:-1])).tolist()
    return list(zip(starts, branches, strict=True))
