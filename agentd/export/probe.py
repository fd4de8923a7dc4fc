"""States to compare an exported policy on, and what the engine says of them.

Shapes: N states, one stream's rows in order; A actions over all branches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.config.records import AgentConfig
from agentd.engine.layers import EmbeddingBag, Scale
from agentd.engine.network import Network, Pass
from agentd.engine.network.weights import split
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.replay.rows import RowFormat
from agentd.engine.rules.exploration import greedy
from agentd.memory.recorded import Recorded
from agentd.protocol.schema import Schema

TOLERANCE = 1e-5
"""How far values may lie apart, as a share of the row's largest or of 1."""
SAME_INT8 = 0.99
_BLOCK = 512
_EPISODE = 12


@dataclass(frozen=True, eq=False)
class Probe:
    """N rows as a game would show them, and the engine's answers.

    raw (N, row_bytes) uint8; first (N,) bool: begins an episode; mask (N, A) uint8; played
    (N, branches) int32: what was played there; q (N, A) float32; action (N, branches) int32.
    """

    format: RowFormat
    raw: NDArray[np.uint8]
    first: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    played: NDArray[np.int32]
    q: NDArray[np.float32]
    action: NDArray[np.int32]

    @property
    def rows(self) -> NDArray[np.float32]:
        """The numbers of each row, (N, D)."""
        plain = RowFormat(self.format.tensors, self.format.branches)
        x = np.empty((len(self.raw), plain.features), np.float32)
        plain.decode(self.raw, x)
        return x


@dataclass(frozen=True)
class Agreement:
    """How an exported policy compares with the engine.

    same   states with the same actions; ties: those with others whose values differ by rounding
    worst  the largest distance of values, as a share of the row's largest or of 1
    """

    states: int
    same: int
    ties: int
    worst: float
    us_per_action: float | None = None

    @property
    def share(self) -> float:
        """Share of states with the same actions."""
        return (self.same + self.ties) / self.states

    def holds(self, small: bool) -> bool:
        """Whether that is agreement: every state, or 99 of 100 for int8."""
        if small:
            return self.share >= SAME_INT8
        return self.same + self.ties == self.states and self.worst <= TOLERANCE


def compare(
    probe: Probe,
    q: NDArray[np.float32],
    action: NDArray[np.int32],
    us_per_action: float | None = None,
) -> Agreement:
    """Compare answers q (N, A) and action (N, branches) with the engine's."""
    largest = np.maximum(np.abs(probe.q).max(axis=1), 1)
    worst = float((np.abs(q - probe.q).max(axis=1) / largest).max())
    other = (action != probe.action).any(axis=1)
    rounding, at = np.ones(len(q), bool), 0
    for b, width in enumerate(probe.format.branches):
        values, row = probe.q[:, at : at + width], np.arange(len(q))
        gap = values[row, probe.action[:, b]] - values[row, action[:, b]]
        legal = probe.mask[row, at + action[:, b]] > 0
        rounding &= (gap <= TOLERANCE * largest) & legal
        at += width
    ties = int((other & rounding).sum())
    return Agreement(len(q), int((~other).sum()), ties, worst, us_per_action)


def make_probe(
    config: AgentConfig,
    schema: Schema,
    flat: NDArray[np.float32],
    states: int,
    seed: int = 0,
    recorded: Recorded | None = None,
) -> Probe:
    """Return so many states, up to half of them ``recorded`` ones as they followed each other.

    The others are random numbers, spread as the recorded ones are, or as the network's own
    statistics say where it has some.
    """
    rng = np.random.default_rng(seed)
    network, format = network_for(config, schema, acting=True), format_of(config, schema)
    if recorded is not None and len(recorded.raw) > 1:
        spread = _moments(format, recorded.raw)
    else:
        spread = _statistics(network, format, flat)
    raw = _random_rows(network, format, spread, states, rng)
    first = rng.random(states) < 1 / _EPISODE
    played = np.stack([rng.integers(0, n, states) for n in format.branches], axis=1)
    if recorded is not None:
        half = min(states // 2, len(recorded.raw))
        at = int(rng.integers(0, len(recorded.raw) - half + 1))
        raw[:half], first[:half], played[:half] = (
            part[at : at + half] for part in (recorded.raw, recorded.first, recorded.played)
        )
        first[half] = True
    first[0] = True
    mask = (rng.random((states, format.n_actions)) < 0.7).astype(np.uint8)
    mask[::2] = 1
    at = 0
    for width in format.branches:  # at least one legal action in each branch
        mask[np.arange(states), at + rng.integers(0, width, states)] = 1
        at += width
    x = inputs_of(format, raw, first, played.astype(np.int32))
    q = _values(network, flat, x)
    parts, at = [], 0
    for width in format.branches:
        parts.append(greedy(q[:, at : at + width], mask[:, at : at + width]))
        at += width
    action = np.stack(parts, axis=1).astype(np.int32)
    return Probe(format, raw, first, mask, played.astype(np.int32), q, action)


def frames_of(first: NDArray[np.bool_], stack: int) -> NDArray[np.int64]:
    """Return which rows make each state, (N, K), oldest first."""
    found = np.empty((len(first), stack), np.int64)
    found[:, -1] = np.arange(len(first))
    for k in reversed(range(stack - 1)):
        found[:, k] = found[:, k + 1] - ~first[found[:, k + 1]]
    return found


def played_of(first: NDArray[np.bool_], played: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the actions played before each state, (N, L, branches), -1 for none."""
    found = np.full((len(first), count, played.shape[1]), -1, np.int32)
    at = np.arange(len(first))
    for k in reversed(range(count)):
        there = ~first[at]
        at = at - there
        found[there, k] = played[at[there]]
    return found


def inputs_of(
    format: RowFormat,
    raw: NDArray[np.uint8],
    first: NDArray[np.bool_],
    played: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Return what the network sees of each state, (N, features)."""
    x = np.empty((len(raw), format.features), np.float32)
    frames = np.ascontiguousarray(raw[frames_of(first, format.stack).reshape(-1)])
    before = played_of(first, played, format.last_actions) if format.last_actions else None
    format.decode(frames, x, before)
    return x


def _values(
    network: Network, flat: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    run, found = Pass(network, NumPyBackend(), _BLOCK), []
    x = x.reshape(len(x), *network.input_shape)
    for at in range(0, len(x), _BLOCK):
        found.append(np.array(run.forward(flat, x[at : at + _BLOCK])))
    return np.concatenate(found)


def _random_rows(
    network: Network,
    format: RowFormat,
    moments: tuple[NDArray[np.float32], NDArray[np.float32]],
    states: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    mean, spread = moments
    bytes_are_wide = any(isinstance(layer, Scale) for layer in network.specs)
    bags = [layer.rows for layer in network.specs if isinstance(layer, EmbeddingBag)]
    parts, at = [], 0
    values: NDArray[Any]
    for t in format.tensors:
        size, kind = (states, t.features), t.dtype.kind
        if bags:
            values = rng.integers(-1 if kind != "u" else 0, min(bags[0], 127), size)
        elif kind == "f":
            near = slice(at, at + t.features) if len(mean) > 1 else slice(None)
            values = mean[near] + spread[near] * rng.standard_normal(size)
        else:
            values = rng.integers(0, 256 if t.dtype == np.uint8 and bytes_are_wide else 2, size)
        parts.append(values.astype(t.dtype).view(np.uint8).reshape(states, t.nbytes))
        at += t.features
    return np.concatenate(parts, axis=1)


def _moments(
    format: RowFormat, recorded: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    plain = RowFormat(format.tensors, format.branches)
    x = np.empty((len(recorded), plain.features), np.float32)
    plain.decode(recorded, x)
    return x.mean(axis=0), x.std(axis=0)


def _statistics(
    network: Network, format: RowFormat, flat: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation of each number of a row as the network's input has seen them."""
    named = split(network, flat)
    mean = next((v for k, v in named.items() if k.endswith("normalize.mean")), None)
    row = sum(t.features for t in format.tensors)
    if mean is None or len(mean) < row or len(network.input_shape) > 1:
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    variance = next(v for k, v in named.items() if k.endswith("normalize.variance"))
    return mean[-row:], np.sqrt(variance[-row:])
