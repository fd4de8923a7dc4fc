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

from agentd.engine.backend import Array, Backend, Host, Shape, Step, TdStep
from agentd.engine.layers import Expectation, LayerSpec
from agentd.engine.rules.td import HUBER_WIDTH
from agentd.engine.strictyaml import Number, Positive, Record


class Head(Protocol):
    """What the outputs mean, and the ops that learn them."""

    @property
    def atoms(self) -> int:
        """Z, how many numbers the network gives for each action."""

    def target_shape(self, size: int, branches: Shape) -> Shape:
        """Return the shape of the targets of ``size`` rows."""

    def error_shape(self, size: int, branches: Shape) -> Shape:
        """Return the shape of what a step leaves in ``TdStep.error``."""

    def expectation(self) -> tuple[LayerSpec, ...]:
        """Return the layers that turn the outputs into values (B, A): the acting network's last."""

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


@dataclass(frozen=True, slots=True)
class ValueHead:
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
        return backend.td_step(step)

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        error: NDArray[np.floating[Any]] = np.abs(found).mean(axis=1)
        return error


class _DistributionHead(ABC):
    """What C51 and QR-DQN share: a loss over the distributions of the actions taken."""

    __slots__ = ()
    config: CategoricalConfig | QuantileConfig

    @property
    def atoms(self) -> int:
        return self.config.atoms

    def error_shape(self, size: int, branches: Shape) -> Shape:
        return (len(branches) * size,)

    def bind_step(self, backend: Backend, step: TdStep) -> Step:
        aim, descend = self._bind_target(backend, step), self.bind_loss(backend, step)

        def run() -> None:
            aim()
            descend()

        return run

    def bind_loss(self, backend: Backend, step: TdStep) -> Step:
        """Bind loss (1,), its gradient dy and each row's loss in ``error`` towards ``target``."""
        s, size, n = step, step.y.shape[0], len(step.branches)
        taken, slope = (backend.zeros((n * size, self.atoms)) for _ in range(2))
        steps = [backend.take_action(self._split(backend, s.y), s.action, s.branches, taken)]
        for i in range(n):
            part = [backend.rows(a, i * size, (i + 1) * size) for a in (taken, slope, s.error)]
            steps.append(self._row_loss(backend, part[0], s.target, s.weight, part[1], part[2]))
        steps.append(backend.put_action(slope, s.action, s.branches, self._split(backend, s.dy)))
        steps.append(backend.mean_loss(s.error, s.weight, s.loss))

        def run() -> None:
            for step in steps:
                step()

        return run

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        """Return each row's loss, which Rainbow takes as its priority (arXiv:1710.02298)."""
        error: NDArray[np.floating[Any]] = found.reshape(-1, len(target)).mean(axis=0)
        return error

    def _split(self, backend: Backend, y: Array) -> Array:
        """Return outputs (B, Z A) as (B, Z, A)."""
        return backend.reshape(y, (y.shape[0], self.atoms, y.shape[1] // self.atoms))

    @abstractmethod
    def _bind_target(self, backend: Backend, step: TdStep) -> Step:
        """Bind the step's target."""

    @abstractmethod
    def _row_loss(
        self, be: Backend, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        """Bind each row's loss (B,) and its gradient dy (B, Z), from the action's numbers y."""


@dataclass(frozen=True, slots=True)
class CategoricalHead(_DistributionHead):
    """C51: the logits of ``atoms`` returns, evenly spaced in [low, high] (arXiv:1707.06887)."""

    config: CategoricalConfig

    def target_shape(self, size: int, branches: Shape) -> Shape:
        return (size, self.atoms)

    def expectation(self) -> tuple[LayerSpec, ...]:
        return (Expectation(self.atoms, self.config.low, self.config.high),)

    def bind_values(self, backend: Backend, y: Array, q: Array) -> Step:
        return backend.categorical_values(
            self._split(backend, y), self.config.low, self.config.high, q
        )

    def bind_values_backward(
        self, backend: Backend, y: Array, q: Array, dq: Array, dy: Array
    ) -> Step:
        ends = self.config.low, self.config.high
        split, slope = self._split(backend, y), self._split(backend, dy)
        return backend.categorical_values_backward(split, *ends, q, dq, slope)

    def means(self, target: Host) -> NDArray[np.floating[Any]]:
        mean: NDArray[np.floating[Any]] = target @ np.linspace(
            self.config.low, self.config.high, self.atoms
        )
        return mean

    def _bind_target(self, backend: Backend, step: TdStep) -> Step:
        s, ends = step, (self.config.low, self.config.high)
        y = self._split(backend, s.value)
        given = (y, s.select, s.mask, s.branches, *ends, s.reward, s.discount, s.target)
        return backend.categorical_target(*given)

    def errors(self, found: Host, target: Host) -> NDArray[np.floating[Any]]:
        """Return the KL divergence: the cross-entropy less the target's entropy."""
        surprise = np.log(target, out=np.zeros_like(target), where=target > 0)
        loss = _DistributionHead.errors(self, found, target)
        error: NDArray[np.floating[Any]] = loss + np.einsum("bz,bz->b", target, surprise)
        error[error < 0] = 0
        return error

    def _row_loss(
        self, be: Backend, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        return be.soft_cross_entropy(y, target, weight, dy, loss)


@dataclass(frozen=True, slots=True)
class QuantileHead(_DistributionHead):
    """QR-DQN: ``atoms`` quantiles of the return (arXiv:1710.10044), Huber's width ``kappa``."""

    config: QuantileConfig

    def target_shape(self, size: int, branches: Shape) -> Shape:
        return (size, self.atoms * len(branches))

    def expectation(self) -> tuple[LayerSpec, ...]:
        return (Expectation(self.atoms),)

    def bind_values(self, backend: Backend, y: Array, q: Array) -> Step:
        return backend.quantile_values(self._split(backend, y), q)

    def bind_values_backward(
        self, backend: Backend, y: Array, q: Array, dq: Array, dy: Array
    ) -> Step:
        return backend.quantile_values_backward(dq, self._split(backend, dy))

    def means(self, target: Host) -> NDArray[np.floating[Any]]:
        mean: NDArray[np.floating[Any]] = target.mean(axis=1)
        return mean

    def _bind_target(self, backend: Backend, step: TdStep) -> Step:
        s, y = step, self._split(backend, step.value)
        given = (y, s.select, s.mask, s.branches, s.reward, s.discount, s.target)
        return backend.quantile_target(*given)

    def _row_loss(
        self, be: Backend, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        return be.quantile_huber(y, target, weight, self.config.kappa, dy, loss)
