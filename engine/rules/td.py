"""Q-learning rules as pure functions of arrays: what the backends' fused versions must equal.

Time is in the names: step t-1 is where the action was taken, step t is where it led to. Actions
are integers, numbered from 0 within their branch; a plain discrete agent has one branch.

Shapes: B rows, A actions over all branches, N branches. q (B, A) any float type; action (B, N)
integers; reward and discount (B,); mask (B, A) with 1 = legal, or None when everything is legal.
``discount_t`` is γ^n where the episode goes on and 0 where it terminated: there is no ``done``.
Distributions have Z atoms or quantiles for each action: y (B, Z, A), logits or values.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]

ILLEGAL = -1e30
"""Value of an illegal action: finite, so that sums and differences stay finite too."""

HUBER_WIDTH = 1.0
"""The error at which Huber's loss stops being quadratic: Mnih et al. 2015 clip it at 1."""


def mask_illegal(q: Floats, mask: Ints | None) -> Floats:
    """Return q with every illegal action's value replaced by ``ILLEGAL``, (B, A)."""
    return q if mask is None else np.where(mask, q, q.dtype.type(ILLEGAL))


def greedy_action(q: Floats, mask: Ints | None, branches: tuple[int, ...]) -> Ints:
    """Return each branch's best legal action, (B, N); the first one of equals."""
    legal = mask_illegal(q, mask)
    return np.stack([part.argmax(axis=1) for part in split_branches(legal, branches)], axis=1)


def action_value(q: Floats, action: Ints, branches: tuple[int, ...]) -> Floats:
    """Return the value of each branch's given action, (B, N)."""
    offset = np.cumsum((0, *branches[:-1]))
    return np.take_along_axis(q, action + offset, axis=1)


def q_target(
    r_t: Floats, discount_t: Floats, q_t: Floats, mask_t: Ints | None, branches: tuple[int, ...]
) -> Floats:
    """Return ``r_t + discount_t * max_a q_t``, (B,): Watkins & Dayan 1992, with legal masks.

    With several branches the branches' maxima are averaged (Tavakoli, Pardo & Kormushev 2018,
    arXiv:1711.08946, equation 6).
    """
    return double_q_target(r_t, discount_t, q_t, q_t, mask_t, branches)


def double_q_target(
    r_t: Floats,
    discount_t: Floats,
    q_t_value: Floats,
    q_t_selector: Floats,
    mask_t: Ints | None,
    branches: tuple[int, ...],
) -> Floats:
    """Return ``r_t + discount_t * q_t_value[argmax_a q_t_selector]``, (B,).

    van Hasselt, Guez & Silver 2015 (arXiv:1509.06461), equation 4: the online network selects, the
    target network values. Illegal actions are never selected.
    """
    best = greedy_action(q_t_selector, mask_t, branches)
    target: Floats = r_t + discount_t * action_value(q_t_value, best, branches).mean(axis=1)
    return target


def td_error(
    q_tm1: Floats,
    a_tm1: Ints,
    target_t: Floats,
    branches: tuple[int, ...],
    *,
    mean_error: bool = False,
) -> Floats:
    """Return ``target_t - q_tm1[a_tm1]`` of every branch, (B, N); the target is a constant.

    With ``mean_error`` the value is the mean over branches, and all have its error: DecQN, Seyde et
    al. 2023 (arXiv:2210.12566), equation 3.
    """
    value = action_value(q_tm1, a_tm1, branches)
    if mean_error:
        value = np.broadcast_to(value.mean(axis=1, keepdims=True), value.shape)
    return target_t[:, None] - value


def td_loss(td: Floats, weight: Floats | None, huber: float | None) -> tuple[float, Floats]:
    """Return the mean loss over rows and branches, and its slope with respect to ``td``, (B, N).

    huber   the width in which the loss is ``td²/2``; beyond it grows by ``huber`` a unit (Huber
            1964; Mnih et al. 2015 clip the error at 1). None: ``td²/2`` everywhere.
    weight  (B,) importance of each row, or None for 1; it scales loss and slope alike.
    """
    slope: Floats = td if huber is None else np.clip(td, -huber, huber)
    loss = slope * (td - 0.5 * slope)
    if weight is not None:
        loss, slope = loss * weight[:, None], slope * weight[:, None]
    return float(loss.mean()), slope / td.size


def categorical_value(y: Floats, low: float, high: float) -> Floats:
    """Return the mean of each action's distribution over Z atoms, (B, A); y are its logits.

    Bellemare, Dabney & Munos 2017 (arXiv:1707.06887, algorithm 1): the atoms are evenly spaced in
    [low, high].
    """
    value: Floats = np.einsum("bza,z->ba", softmax(y, axis=1), np.linspace(low, high, y.shape[1]))
    return value


def categorical_target(
    r_t: Floats,
    discount_t: Floats,
    y_t: Floats,
    q_t_selector: Floats,
    mask_t: Ints | None,
    branches: tuple[int, ...],
    low: float,
    high: float,
) -> Floats:
    """Return the target's probabilities on the atoms, (B, Z): algorithm 1 of arXiv:1707.06887.

    The best action's atoms become ``r_t + discount_t * atom``, clipped to [low, high], and share
    their probability between the two atoms around them. Branches' distributions are mixed evenly,
    so that the mean is that of ``double_q_target``.
    """
    z = y_t.shape[1]
    grid = np.linspace(low, high, z)
    best = _best(y_t, q_t_selector, mask_t, branches)
    p = np.mean([softmax(part, axis=1) for part in best], axis=0)
    atoms = np.clip(r_t[:, None] + discount_t[:, None] * grid, low, high)
    near = 1 - np.abs(atoms[:, :, None] - grid) / (grid[1] - grid[0])
    target: Floats = np.einsum("bz,bzk->bk", p, np.clip(near, 0, 1))
    return target


def categorical_loss(
    y_tm1: Floats, a_tm1: Ints, target_t: Floats, weight: Floats | None, branches: tuple[int, ...]
) -> tuple[float, Floats]:
    """Return the mean over rows and branches of the cross-entropy, and each one's, (B, N).

    ``-Σ_z target_z ln softmax(y_tm1[:, a_tm1])_z``: what arXiv:1707.06887 minimises, its KL
    divergence less the target's entropy.
    """
    taken = _taken(y_tm1, a_tm1, branches)
    loss = np.stack([-(target_t * np.log(softmax(y, axis=1))).sum(axis=1) for y in taken], axis=1)
    return _weighted_mean(loss, weight), loss


def quantile_target(
    r_t: Floats,
    discount_t: Floats,
    y_t: Floats,
    q_t_selector: Floats,
    mask_t: Ints | None,
    branches: tuple[int, ...],
) -> Floats:
    """Return ``r_t + discount_t * quantiles of the best action``, (B, N Z).

    Dabney et al. 2017 (arXiv:1710.10044, algorithm 1); branches' quantiles stand side by side,
    which mixes their distributions evenly.
    """
    best = np.concatenate(_best(y_t, q_t_selector, mask_t, branches), axis=1)
    target: Floats = r_t[:, None] + discount_t[:, None] * best
    return target


def quantile_loss(
    y_tm1: Floats,
    a_tm1: Ints,
    target_t: Floats,
    weight: Floats | None,
    branches: tuple[int, ...],
    kappa: float,
) -> tuple[float, Floats]:
    """Return the mean over rows and branches of the quantile Huber loss, and each one's, (B, N).

    arXiv:1710.10044, equation 10: ``Σ_i mean_j |τ_i - [u < 0]| H(u) / kappa`` with
    ``u = target_j - y_i`` and ``τ_i = (i + ½) / Z``; H is Huber's loss of width kappa.
    """
    tau = (np.arange(y_tm1.shape[1]) + 0.5) / y_tm1.shape[1]
    losses = []
    for y in _taken(y_tm1, a_tm1, branches):
        u = target_t[:, None, :] - y[:, :, None]
        bent = np.clip(u, -kappa, kappa)
        huber = bent * (u - 0.5 * bent) / kappa
        losses.append((np.abs(tau[:, None] - (u < 0)) * huber).mean(axis=2).sum(axis=1))
    loss = np.stack(losses, axis=1)
    return _weighted_mean(loss, weight), loss


def margin_loss(
    q: Floats, action: Ints, mask: Ints | None, branches: tuple[int, ...], margin: float
) -> Floats:
    """Return how far each row's demonstrated action is from being the best by ``margin``, (B,).

    ``max_a [q_a + margin (a != action)] - q_action`` over legal actions, the mean over branches:
    Hester et al. 2018 (arXiv:1704.03732), J_E. It is 0 where the action is the best by ``margin``.
    """
    losses = []
    legal = split_branches(mask_illegal(q, mask), branches)
    for values, part, a in zip(split_branches(q, branches), legal, action.T, strict=True):
        row = np.arange(len(q))
        lifted = part + margin
        lifted[row, a] = values[row, a]
        losses.append(lifted.max(axis=1) - values[row, a])
    loss: Floats = np.mean(losses, axis=0)
    return loss


def softmax(y: Floats, axis: int) -> Floats:
    """Return ``exp(y) / Σ exp(y)`` along an axis."""
    e = np.exp(y - y.max(axis=axis, keepdims=True))
    p: Floats = e / e.sum(axis=axis, keepdims=True)
    return p


def n_step(reward: Floats, discount: Floats) -> tuple[Floats, Floats]:
    """Return the n-step return and the discount of the value after it, (B,) each.

    Sutton & Barto 2018, equation 7.1: reward (n, B) of the steps in order; discount (n, B) after
    each of them, γ, or 0 where the episode terminated, so that nothing later counts.
    """
    total = np.zeros_like(reward[0])
    ahead = np.ones_like(discount[0])
    for r, d in zip(reward, discount, strict=True):
        total += ahead * r
        ahead *= d
    return total, ahead


def split_branches(q: Floats, branches: tuple[int, ...]) -> list[Floats]:
    """Return each branch's columns of q as views, (B, n) each."""
    return np.split(q, np.cumsum(branches[:-1]), axis=1)


def _best(
    y: Floats, q_selector: Floats, mask: Ints | None, branches: tuple[int, ...]
) -> list[Floats]:
    """Return each branch's distribution of its best legal action, (B, Z) each."""
    return _taken(y, greedy_action(q_selector, mask, branches), branches)


def _taken(y: Floats, action: Ints, branches: tuple[int, ...]) -> list[Floats]:
    """Return each branch's distribution of the given action, (B, Z) each."""
    column = action + np.cumsum((0, *branches[:-1]))
    return [y[np.arange(len(y)), :, column[:, i]] for i in range(len(branches))]


def _weighted_mean(loss: Floats, weight: Floats | None) -> float:
    return float((loss if weight is None else loss * weight[:, None]).mean())
