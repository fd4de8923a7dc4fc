"""Munchausen-DQN: a soft policy, its reward, and targets that are means over it."""

from typing import Any

from agentd.engine.backend import Step, in_order
from agentd.engine.backend.checks import check_shapes, check_values, distribution_sizes
from agentd.engine.opencl_backend.distributions import DistributionOps
from agentd.engine.opencl_backend.memory import Dv, optional


class MunchausenOps(DistributionOps):
    """Branches lie side by side; each has a softmax of its own."""

    def munchausen(
        self,
        q: Dv,
        mask_tm1: Dv | None,
        action: Dv,
        select: Dv,
        mask: Dv | None,
        branches: tuple[int, ...],
        alpha: float,
        tau: float,
        lowest: float,
        reward: Dv,
        discount: Dv,
        policy: Dv,
        augmented: Dv,
    ) -> Step:
        check_values("munchausen", branches, q, select)
        check_shapes("munchausen", select.shape, policy=policy)
        before = (q, *optional(mask_tm1, q), action)
        after = (select, *optional(mask, select), float(alpha), float(tau), float(lowest))
        given = (*self._rows(q, branches), *before, *after, reward, discount)
        return self._bind_soft("munchausen", q.shape[0], *given, policy, augmented)

    def expected_target(
        self,
        value: Dv,
        policy: Dv,
        branches: tuple[int, ...],
        reward: Dv,
        discount: Dv,
        target: Dv,
    ) -> Step:
        check_values("expected_target", branches, value, policy)
        given = (*self._rows(value, branches), value, policy, reward, discount, target)
        return self._bind_soft("expected_target", value.shape[0], *given)

    def expected_quantiles(
        self,
        value: Dv,
        policy: Dv,
        branches: tuple[int, ...],
        reward: Dv,
        discount: Dv,
        target: Dv,
    ) -> Step:
        batch, z, _ = distribution_sizes("expected_quantiles", value, policy)
        given = (batch, z, len(branches), self.starts(branches), value, policy)
        return self._bind_soft("expected_quantiles", batch, *given, reward, discount, target)

    def expected_categorical(
        self,
        value: Dv,
        policy: Dv,
        branches: tuple[int, ...],
        low: float,
        high: float,
        reward: Dv,
        discount: Dv,
        target: Dv,
    ) -> Step:
        batch, z, _ = distribution_sizes("expected_categorical", value, policy)
        p, atoms = self.empty((batch, z)), self.empty((batch, z))
        given = (batch, z, len(branches), self.starts(branches), value, policy, reward, discount)
        gap = (high - low) / (z - 1)
        mix = self._bind_soft("expected_mix", batch, *given, float(low), gap, p, atoms)
        return in_order(mix, self.categorical_projection(p, atoms, low, high, target))

    def _bind_soft(self, name: str, rows: int, *args: Any) -> Step:
        return self.runtime.bind("munchausen", name, *self.runtime.items(rows), *args)
