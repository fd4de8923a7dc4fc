"""What an update of deep Q-learning reads and writes on the backend, and the ops over it.

Shapes: B rows of a batch, A actions over all branches, N branches, Z numbers an action.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, QStep, Step, TdStep
from agentd.engine.learners.dqn_config import MunchausenConfig
from agentd.engine.learners.heads import Head
from agentd.engine.network import Pass
from agentd.engine.replay.rows import RowFormat
from agentd.engine.replay.transitions import TransitionBatch
from agentd.engine.rules.td import action_value, td_loss


class BatchArrays:
    """A batch's arrays on the backend, the same ones for every batch, and the ops over them."""

    def __init__(
        self,
        backend: Backend,
        size: int,
        format: RowFormat,
        head: Head,
        huber: float | None,
        *,
        weighted: bool,
        mean_error: bool,
        soft: MunchausenConfig | None = None,
    ) -> None:
        """``soft``: of Munchausen's targets; None where they are others."""
        self._backend, self._head, self._huber = backend, head, huber
        self._mean_error = mean_error
        self._branches = format.branches
        self.action = backend.zeros((size, len(format.branches)), "int32")
        self.reward = backend.zeros((size,))
        self.discount = backend.zeros((size,))
        self.mask_t = backend.zeros((size, format.n_actions), "uint8")
        self.weight = backend.zeros((size,)) if weighted else None
        self.target = backend.zeros(head.target_shape(size, format.branches))
        self.error = backend.zeros(head.error_shape(size, format.branches))
        self.q = backend.zeros((size, format.n_actions))
        self.dy = backend.zeros((size, head.atoms * format.n_actions))
        self._soft = None if soft is None else _SoftArrays(backend, size, format, soft)
        self._read: Step | None = None

    def q_step(self, target: Array, double: bool) -> QStep:
        """Return the record of a whole step with the target network's parameters (n_params,)."""
        return QStep(
            branches=self._branches,
            action=self.action,
            reward=self.reward,
            discount=self.discount,
            mask=self.mask_t,
            weight=self.weight,
            target_params=target,
            target=self.target,
            error=self.error,
            double=double,
            huber=self._huber,
            mean_error=self._mean_error,
        )

    def write(
        self,
        batch: TransitionBatch,
        mask_t: Host | None,
        weight: Host | None,
        mask_tm1: Host | None = None,
    ) -> None:
        """Write what the ops read, all but the observations."""
        write = self._backend.write
        write(self.action, batch.action_tm1)
        write(self.reward, batch.reward_t)
        write(self.discount, batch.discount_t)
        if mask_t is not None:
            write(self.mask_t, mask_t)
        if mask_tm1 is not None and self._soft is not None:
            write(self._soft.mask_tm1, mask_tm1)
        if self.weight is not None and weight is not None:
            write(self.weight, weight)

    def tile(self, mask: Host | None, run: Pass) -> Host | None:
        """Return a mask (B, A) for each of a network's Z numbers, (B, Z A), as it reads it."""
        atoms = run.net.output_shape[0] // sum(self._branches)
        if mask is None or atoms == 1:
            return mask
        return np.tile(mask, (1, atoms))

    def bind(
        self,
        value: Array,
        select: Array,
        y: Array,
        loss: Array,
        *,
        masked: bool,
        before: Array | None = None,
        fractions: Array | None = None,
    ) -> tuple[Step, ...]:
        """Bind the algorithm's ops to the passes' outputs, which stay where they are.

        ``before`` are the target network's outputs at t-1, where the update is Munchausen's;
        ``fractions`` those that the outputs y were drawn at, where they were.
        """
        be, head, reward, policy = self._backend, self._head, self.reward, None
        steps: tuple[Step, ...] = ()
        if head.atoms > 1:
            steps, select = (head.bind_values(be, select, self.q),), self.q
        if before is not None and self._soft is not None:
            steps = (*steps, *self._bind_soft(self._soft, before, select, masked=masked))
            reward, policy = self._soft.reward, self._soft.policy
        update = TdStep(
            branches=self._branches,
            value=value,
            select=select,
            mask=self.mask_t if masked else None,
            reward=reward,
            policy=policy,
            fractions=fractions,
            discount=self.discount,
            y=y,
            action=self.action,
            weight=self.weight,
            huber=self._huber,
            mean_error=self._mean_error,
            target=self.target,
            dy=self.dy,
            error=self.error,
            loss=loss,
        )
        return (*steps, head.bind_step(be, update))

    def step_all(self, goal: NDArray[np.float32], y: Array, loss: Array) -> None:
        """Write loss (1,) and slope of each action's error from its ``goal`` (B, A), in place.

        Minus infinity is the goal of an illegal action, which has no error. y (B, A) are the
        network's outputs. The losses of a row's actions add up: each is learned as the action taken
        is where it alone has a target. The target kept is that of the action taken, and the error
        the mean size of all of a row's.
        """
        be, q, legal = self._backend, self._backend.to_host(y), goal != -np.inf
        error = np.where(legal, goal - q, 0).astype(q.dtype)
        weight = None if self.weight is None else be.to_host(self.weight)
        mean, slope = td_loss(error, weight, self._huber)
        actions = goal.shape[1]
        be.write(self.dy, (slope * -actions).astype(q.dtype))
        be.write(loss, np.array([mean * actions], q.dtype))
        taken = action_value(goal, be.to_host(self.action), self._branches)[:, 0]
        be.write(self.target, taken.astype(q.dtype))
        size = np.abs(error).sum(axis=1) / np.maximum(1, legal.sum(axis=1))
        be.write(self.error, size.astype(q.dtype)[:, None])

    def _bind_soft(
        self, soft: "_SoftArrays", before: Array, select: Array, *, masked: bool
    ) -> tuple[Step, ...]:
        """Bind the policy at t, from values ``select`` (B, A), and the reward with its terms."""
        be = self._backend
        masks = (soft.mask_tm1, self.mask_t) if masked else (None, None)
        given = (soft.q, masks[0], self.action, select, masks[1], self._branches)
        read = (*soft.numbers, self.reward, self.discount)
        return (
            self._head.bind_values(be, before, soft.q),
            be.munchausen(*given, *read, soft.policy, soft.reward),
        )

    def values(self, y: Array) -> Host:
        """Return the values of the actions taken, (B, N), from the outputs ``y``."""
        if self._read is None:
            self._read = self._head.bind_values(self._backend, y, self.q)
        self._read()
        q, action = self._backend.to_host(self.q), self._backend.to_host(self.action)
        return action_value(q, action, self._branches)

    def errors(self) -> NDArray[np.floating[Any]]:
        """Return each row's error, not negative, the mean over its branches, (B,)."""
        to_host = self._backend.to_host
        return self._head.errors(to_host(self.error), to_host(self.target))


class _SoftArrays:
    """What Munchausen's op reads and writes beside a batch: masks and values at t-1, the policy."""

    def __init__(
        self, backend: Backend, size: int, format: RowFormat, config: MunchausenConfig
    ) -> None:
        shape = (size, format.n_actions)
        self.numbers = config.alpha, config.tau, config.clip
        self.mask_tm1 = backend.zeros(shape, "uint8")
        self.q, self.policy = backend.zeros(shape), backend.zeros(shape)
        self.reward = backend.zeros((size,))
