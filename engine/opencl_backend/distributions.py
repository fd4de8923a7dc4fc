"""Value distributions: C51's and QR-DQN's targets, and the columns of actions taken."""

from agentd.engine.backend import Step, in_order
from agentd.engine.backend.checks import check_action, distribution_sizes
from agentd.engine.opencl_backend.losses import LossOps
from agentd.engine.opencl_backend.memory import Dv, optional
from agentd.engine.opencl_backend.td import TdOps


class DistributionOps(LossOps, TdOps):
    """``y`` (B, Z, A): the Z numbers of an action's distribution lie A apart."""

    def categorical_values(self, y: Dv, low: float, high: float, q: Dv) -> Step:
        sizes = distribution_sizes("categorical_values", y, q)
        gap = (high - low) / (sizes[1] - 1)
        return self._bind("categorical_values", q.size, *sizes, y, float(low), gap, q)

    def quantile_values(self, y: Dv, q: Dv) -> Step:
        sizes = distribution_sizes("quantile_values", y, q)
        return self._bind("quantile_values", q.size, *sizes, y, q)

    def categorical_values_backward(
        self, y: Dv, low: float, high: float, q: Dv, dq: Dv, dy: Dv
    ) -> Step:
        sizes = distribution_sizes("categorical_values_backward", y, q)
        args = (*sizes, y, float(low), (high - low) / (sizes[1] - 1), q, dq, dy)
        return self._bind_margin("categorical_values_backward", q.size, *args)

    def quantile_values_backward(self, dq: Dv, dy: Dv) -> Step:
        sizes = distribution_sizes("quantile_values_backward", dy, dq)
        return self._bind_margin("quantile_values_backward", dq.size, *sizes, dq, dy)

    def _bind_margin(self, name: str, items: int, *args: Dv) -> Step:
        return self.runtime.bind("margin", name, *self.runtime.items(items), *args)

    def categorical_target(
        self,
        value: Dv,
        select: Dv,
        mask: Dv | None,
        branches: tuple[int, ...],
        low: float,
        high: float,
        reward: Dv,
        discount: Dv,
        target: Dv,
    ) -> Step:
        batch, z, _ = distribution_sizes("categorical_target", value, select)
        p, atoms = self.empty((batch, z)), self.empty((batch, z))
        given = self._given(value, select, mask, branches, reward, discount)
        gap = (high - low) / (z - 1)
        mix = self._bind("categorical_mix", batch, *given, float(low), gap, p, atoms)
        move = self.categorical_projection(p, atoms, low, high, target)
        return in_order(mix, move)

    def quantile_target(
        self,
        value: Dv,
        select: Dv,
        mask: Dv | None,
        branches: tuple[int, ...],
        reward: Dv,
        discount: Dv,
        target: Dv,
    ) -> Step:
        batch, _, _ = distribution_sizes("quantile_target", value, select)
        given = self._given(value, select, mask, branches, reward, discount)
        return self._bind("quantile_target", batch, *given, target)

    def take_action(self, y: Dv, action: Dv, branches: tuple[int, ...], out: Dv) -> Step:
        return self._move("take_action", y, action, branches, out)

    def put_action(self, d: Dv, action: Dv, branches: tuple[int, ...], dy: Dv) -> Step:
        return self._move("put_action", dy, action, branches, d)

    def mean_loss(self, loss: Dv, weight: Dv | None, out: Dv) -> Step:
        rows = loss.size if weight is None else weight.size
        lanes = self.runtime.tuning.lanes
        args = (loss.size, rows, loss, *optional(weight, loss), out)
        return self.runtime.bind("distribution", "mean_loss", (lanes,), (lanes,), *args)

    def _given(
        self,
        value: Dv,
        select: Dv,
        mask: Dv | None,
        branches: tuple[int, ...],
        reward: Dv,
        discount: Dv,
    ) -> tuple[Dv, ...]:
        masked = optional(mask, value)
        shape = (value.shape[0], value.shape[1], len(branches), self.starts(branches))
        return (*shape, value, select, *masked, reward, discount)

    def _move(self, name: str, y: Dv, action: Dv, branches: tuple[int, ...], other: Dv) -> Step:
        check_action(y, action, branches)
        batch, z, _ = y.shape
        args = (batch, z, len(branches), self.starts(branches), y, action, other)
        return self._bind(name, batch, *args)

    def _bind(self, name: str, items: int, *args: Dv) -> Step:
        return self.runtime.bind("distribution", name, *self.runtime.items(items), *args)
