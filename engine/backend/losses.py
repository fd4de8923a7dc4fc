"""Losses: one number a row, fused with the gradient of their weighted mean."""

from dataclasses import dataclass
from typing import Protocol

from agentd.engine.backend.array import Array, Shape, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class TdStep:
    """What the target and the loss of Q-learning read and write: B rows, N branches, A actions.

    An action has Z numbers: its value (Z = 1, all that ``td_step`` takes) or a distribution.

    value     (B, Z A) outputs at t that value the best action, the target network's
    select    (B, A) values at t that select it; the same array as ``value`` for a plain maximum
    mask      (B, A) uint8 at t, 1 = legal, or None
    reward    (B,); discount (B,)
    y         (B, Z A) outputs at t-1
    action    (B, N) int32, taken at t-1
    weight    (B,) or None
    huber     the width of the loss of plain values, None for half the squared error
    policy    (B, A) how likely each action at t is, or None: then only the best one counts
    fractions (B, Z) of the quantiles y, or None: the middles of Z equal parts
    mean_error  whether the branches of plain values share one error, see ``td_loss``
    target    written: (B,) for plain values
    dy        (B, Z A), written: the gradient of the loss
    error     written: (B, N), ``td`` of ``td_loss`` for plain values
    loss      (1,), written
    """

    branches: Shape
    value: Array
    select: Array
    mask: Array | None
    reward: Array
    discount: Array
    y: Array
    action: Array
    weight: Array | None
    huber: float | None
    mean_error: bool = False
    policy: Array | None = None
    fractions: Array | None = None
    target: Array
    dy: Array
    error: Array
    loss: Array


class LossOps(Protocol):
    """``loss`` is per row and unweighted; ``dy`` is the gradient of mean(weight * loss)."""

    def squared_error(
        self, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        """loss[b] = ½ Σ (y - target)²; dy = weight[b] / B * (y - target).

        y, target, dy (B, E); weight, loss (B,).
        """

    def huber(
        self, y: Array, target: Array, weight: Array | None, delta: float, dy: Array, loss: Array
    ) -> Step:
        """loss[b] = Σ (½ d² where |d| <= delta, else delta (|d| - ½ delta)), d = y - target.

        Huber 1964; the gradient is weight[b] / B * clip(d, -delta, delta).
        """

    def softmax_cross_entropy(
        self,
        y: Array,
        label: Array,
        mask: Array | None,
        weight: Array | None,
        smoothing: float,
        dy: Array,
        loss: Array,
    ) -> Step:
        """loss[b] = -Σ_c t_c ln softmax(y)_c with t = smoothed one-hot of ``label``.

        y, dy (B, C); label (B,) int32; mask (B, C) uint8 with 1 = legal; weight, loss (B,).
        ``smoothing`` is shared out evenly over the legal classes, the label's included; an illegal
        class has probability and gradient 0.
        """

    def soft_cross_entropy(
        self, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        """loss[b] = -Σ_c target_c ln softmax(y)_c; dy = weight[b] / B * (softmax(y) - target).

        y, target, dy (B, C), each row of target a distribution; weight, loss (B,).
        """

    def binary_cross_entropy(
        self, y: Array, target: Array, weight: Array | None, dy: Array, loss: Array
    ) -> Step:
        """loss[b] = Σ ln(1 + e^y) - target y; dy = weight[b] / B * (sigmoid(y) - target).

        y (B, E) are logits; target (B, E) in [0, 1], dy (B, E); weight, loss (B,).
        """

    def quantile_huber(
        self,
        y: Array,
        target: Array,
        weight: Array | None,
        kappa: float,
        dy: Array,
        loss: Array,
        tau: Array | None = None,
    ) -> Step:
        """loss[b] = Σ_i mean_j |τ_i - [u < 0]| H(u) / kappa, u = target_j - y_i.

        H is Huber's loss of width kappa (Dabney et al. 2017, arXiv:1710.10044, equation 10).
        y, dy (B, N); target (B, M); weight, loss (B,). τ are a row's fractions tau (B, N), or
        without them τ_i = (i + ½) / N.
        """

    def categorical_projection(
        self, probability: Array, atoms: Array, low: float, high: float, out: Array
    ) -> Step:
        """out = the distribution moved from ``atoms`` to the even grid of Z points in [low, high].

        Each atom, clipped to [low, high], shares its probability between its two neighbours
        (Bellemare et al. 2017, arXiv:1707.06887, algorithm 1). All arrays (B, Z).
        """

    def pick(self, table: Array, label: Array, out: Array) -> Step:
        """out[b] = table[label[b]]. table (C,), label (B,) int32, out (B,)."""

    def td_target(
        self,
        value: Array,
        select: Array,
        mask: Array | None,
        branches: tuple[int, ...],
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target = reward + discount * mean over branches of value[argmax of legal select].

        value, select (B, A), the same array for a plain maximum; mask (B, A) uint8 with 1 = legal;
        ``branches`` are the actions of each branch, side by side; the rest (B,).
        """

    def td_loss(
        self,
        q: Array,
        action: Array,
        target: Array,
        weight: Array | None,
        branches: tuple[int, ...],
        huber: float | None,
        dq: Array,
        td: Array,
        loss: Array,
        mean_error: bool = False,
    ) -> Step:
        """td = target - q[action]; loss[0] = mean of weight * (½ td², or Huber's of that width).

        q, dq (B, A); action (B, N) int32 and td (B, N) for N branches; target, weight (B,); loss
        (1,). dq is the gradient of the loss, 0 at actions not taken. An infinite td makes the loss
        infinite or NaN even where its slope is bounded. With ``mean_error`` the branches' mean is
        the value, and td = target - mean over branches of q[action] for every branch (DecQN).
        """

    def td_step(self, step: TdStep) -> Step:
        """``td_target``, then ``td_loss`` towards it: one launch where the backend has one."""

    def margin_loss(
        self,
        q: Array,
        action: Array,
        mask: Array | None,
        weight: Array,
        branches: tuple[int, ...],
        margin: Array,
        dq: Array,
        loss: Array,
    ) -> Step:
        """loss[b] = mean over branches of max_a [q + margin (a != action)] - q[action].

        q, dq (B, A); action (B, N) int32 for N branches; mask (B, A) uint8, 1 = legal, beside the
        action itself; margin (1,); weight, loss (B,). dq is the gradient of mean(weight * loss).
        """
