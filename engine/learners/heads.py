"""What a Q-network's outputs mean: a value for each action, or a distribution of returns.

A head binds the ops of its algorithm, the target and the loss with its gradient, to fixed arrays;
each must equal its rule in `engine.rules.td`.

Shapes: B rows, A actions over all branches, N branches, Z numbers an action. Outputs (B, Z A) hold
the z-th number of all actions side by side.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, Host, Shape, Step, TdStep, in_order
from agentd.engine.layers import Expectation, LayerSpec
from agentd.engine.layers.implicit import ImplicitQuantiles
from agentd.engine.network import Network
from agentd.engine.rules.td import HUBER_WIDTH
from agentd.engine.strictyaml import Number, Positive, Record


class Head(Protocol):
    """What the outputs mean, and the ops that learn them."""

    @property
    def atoms(self) -> int:
        """Z, how many numbers the network gives for each action."""

    @property
    def columns(self) -> int:
        """How many numbers for each action the last layer has weights for."""

    def wrapped(self, acting: bool) -> ImplicitQuantiles | None:
        """Return the layer that the last layers lie in, itself without any; None where they do not.

        ``acting``: in a network that acts.
        """

    def valuing(self, network: Network) -> Network:
        """Return the form of the learning ``network`` in which the target network values."""

    def choosing(self, network: Network) -> Network:
        """Return the form of the learning ``network`` whose expectation chooses actions."""

    def target_shape(self, size: int, branches: Shape) -> Shape:
        """Return the shape of the targets of ``size`` rows."""

    def error_shape(self, size: int, branches: Shape) -> Shape:
        """Return the shape of what a step leaves in ``TdStep.error``."""

    def expectation(self) -> tuple[LayerSpec, ...]:
        """Return the layers that turn outputs into values (B, A): the acting network's last.

        The outputs are those of the ``choosing`` form.
        """

    def bind_values(self, backend: Backend, y: Array, q: Array) -> Step:
        """Bind q (B, A) = the value of each action."""

    def bind_values_backward(
        self, backend: Backend, y: Array, q: Array, dq: Array, dy: Array
    ) -> Step:
        """Bind dy += the gradient of values q (B, A) that ``bind_values`` made of ``y``."""

    def bind_step(self, backend: Backend, step: TdStep) -> Step:
        """Bind target, loss and gradient."""

    def means(self, target: Host) -> NDArray[np.floating[Any]]:
        """Return the value of each row's target, (B,), from what a step wrote to ``target``."""

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        """Return each row's error, not negative, the mean over its branches, (B,).

        ``found`` and ``target`` are what a step wrote to ``TdStep.error`` and ``TdStep.target``.
        """


class CategoricalConfig(Record, frozen=True, kw_only=True):
    """The returns that a categorical distribution is over (C51, arXiv:1707.06887)."""

    atoms: Annotated[int, Meta(ge=2, le=4096)] = 51
    low: Number = -10.0  # the first atom; what is below counts as it
    high: Number = 10.0  # the last one

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) is not below high ({self.high})")


class QuantileConfig(Record, frozen=True, kw_only=True):
    """The quantiles of the return (QR-DQN, arXiv:1710.10044)."""

    atoms: Annotated[int, Meta(ge=1, le=4096)] = 51  # how many quantiles
    kappa: Positive = HUBER_WIDTH  # the width of their Huber loss


class _PlainHead(ABC):
    """A head whose network has one form, the same for learning, choosing and acting."""

    __slots__ = ()

    @property
    @abstractmethod
    def atoms(self) -> int:
        """Z, how many numbers an action has."""

    @property
    def columns(self) -> int:
        return self.atoms

    def wrapped(self, acting: bool) -> ImplicitQuantiles | None:
        return None

    def valuing(self, network: Network) -> Network:
        return network

    def choosing(self, network: Network) -> Network:
        return network


@dataclass(frozen=True, slots=True)
class ValueHead(_PlainHead):
    """One number an action: deep Q-learning."""

    @property
    def atoms(self) -> int:
        return 1

    def target_shape(self, size: int, branches: Shape) -> Shape:
        return (size,)

    def error_shape(self, size: int, branches: Shape) -> Shape:
        return (size, len(branches))

    def expectation(self) -> tuple[LayerSpec, ...]:
        return ()

    def bind_values(self, backend: Backend, y: Array, q: Array) -> Step:
        return backend.copy(y, q)

    def bind_values_backward(
        self, backend: Backend, y: Array, q: Array, dq: Array, dy: Array
    ) -> Step:
        return backend.add(dq, dy)

    def means(self, target: Host) -> NDArray[np.floating[Any]]:
        return target

    def bind_step(self, backend: Backend, step: TdStep) -> Step:
        s, policy = step, step.policy
        if policy is None:
            return backend.td_step(s)
        ahead = (s.value, policy, s.branches, s.reward, s.discount, s.target)
        taken = (s.y, s.action, s.target, s.weight, s.branches, s.huber)
        descend = backend.td_loss(*taken, s.dy, s.error, s.loss, s.mean_error)
        return in_order(backend.expected_target(*ahead), descend)

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        error: NDArray[np.floating[Any]] = np.abs(found).mean(axis=1)
        return error


class DistributionHead(_PlainHead):
    """What C51, QR-DQN and IQN share: a loss over the distributions of the actions taken."""

    __slots__ = ()

    def error_shape(self, size: int, branches: Shape) -> Shape:
        return (len(branches) * size,)

    def bind_step(self, backend: Backend, step: TdStep) -> Step:
        return in_order(self._bind_target(backend, step), self.bind_loss(backend, step))

    def bind_loss(self, backend: Backend, step: TdStep) -> Step:
        """Bind loss (1,), its gradient dy and each row's loss in ``error`` towards ``target``."""
        s, size, n = step, step.y.shape[0], len(step.branches)
        actions = sum(s.branches)
        taken, slope = (backend.zeros((n * size, s.y.shape[1] // actions)) for _ in range(2))
        y, dy = (by_action(backend, a, actions) for a in (s.y, s.dy))
        steps = [backend.take_action(y, s.action, s.branches, taken)]
        for i in range(n):
            part = [backend.rows(a, i * size, (i + 1) * size) for a in (taken, slope, s.error)]
            steps.append(self._row_loss(backend, s, part[0], part[1], part[2]))
        steps.append(backend.put_action(slope, s.action, s.branches, dy))
        steps.append(backend.mean_loss(s.error, s.weight, s.loss))

        def run() -> None:
            for step in steps:
                step()

        return run

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        """Return each row's loss, which Rainbow takes as its priority (arXiv:1710.02298)."""
        error: NDArray[np.floating[Any]] = found.reshape(-1, len(target)).mean(axis=0)
        return error

    @abstractmethod
    def _bind_target(self, backend: Backend, step: TdStep) -> Step:
        """Bind the step's target."""

    @abstractmethod
    def _row_loss(self, be: Backend, step: TdStep, y: Array, dy: Array, loss: Array) -> Step:
        """Bind each row's loss (B,) and its gradient dy (B, Z), from the action's numbers y."""


def by_action(backend: Backend, y: Array, actions: int) -> Array:
    """Return outputs (B, Z A) as (B, Z, A)."""
    return backend.reshape(y, (y.shape[0], y.shape[1] // actions, actions))


@dataclass(frozen=True, slots=True)
class CategoricalHead(DistributionHead):
    """C51: the logits of ``atoms`` returns, evenly spaced in [low, high] (arXiv:1707.06887)."""

    config: CategoricalConfig

    @property
    def atoms(self) -> int:
        return self.config.atoms

    def target_shape(self, size: int, branches: Shape) -> Shape:
        return (size, self.atoms)

    def expectation(self) -> tuple[LayerSpec, ...]:
        return (Expectation(self.atoms, self.config.low, self.config.high),)

    def bind_values(self, backend: Backend, y: Array, q: Array) -> Step:
        each = by_action(backend, y, q.shape[1])
        return backend.categorical_values(each, self.config.low, self.config.high, q)

    def bind_values_backward(
        self, backend: Backend, y: Array, q: Array, dq: Array, dy: Array
    ) -> Step:
        ends = self.config.low, self.config.high
        split, slope = (by_action(backend, a, q.shape[1]) for a in (y, dy))
        return backend.categorical_values_backward(split, *ends, q, dq, slope)

    def means(self, target: Host) -> NDArray[np.floating[Any]]:
        mean: NDArray[np.floating[Any]] = target @ np.linspace(
            self.config.low, self.config.high, self.atoms
        )
        return mean

    def _bind_target(self, backend: Backend, step: TdStep) -> Step:
        s, ends = step, (self.config.low, self.config.high)
        y = by_action(backend, s.value, sum(s.branches))
        if s.policy is not None:
            soft = (y, s.policy, s.branches, *ends, s.reward, s.discount, s.target)
            return backend.expected_categorical(*soft)
        given = (y, s.select, s.mask, s.branches, *ends, s.reward, s.discount, s.target)
        return backend.categorical_target(*given)

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        """Return the KL divergence: the cross-entropy less the target's entropy."""
        surprise = np.log(target, out=np.zeros_like(target), where=target > 0)
        loss = DistributionHead.errors(self, found, target)
        error: NDArray[np.floating[Any]] = loss + np.einsum("bz,bz->b", target, surprise)
        error[error < 0] = 0
        return error

    def _row_loss(self, be: Backend, step: TdStep, y: Array, dy: Array, loss: Array) -> Step:
        return be.soft_cross_entropy(y, step.target, step.weight, dy, loss)


class BaseQuantileHead(DistributionHead):
    """What QR-DQN and IQN share: quantiles of the return, and their Huber loss."""

    __slots__ = ()

    @property
    @abstractmethod
    def kappa(self) -> float:
        """The width of the Huber loss."""

    def bind_values(self, backend: Backend, y: Array, q: Array) -> Step:
        return backend.quantile_values(by_action(backend, y, q.shape[1]), q)

    def bind_values_backward(
        self, backend: Backend, y: Array, q: Array, dq: Array, dy: Array
    ) -> Step:
        return backend.quantile_values_backward(dq, by_action(backend, dy, q.shape[1]))

    def means(self, target: Host) -> NDArray[np.floating[Any]]:
        mean: NDArray[np.floating[Any]] = target.mean(axis=1)
        return mean

    def _bind_target(self, backend: Backend, step: TdStep) -> Step:
        s, y = step, by_action(backend, step.value, sum(step.branches))
        if s.policy is not None:
            soft = (y, s.policy, s.branches, s.reward, s.discount, s.target)
            return backend.expected_quantiles(*soft)
        given = (y, s.select, s.mask, s.branches, s.reward, s.discount, s.target)
        return backend.quantile_target(*given)

    def _row_loss(self, be: Backend, step: TdStep, y: Array, dy: Array, loss: Array) -> Step:
        given = y, step.target, step.weight, self.kappa, dy, loss
        return be.quantile_huber(*given, tau=step.fractions)


@dataclass(frozen=True, slots=True)
class QuantileHead(BaseQuantileHead):
    """QR-DQN: ``atoms`` quantiles of the return (arXiv:1710.10044), Huber's width ``kappa``."""

    config: QuantileConfig

    @property
    def atoms(self) -> int:
        return self.config.atoms

    @property
    def kappa(self) -> float:
        return self.config.kappa

    def target_shape(self, size: int, branches: Shape) -> Shape:
        return (size, self.atoms * len(branches))

    def expectation(self) -> tuple[LayerSpec, ...]:
        return (Expectation(self.atoms),)
