"""Exploration: how large ε is, which rows explore, and what they do instead.

Everything here is a pure function of arrays. The random numbers are counter-based: the draw of a
row depends only on the seed and the row's absolute index. So a row's answer does not depend on the
other rows of its batch, and a replayed row draws the same numbers again.

Shapes: B rows, A actions over all branches (the mask's width), K draws per row.
"""

from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.rules.td import mask_illegal
from agentd.engine.strictyaml import Count, Record

_WORD = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_TO_UNIT = 2.0**-53

_Chance = TypeVar("_Chance", float, NDArray[np.float64])


class ExplorationConfig(Record, frozen=True, kw_only=True):
    """What acts beside the greedy policy, row by row; linear from ``start`` to ``end``.

    ``epsilon``: a random legal action with that chance. ``boltzmann``: actions drawn from
    softmax(values / temperature), ``start`` and ``end`` the temperatures. ``noisy``: greedy for
    weights drawn anew every few rows by the model's noisy layers.
    """

    kind: Literal["epsilon", "boltzmann", "noisy"] = "epsilon"
    start: Annotated[float, Meta(ge=0.0, le=1e9)] = 1.0
    end: Annotated[float, Meta(ge=0.0, le=1e9)] = 0.05
    steps: Count = 3_000
    # ε-z-greedy (arXiv:2006.01782): an action that explores is held for up to so many rows, the
    # number drawn with a chance proportional to its inverse square; 0: every row for itself
    hold: Annotated[int, Meta(ge=0, le=1_000)] = 0
    # Ape-X: stream i of S explores with ε^(1 + spread·i/(S-1)) (arXiv:1803.00933); 0 for all alike
    spread: Annotated[float, Meta(ge=0.0, le=20.0)] = 0.0

    def __post_init__(self) -> None:
        if self.kind == "epsilon" and max(self.start, self.end) > 1.0:
            raise ValueError(f"ε is at most 1, got start {self.start}, end {self.end}")
        if self.kind != "epsilon" and self.spread:
            raise ValueError(f"`spread` is for epsilon, not for {self.kind}")
        if self.kind != "epsilon" and self.hold:
            raise ValueError(f"`hold` is for epsilon, not for {self.kind}")

    def epsilon(self, env_steps: int) -> float:
        """Return ε after ``env_steps`` environment steps, before any spread; 0 without ε."""
        return self._value(env_steps) if self.kind == "epsilon" else 0.0

    def temperature(self, env_steps: int) -> float:
        """Return the temperature after ``env_steps`` environment steps; 0 without one."""
        return self._value(env_steps) if self.kind == "boltzmann" else 0.0

    def _value(self, env_steps: int) -> float:
        if env_steps >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * (max(env_steps, 0) / self.steps)

    def row_epsilon(
        self, env_steps: int, stream: NDArray[np.integer[Any]], streams: int
    ) -> NDArray[np.float64]:
        """Return each row's ε, (B,) float64, from its stream's number in ``[0, streams)``."""
        epsilon = self.epsilon(env_steps)
        if self.spread == 0.0 or streams < 2 or epsilon in (0.0, 1.0):
            return np.full(len(stream), epsilon)
        return np.float64(epsilon) ** (1.0 + stream * np.float64(self.spread / (streams - 1)))


class HoldLengths:
    """For how many rows an action is held: 1 to ``most``, k with a chance proportional to k^-2.

    Dabney, Ostrovski & Barreto 2020, section 4 (zeta with μ = 2, cut at ``most``). There ε is the
    chance that a hold begins; here it is the share of rows that explore, so that ``hold`` leaves
    the meaning of the schedule alone. ``mean`` is the mean length.
    """

    def __init__(self, most: int) -> None:
        length = np.arange(1, most + 1)
        self._up_to = np.cumsum(length**-2.0)
        self.mean = float((1.0 / length).sum() / self._up_to[-1])
        self._up_to /= self._up_to[-1]

    def length(self, u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return a length for each u in [0, 1), (B,)."""
        index: NDArray[np.int64] = np.searchsorted(self._up_to, u, side="right").astype(np.int64)
        return index + 1

    def chance(self, epsilon: _Chance) -> _Chance:
        """Return the chance that a row which holds nothing begins to explore, one or (B,).

        With it the share of rows that explore is ε: runs of ``mean`` rows alternate with rows
        that do not explore. 0 and 1 stay 0 and 1.
        """
        return epsilon / (epsilon + self.mean * (1.0 - epsilon))


def uniforms(seed: int, row: NDArray[np.integer[Any]], draws: int) -> NDArray[np.float64]:
    """Return ``draws`` numbers in [0, 1) for every row, (B, draws) float64.

    ``row`` (B,) holds absolute row indices. Number j of a row is the same for every ``draws`` > j.
    SplitMix64 (Steele, Lea & Flood 2014, figure 15) used as a hash of (seed, row), then of the
    draw's number. ``seed`` may be any integer; its low 64 bits count.
    """
    word = row.astype(np.uint64)
    word *= np.uint64(_GAMMA)
    word += np.uint64(_mix_int(seed))
    _mix(word)
    step = np.arange(1, draws + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    words = word[:, None] + step
    _mix(words)
    words >>= np.uint64(11)
    return words * _TO_UNIT


def act(
    q: NDArray[np.floating[Any]],
    mask: NDArray[np.uint8] | None,
    branches: tuple[int, ...],
    epsilon: NDArray[np.float64],
    u: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Choose ε-greedily, row by row, among the legal actions.

    q         (B, A) values, the branches side by side
    mask      (B, A) 1 = legal, at least one per branch and row; None = all legal
    branches  actions in each branch; they sum to A
    epsilon   (B,) chance that the row explores
    u         (B, 1 + branches) numbers in [0, 1): the first decides whether the row explores,
              each other one picks that branch's action when it does

    Returns actions (B, branches) int32, numbered from 0 within their branch, and (B,) uint8 that
    is 1 where the row explored (a random choice may well be the greedy action).
    """
    explored = u[:, 0] < epsilon
    rows = np.flatnonzero(explored)
    action = np.empty((len(q), len(branches)), np.int32)
    at = 0
    for b, n in enumerate(branches):
        branch = slice(at, at + n)
        legal = None if mask is None else mask[:, branch]
        action[:, b] = greedy(q[:, branch], legal)
        if len(rows):
            picks = u[rows, 1 + b]
            action[rows, b] = pick(picks, n) if legal is None else pick_legal(picks, legal[rows])
        at += n
    return action, explored.view(np.uint8)


def act_boltzmann(
    q: NDArray[np.floating[Any]],
    mask: NDArray[np.uint8] | None,
    branches: tuple[int, ...],
    temperature: float,
    u: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Draw each branch's action from softmax(q / temperature) over the legal ones.

    Sutton & Barto 2018, equation 13.2 with values as preferences; temperature 0 is greedy. The
    arguments and results are those of `act`, with two differences: a row explored where one of its
    actions is not the greedy one, and the first column of u is not used.
    """
    action = np.empty((len(q), len(branches)), np.int32)
    explored = np.zeros(len(q), np.uint8)
    at = 0
    for b, n in enumerate(branches):
        values, legal = q[:, at : at + n], None if mask is None else mask[:, at : at + n]
        best = action[:, b] = greedy(values, legal)
        if temperature > 0:
            action[:, b] = pick_softmax(u[:, 1 + b], values, legal, temperature)
            explored |= action[:, b] != best
        at += n
    return action, explored


def pick_softmax(
    u: NDArray[np.float64],
    q: NDArray[np.floating[Any]],
    mask: NDArray[np.uint8] | None,
    temperature: float,
) -> NDArray[np.intp]:
    """Return a choice from softmax(q / temperature) over the legal actions of each row, (B,).

    u (B,) in [0, 1), temperature above 0. An action of probability 0 is never chosen.
    """
    values = mask_illegal(q, mask).astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):  # far below the best is probability 0
        share = np.exp((values - values.max(axis=1, keepdims=True)) / temperature)
    mass = np.cumsum(share if mask is None else share * mask, axis=1)
    wanted = np.minimum(u * mass[:, -1], np.nextafter(mass[:, -1], 0))
    choice: NDArray[np.intp] = np.count_nonzero(mass <= wanted[:, None], axis=1)
    return choice


def greedy(q: NDArray[np.floating[Any]], mask: NDArray[np.uint8] | None) -> NDArray[np.intp]:
    """Return the best legal action of each row, (B,); the first one of equals."""
    best: NDArray[np.intp] = mask_illegal(q, mask).argmax(axis=1)
    return best


def pick(u: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return ``floor(u * n)``: a choice among n actions from u in [0, 1), (B,)."""
    return np.floor(u * n)


def pick_legal(u: NDArray[np.float64], mask: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return a choice among the legal actions of each row, each equally likely, (B,).

    u (B,) in [0, 1); mask (B, A), at least one 1 a row.
    """
    rank = np.cumsum(mask, axis=1, dtype=np.int32)
    wanted = np.floor(u * rank[:, -1])
    choice: NDArray[np.intp] = np.count_nonzero(rank <= wanted[:, None], axis=1)
    return choice


def _mix(word: NDArray[np.uint64]) -> None:
    """Scramble every 64-bit word in place (SplitMix64's finaliser)."""
    word ^= word >> np.uint64(30)
    word *= np.uint64(_MIX_1)
    word ^= word >> np.uint64(27)
    word *= np.uint64(_MIX_2)
    word ^= word >> np.uint64(31)


def _mix_int(value: int) -> int:
    """Scramble one integer's low 64 bits: `_mix` for a Python integer."""
    word = (value + _GAMMA) & _WORD
    word = ((word ^ (word >> 30)) * _MIX_1) & _WORD
    word = ((word ^ (word >> 27)) * _MIX_2) & _WORD
    return word ^ (word >> 31)
