"""Whole training steps of small dense networks in one call, where a backend has them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from agentd.engine.backend.array import Activation, Array, Slot

AdamConstants: TypeAlias = tuple[float, float, float, float, float, float, bool]
"""The arguments of the step that ``OptimizerOps.adam`` binds."""


@dataclass(frozen=True, slots=True)
class DenseLayer:
    """y = act(x @ w + b): w (D, E) and b (E,) are slots of the parameters, b may be absent."""

    w: Slot
    b: Slot | None
    act: Activation


DenseStack: TypeAlias = tuple[DenseLayer, ...]
"""A network that is nothing but dense layers, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentArrays:
    """The arrays of a gradient step; ``gradient`` is scratch, clipped where ``clip_norm`` is set.

    params, gradient, m, v (P,); figures (2,): the loss and the gradient's norm before clipping.
    """

    params: Array
    gradient: Array
    m: Array
    v: Array
    figures: Array
    clip_norm: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QStep:
    """What a whole step of Q-learning reads and writes; see ``td_target`` and ``td_loss``.

    action         (B, N) int32 for the N ``branches``; reward, discount (B,)
    mask           (B, A) uint8 at t, 1 = legal
    weight         (B,) or None
    target_params  (P,), the target network's
    target         (B,), written; error (B, N), written: ``td``
    """

    action: Array
    reward: Array
    discount: Array
    mask: Array
    weight: Array | None
    target_params: Array
    target: Array
    error: Array
    branches: tuple[int, ...]
    double: bool
    huber: float | None
    mean_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FitStep:
    """What a whole supervised step reads and writes.

    label (B,) int32 or (B, K) numbers; weight (B,); y (B, K) written: the output;
    ``huber`` is the width of a regression's loss, None for half the squared error.
    """

    label: Array
    weight: Array
    y: Array
    is_class: bool
    huber: float | None


class WholeOps(Protocol):
    """Forward, loss, backward, clipping, Adam and target network, all in one.

    Both return None where the backend has no such step for this network: the caller then binds the
    ops one by one. A bound step leaves parameters, moments and target as they were when
    the loss or the norm is not finite.
    """

    def q_step(
        self, layers: DenseStack, on: DescentArrays, x: Array, q: QStep
    ) -> Callable[[bool, float, AdamConstants], object] | None:
        """Bind (masked, tau, constants): tau 1 copies into the target, 0 leaves it, else blends.

        x (2 B, D): the observations at t-1, then those at t. The loss is td_loss's, the mean over
        rows and branches.
        """

    def fit_step(
        self, layers: DenseStack, on: DescentArrays, x: Array, fit: FitStep
    ) -> Callable[[AdamConstants], object] | None:
        """Bind (constants). x (B, D); the loss is the sum over rows of their unweighted losses."""
