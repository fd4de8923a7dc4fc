"""Rules of the streaming learners as pure functions: λ-returns, eligibility traces, ObGD.

Time is in the names as in `engine.rules.td`: at step t-1 the action was taken, step t is where it
led to. ``discount_t`` is γ where the episode goes on and 0 where it terminated; a truncated
episode goes on as far as values are concerned.

Shapes: M transitions, P parameters.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.rules.td import Floats, Ints


def lambda_return(
    r_t: Floats, discount_t: Floats, v_t: Floats, after: Ints, lambda_: float
) -> NDArray[np.float64]:
    """Return each transition's λ-return, (M,) float64.

    ``G = r_t + discount_t * ((1 - λ) * v_t + λ * G_after)``, and ``r_t + discount_t * v_t`` at the
    end of a fragment: Gallici et al. 2024 (arXiv:2407.04811), the λ-return of PQN, which is Peng's
    Q(λ) (Peng & Williams 1996): exploratory actions do not cut it.

    v_t    (M,) the greatest legal value where the transition leads
    after  (M,) which transition goes on from there, always a later one, or -1 for none
    """
    returns = [0.0] * len(r_t)
    steps = zip(r_t.tolist(), discount_t.tolist(), v_t.tolist(), after.tolist(), strict=True)
    for i, (r, discount, v, k) in reversed(list(enumerate(steps))):
        ahead = v if k < 0 else v + lambda_ * (returns[k] - v)
        returns[i] = r + discount * ahead
    return np.array(returns)


def eligibility(z: Floats, gradient: Floats, decay: float) -> Floats:
    """Return the trace ``decay * z + gradient``, (P,): accumulating, with decay γλ.

    Sutton & Barto 2018, equation 12.5; Elsayed et al. 2024 (arXiv:2410.14606).
    """
    trace: Floats = decay * z + gradient
    return trace


def obgd_rate(td: float, trace_sum: float, lr: float, kappa: float) -> float:
    """Return the step size that cannot overshoot: ``lr / max(1, lr κ max(|td|, 1) ‖z‖₁)``.

    Overshooting-bounded gradient descent, Elsayed et al. 2024 (arXiv:2410.14606): ObGD.
    ``trace_sum`` is ‖z‖₁. The parameters then move by ``rate * td * z``.
    """
    return lr / max(1.0, lr * kappa * max(abs(td), 1.0) * trace_sum)


def obgd(p: Floats, z: Floats, td: float, lr: float, kappa: float) -> Floats:
    """Return the parameters after one step along the trace z, (P,); see `obgd_rate`."""
    moved: Floats = p + obgd_rate(td, float(np.abs(z).sum()), lr, kappa) * td * z
    return moved


def trace_goes_on(ended_t: bool, explored_tm1: bool, greedy_tm1: bool) -> bool:
    """Return whether the trace is kept: the episode did not end, the action was a greedy one.

    Watkins 1989's cut as Elsayed et al. 2024 (arXiv:2410.14606) do it in stream Q(λ): after the
    update of the exploratory step. A random action that is the greedy one cuts nothing.
    """
    return not ended_t and (greedy_tm1 or not explored_tm1)


def policy_lag(updates: int, version: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many updates old the weights of each row's action are, (M,), never below 0.

    Weights newer than the learner's, which went back to a checkpoint, count as fresh.
    """
    lag: NDArray[np.int64] = np.maximum(updates - version.astype(np.int64), 0)
    return lag
