"""The ops of Munchausen-DQN: a soft policy, its reward, and targets that are means over it."""

from typing import Protocol

from agentd.engine.backend.array import Array, Shape, Step


class MunchausenOps(Protocol):
    """``engine.rules.munchausen`` says what each of these must equal.

    B rows, A actions over all N ``branches``, side by side; masks (B, A) uint8, 1 = legal, or None.
    """

    def munchausen(
        self,
        q: Array,
        mask_tm1: Array | None,
        action: Array,
        select: Array,
        mask: Array | None,
        branches: Shape,
        alpha: float,
        tau: float,
        lowest: float,
        reward: Array,
        discount: Array,
        policy: Array,
        augmented: Array,
    ) -> Step:
        """policy = softmax of legal select / (N tau), branch by branch;
        augmented = reward + alpha max(mean_n l[action_n], lowest) + discount mean_n h_n,
        l = N tau ln softmax of legal q / (N tau), h_n = -Σ_a policy_a N tau ln policy_a.

        q (B, A) at t-1, where ``action`` (B, N) int32 was taken; select, policy (B, A) at t;
        reward, discount, augmented (B,). An action outside its branch reads the nearest.
        """

    def expected_target(
        self,
        value: Array,
        policy: Array,
        branches: Shape,
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target = reward + discount Σ_a policy value / N. value, policy (B, A), the rest (B,)."""

    def expected_quantiles(
        self,
        value: Array,
        policy: Array,
        branches: Shape,
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target (B, N Z) = reward + discount Σ_a policy value, branch by branch.

        value (B, Z, A), policy (B, A), reward, discount (B,).
        """

    def expected_categorical(
        self,
        value: Array,
        policy: Array,
        branches: Shape,
        low: float,
        high: float,
        reward: Array,
        discount: Array,
        target: Array,
    ) -> Step:
        """target (B, Z) = the atoms reward + discount * atom with Σ_a policy softmax(value) / N.

        value (B, Z, A) are logits of Z atoms, evenly spaced in [low, high], to which the target is
        moved back as by ``categorical_projection``. policy (B, A), reward, discount (B,).
        """
