"""A dial of strength: from the level that is asked for to the action that is played.

An action is drawn from softmax(values / temperature) over those that are near the best. Both the
temperature and what counts as near fall with the level, so that level 100 is greedy. Both are told
in a unit of the player's own, its usual `spread`: how far the best action stands above the mean
one. So a mistake is likely where little depends on it, and an action far below the best is taken
at no level.

Shapes: B rows, A actions of all branches, N branches.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.rules.exploration import greedy, uniforms
from agentd.engine.rules.td import mask_illegal

BEST = 100.0
"""The level that is greedy; 0 is the weakest."""
NEAR = 4.0
"""An action is near the best by at most so many temperatures, and at most so many units."""


def check_level(level: float) -> None:
    """Raise ValueError unless ``level`` is in [0, 100]."""
    if not 0.0 <= level <= BEST:
        raise ValueError(f"want a level in 0..{BEST:g}, got {level:g}")


class Dial:
    """The level at which one player plays, and what is usual at each of its streams.

    What is played at a moment of a stream follows from the seed, the values, and what the stream
    has seen before, never from the other rows.
    """

    def __init__(self, level: float, seed: int) -> None:
        """Play at ``level``, drawing by ``seed``, any integer. Raises ValueError."""
        check_level(level)
        self.level, self._seed = level, seed
        self._seen: dict[int, NDArray[np.float64]] = {}  # stream -> (2, N) sums: spreads, rows

    def choose(
        self,
        q: NDArray[np.floating[Any]],
        mask: NDArray[np.uint8] | None,
        branches: tuple[int, ...],
        stream: NDArray[np.integer[Any]],
        moment: int,
    ) -> NDArray[np.int32]:
        """Return an action of each branch, (B, N), numbered from 0 within it.

        q       (B, A) values, the branches side by side
        mask    (B, A) 1 = legal, at least one per branch and row; None = all legal
        stream  (B,) below 2^32, each at most once
        moment  a number that no earlier row of these streams had; its low 32 bits count
        """
        row = np.uint64((moment & 0xFFFFFFFF) << 32) | stream.astype(np.uint64)
        u = uniforms(self._seed, row, len(branches))
        action, at = np.empty((len(q), len(branches)), np.int32), 0
        for b, n in enumerate(branches):
            values, legal = q[:, at : at + n], None if mask is None else mask[:, at : at + n]
            unit = self._usual(spread(values, legal), stream, b, len(branches))
            action[:, b] = pick_near_best(values, legal, self.level, unit, u[:, b])
            at += n
        return action

    def _usual(
        self, now: NDArray[np.float64], stream: NDArray[np.integer[Any]], b: int, branches: int
    ) -> NDArray[np.float64]:
        """The mean spread of branch ``b`` at each stream, these rows counted, (B,).

        A row in which nothing is to be chosen has none.
        """
        unit = np.zeros(len(now))
        for i, (key, value) in enumerate(zip(stream.tolist(), now.tolist(), strict=True)):
            seen = self._seen.setdefault(key, np.zeros((2, branches)))
            if value > 0:
                seen[:, b] += value, 1
            unit[i] = seen[0, b] / max(seen[1, b], 1)
        return unit


def spread(q: NDArray[np.floating[Any]], mask: NDArray[np.uint8] | None) -> NDArray[np.float64]:
    """Return how far the best legal action of one branch stands above the mean one, (B,).

    q (B, A); mask (B, A), at least one 1 a row, None: all are legal.
    """
    legal = np.ones(q.shape, np.bool_) if mask is None else mask > 0
    values = np.where(legal, q, 0).astype(np.float64)
    best = values.max(axis=1, where=legal, initial=-np.inf)
    above: NDArray[np.float64] = best - values.sum(axis=1) / legal.sum(axis=1)
    return np.maximum(above, 0)


def pick_near_best(
    q: NDArray[np.floating[Any]],
    mask: NDArray[np.uint8] | None,
    level: float,
    unit: NDArray[np.float64],
    u: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Return an action of one branch at ``level``, in [0, 100], (B,).

    q (B, A) values; mask (B, A), at least one 1 a row, None: all are legal; unit (B,) the usual
    `spread`, at least 0; u (B,) in [0, 1). The temperature is unit (100 - level) / level, infinite
    at level 0. At level 100 this is `greedy`; where the unit is 0 one of the best is drawn.

    Softmax: Sutton & Barto 2018, equation 13.2, with values as preferences.
    """
    if level >= BEST:
        return greedy(q, mask)
    values = mask_illegal(q, mask).astype(np.float64)
    legal = np.ones(q.shape, np.bool_) if mask is None else mask > 0
    below = values.max(axis=1, keepdims=True) - values
    heat = (BEST - level) / level if level > 0 else np.inf
    near = legal & (below <= (NEAR * min(heat, 1.0) * unit)[:, None])
    share = near.astype(np.float64)
    if level > 0:
        softness = np.maximum(heat * unit, np.finfo(np.float64).tiny)[:, None]
        share *= np.exp(-np.where(near, below, 0) / softness)
    mass = np.cumsum(share, axis=1)
    wanted = np.minimum(u * mass[:, -1], np.nextafter(mass[:, -1], 0))
    choice: NDArray[np.intp] = np.count_nonzero(mass <= wanted[:, None], axis=1)
    return choice
