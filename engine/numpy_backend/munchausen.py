"""Munchausen-DQN; ``engine.rules.munchausen`` says what each of these ops must equal."""

from collections.abc import Callable

import numpy as np

from agentd.engine.backend import Step, in_order
from agentd.engine.backend.checks import check_shapes, check_values, distribution_sizes
from agentd.engine.numpy_backend.distributions import DistributionOps
from agentd.engine.numpy_backend.memory import Nd
from agentd.engine.numpy_backend.td import ranges


class MunchausenOps(DistributionOps):
    """Branches lie side by side; each has a softmax of its own."""

    def munchausen(
        self,
        q: Nd,
        mask_tm1: Nd | None,
        action: Nd,
        select: Nd,
        mask: Nd | None,
        branches: tuple[int, ...],
        alpha: float,
        tau: float,
        lowest: float,
        reward: Nd,
        discount: Nd,
        policy: Nd,
        augmented: Nd,
    ) -> Step:
        check_values("munchausen", branches, q, select)
        check_shapes("munchausen", select.shape, policy=policy)
        numbers = alpha, lowest, 1 / len(branches)
        before, taken = self.empty(q.shape), self.empty((len(branches) * len(q), 1))
        look = self._soft_policy(q, mask_tm1, branches, tau, before, before)
        take = self.take_action(before[:, None, :], action, branches, taken)
        by_branch, own = taken.reshape(len(branches), len(q)), self.empty(augmented.shape)
        weight, floor, mean = (self.scalar(number) for number in numbers)

        def step() -> None:
            look()
            take()
            np.add.reduce(by_branch, 0, None, own)
            np.multiply(own, mean, own)
            np.maximum(own, floor, out=own)
            np.multiply(own, weight, own)
            np.add(reward, own, augmented)

        more = self._add_entropy(select, mask, branches, tau, discount, policy, augmented)
        return in_order(step, more)

    def _add_entropy(
        self,
        select: Nd,
        mask: Nd | None,
        branches: tuple[int, ...],
        tau: float,
        discount: Nd,
        policy: Nd,
        augmented: Nd,
    ) -> Step:
        """Bind the soft policy (B, A), and augmented += discount times its mean entropy, scaled."""
        log, entropy = self.empty(select.shape), self.empty(augmented.shape)
        aim = self._soft_policy(select, mask, branches, tau, policy, log)
        share = self.scalar(-1 / len(branches))

        def step() -> None:
            aim()
            np.multiply(policy, log, log)
            np.add.reduce(log, 1, None, entropy)
            np.multiply(entropy, share, entropy)
            np.multiply(entropy, discount, entropy)
            np.add(augmented, entropy, augmented)

        return step

    def expected_target(
        self,
        value: Nd,
        policy: Nd,
        branches: tuple[int, ...],
        reward: Nd,
        discount: Nd,
        target: Nd,
    ) -> Step:
        check_values("expected_target", branches, value, policy)
        share = self.scalar(1 / len(branches))

        def step() -> None:
            np.einsum("ba,ba->b", value, policy, out=target)
            np.multiply(target, share, target)
            np.multiply(target, discount, target)
            np.add(target, reward, target)

        return step

    def expected_quantiles(
        self,
        value: Nd,
        policy: Nd,
        branches: tuple[int, ...],
        reward: Nd,
        discount: Nd,
        target: Nd,
    ) -> Step:
        batch, z, _ = distribution_sizes("expected_quantiles", value, policy)
        out = target.reshape(batch, len(branches), z)
        r, d = reward[:, None, None], discount[:, None, None]

        def step() -> None:
            for i, (at, n) in enumerate(ranges(branches)):
                part = value[:, :, at : at + n], policy[:, at : at + n]
                np.einsum("bza,ba->bz", *part, out=out[:, i])
            np.multiply(out, d, out)
            np.add(out, r, out)

        return step

    def expected_categorical(
        self,
        value: Nd,
        policy: Nd,
        branches: tuple[int, ...],
        low: float,
        high: float,
        reward: Nd,
        discount: Nd,
        target: Nd,
    ) -> Step:
        batch, z, _ = distribution_sizes("expected_categorical", value, policy)
        each, p, atoms = self.empty(value.shape), self.empty((batch, z)), self.empty((batch, z))
        move = self.categorical_projection(p, atoms, low, high, target)
        grid, share = self._atoms(low, high, z), self.scalar(1 / len(branches))
        r, d = reward.reshape(-1, 1), discount.reshape(-1, 1)

        def step() -> None:
            np.subtract(value, np.maximum.reduce(value, 1, keepdims=True), each)
            np.exp(each, each)
            np.divide(each, np.add.reduce(each, 1, keepdims=True), each)
            np.einsum("bza,ba->bz", each, policy, out=p)
            np.multiply(p, share, p)
            np.multiply(d, grid, atoms)
            np.add(atoms, r, atoms)
            move()

        return step

    def _soft_policy(
        self,
        q: Nd,
        mask: Nd | None,
        branches: tuple[int, ...],
        tau: float,
        policy: Nd,
        log: Nd,
    ) -> Callable[[], None]:
        """Bind policy = softmax of legal q / (N tau) and log = N tau ln policy, both (B, A).

        Where both are one array, it gets the logarithms.
        """
        legal, hide = self._legal(q, mask)
        e, total = self.empty(q.shape), self.empty((len(q), 1))
        width = self.scalar(len(branches) * tau)
        parts = [np.s_[:, at : at + n] for at, n in ranges(branches)]

        def step() -> None:
            hide()
            for part in parts:
                np.maximum.reduce(legal[part], 1, None, total, keepdims=True)
                np.subtract(legal[part], total, e[part])
                np.divide(e[part], width, policy[part])
                np.exp(policy[part], policy[part])
                np.add.reduce(policy[part], 1, None, total, keepdims=True)
                np.divide(policy[part], total, policy[part])
                np.log(total, total)
                np.multiply(total, width, total)
                np.subtract(e[part], total, log[part])

        return step
