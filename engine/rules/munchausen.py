"""Munchausen-DQN's targets as pure functions of arrays: what the backends' ops must equal.

Vieillard, Pietquin & Geist 2020 (arXiv:2007.14430, equation 1). With the soft policy
π = softmax(q / τ) of the target network, the target is

    r + α [τ ln π(a_{t-1} | s_{t-1})]_lowest^0 + discount Σ_a π(a | s_t) (q_t(a) - τ ln π(a | s_t)).

With N branches a joint action is worth the mean of its branches' values (see ``double_q_target``).
The softmax of that mean is then the product of a softmax for each branch at the temperature N τ:
so all sums below go over branches, and none over joint actions.

Shapes: B rows, A actions over all branches, N branches, Z numbers an action; see `engine.rules.td`.
"""

import numpy as np

from agentd.engine.rules.td import Floats, Ints, action_value, mask_illegal, softmax, split_branches


def soft_policy(
    q: Floats, mask: Ints | None, branches: tuple[int, ...], tau: float
) -> tuple[Floats, Floats]:
    """Return each branch's softmax(q / (N τ)) over legal actions, and N τ times its logarithm.

    Both are (B, A). An illegal action has probability 0.
    """
    width, policies, logs = len(branches) * tau, [], []
    for part in split_branches(mask_illegal(q, mask), branches):
        shifted = part - part.max(axis=1, keepdims=True)
        total = np.exp(shifted / width).sum(axis=1, keepdims=True)
        policies.append(np.exp(shifted / width) / total)
        logs.append(shifted - width * np.log(total))
    return np.concatenate(policies, axis=1), np.concatenate(logs, axis=1)


def munchausen_reward(
    r_t: Floats,
    discount_t: Floats,
    q_tm1: Floats,
    mask_tm1: Ints | None,
    a_tm1: Ints,
    q_t_selector: Floats,
    mask_t: Ints | None,
    branches: tuple[int, ...],
    alpha: float,
    tau: float,
    lowest: float,
) -> tuple[Floats, Floats]:
    """Return the reward with both terms of ln π, (B,), and the soft policy at t, (B, A).

    ``q_tm1`` are the target network's values at t-1, ``q_t_selector`` the values at t that the
    policy is made of: the target network's, or with double Q-learning the online network's.
    """
    log_tm1 = soft_policy(q_tm1, mask_tm1, branches, tau)[1]
    own = action_value(log_tm1, a_tm1, branches).mean(axis=1)
    policy, log = soft_policy(q_t_selector, mask_t, branches, tau)
    entropy = -(policy * log).sum(axis=1) / len(branches)
    reward: Floats = r_t + alpha * np.clip(own, lowest, 0) + discount_t * entropy
    return reward, policy


def expected_target(
    r_t: Floats, discount_t: Floats, q_t: Floats, policy_t: Floats, branches: tuple[int, ...]
) -> Floats:
    """Return ``r_t + discount_t * mean over branches of Σ_a policy_t q_t``, (B,)."""
    target: Floats = r_t + discount_t * (policy_t * q_t).sum(axis=1) / len(branches)
    return target


def expected_quantiles(
    r_t: Floats, discount_t: Floats, y_t: Floats, policy_t: Floats, branches: tuple[int, ...]
) -> Floats:
    """Return ``r_t + discount_t * Σ_a policy_t y_t``, branch by branch, quantile by quantile.

    M-IQN's target (arXiv:2007.14430, section 3.3), (B, N Z). y_t (B, Z, A).
    """
    parts = np.split(y_t * policy_t[:, None, :], np.cumsum(branches[:-1]), axis=2)
    mean = np.concatenate([part.sum(axis=2) for part in parts], axis=1)
    target: Floats = r_t[:, None] + discount_t[:, None] * mean
    return target


def expected_categorical(
    r_t: Floats,
    discount_t: Floats,
    y_t: Floats,
    policy_t: Floats,
    branches: tuple[int, ...],
    low: float,
    high: float,
) -> Floats:
    """Return the target's probabilities on the atoms, (B, Z); y_t (B, Z, A) are logits.

    The actions' distributions are mixed by the policy, those of branches evenly, and moved as by
    ``categorical_target``: where nothing is clipped, the mean is that of ``expected_target``.
    """
    grid = np.linspace(low, high, y_t.shape[1])
    p = (softmax(y_t, axis=1) * policy_t[:, None, :]).sum(axis=2) / len(branches)
    atoms = np.clip(r_t[:, None] + discount_t[:, None] * grid, low, high)
    near = 1 - np.abs(atoms[:, :, None] - grid) / (grid[1] - grid[0])
    target: Floats = np.einsum("bz,bzk->bk", p, np.clip(near, 0, 1))
    return target
