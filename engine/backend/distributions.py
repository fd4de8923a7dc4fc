"""The ops of value distributions: what C51 and QR-DQN need beyond plain values."""

from typing import Protocol

from agentd.engine.backend.array import Array, Shape, Step


class DistributionOps(Protocol):
    """A distribution's Z numbers are spread over the middle: y (B, Z, A), z-th number of action a.

    These are logits of Z atoms, evenly spaced in [low, high], or the values of Z quantiles. With N
    branches the A actions lie side by side, ``branches`` of each.
    """

    def categorical_values(self, y: Array, low: float, high: float, q: Array) -> Step:
        """q[b, a] = Σ_z softmax(y[b, :, a])_z (low + z (high - low) / (Z - 1)). q (B, A)."""

    def quantile_values(self, y: Array, q: Array) -> Step:
        """q[b, a] = mean_z y[b, z, a]. q (B, A)."""

    def categorical_values_backward(
        self, y: Array, low: float, high: float, q: Array, dq: Array, dy: Array
    ) -> Step:
        """dy[b, z, a] += dq[b, a] softmax(y[b, :, a])_z (atom_z - q[b, a]), in place.

        ``q`` (B, A) is what categorical_values made of y; dq (B, A), dy (B, Z, A).
        """

    def quantile_values_backward(self, dq: Array, dy: Array) -> Step:
        """dy[b, z, a] += dq[b, a] / Z, in place. dq (B, A), dy (B, Z, A)."""

    def categorical_target(
        self,
        value: Array,
        select: Array,
        mask: Array | None,
        branches: Shape,
        low: float,
        high: float,
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target (B, Z) = the distribution of reward + discount * (an atom of value's best action).

        ``select`` (B, A) are the values whose legal maximum chooses, mask (B, A) uint8 with
        1 = legal; several branches' distributions are mixed evenly (see ``engine.rules.td``). Moved
        back to the grid as by ``categorical_projection``. reward, discount (B,).
        """

    def quantile_target(
        self,
        value: Array,
        select: Array,
        mask: Array | None,
        branches: Shape,
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target (B, N Z) = reward + discount * quantiles of each branch's best legal action."""

    def take_action(self, y: Array, action: Array, branches: Shape, out: Array) -> Step:
        """out (N B, Z): y at the actions taken, all rows of the first branch first.

        action (B, N) int32, numbered from 0 within its branch; one outside reads the nearest.
        """

    def put_action(self, d: Array, action: Array, branches: Shape, dy: Array) -> Step:
        """dy (B, Z, A) = d / N at the actions taken, 0 elsewhere: take_action's gradient of a mean
        over branches. d (N B, Z).
        """

    def mean_loss(self, loss: Array, weight: Array | None, out: Array) -> Step:
        """out[0] = mean of weight * loss. loss (N B,), weight (B,), out (1,)."""
