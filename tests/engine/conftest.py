"""Fixtures of the engine's tests: a replay ring filled by hand, backends, central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.replay.rows import FIRST, TERMINATED, RowFormat, Rows, TensorFormat


class Ring:
    """A replay ring in plain arrays: rows are appended stream by stream and joined by ``next``."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.head = 0
        self._newest: dict[int, int] = {}

    def add(
        self, stream: int, kind: int, *, obs, reward=0.0, action=0, mask=None, explored=0, version=0
    ) -> int:
        """Append one row and return its absolute index."""
        rows, slot = self.rows, self.head % self.rows.capacity
        rows.obs[slot] = np.asarray(obs, np.float32).reshape(-1).view(np.uint8)
        rows.action[slot] = action
        rows.reward[slot] = reward
        rows.kind[slot] = kind
        rows.next[slot] = -1
        rows.explored[slot], rows.stream[slot], rows.version[slot] = explored, stream, version
        rows.mask_bits[slot] = 0 if mask is None else np.packbits(np.asarray(mask, np.uint8))
        rows.has_masks |= mask is not None
        before = self._newest.pop(stream, None)
        if kind != FIRST and before is not None and before > self.head - rows.capacity:
            rows.next[before % rows.capacity] = self.head
        else:
            before = -1
        if rows.prev is not None:
            rows.prev[slot] = before
        if kind < TERMINATED:
            self._newest[stream] = self.head
        self.head += 1
        return self.head - 1

    def episode(self, stream: int, rewards, end: int) -> list[int]:
        """Append a whole episode whose observations are its rows' indices; return the indices."""
        kinds = [FIRST] + [1] * (len(rewards) - 1) + [end]
        return [
            self.add(stream, kind, obs=[self.head] * self.rows.format.features, reward=reward)
            for kind, reward in zip(kinds, [0.0, *rewards], strict=True)
        ]

    def fill(
        self, length=120, streams=3, *, masked=False, explore=0.0, seed=0, scale=1.0
    ) -> "Ring":
        """Append ``length`` random rows, stream after stream, with every kind of end."""
        rng = np.random.default_rng(seed)
        row = self.rows.format
        branches, features = row.branches, row.row_bytes // 4
        last = [TERMINATED] * streams
        for i in range(length):
            at = i % streams
            kind = FIRST if last[at] >= TERMINATED else int(rng.choice([1, 1, 1, 1, 2, 3]))
            mask = None
            if masked:
                mask = (rng.random(sum(branches)) < 0.5).astype(np.uint8)
                mask[np.cumsum((0, *branches[:-1]))] = 1
            self.add(
                at,
                kind,
                obs=rng.standard_normal(features),
                reward=float(rng.normal()) * scale,
                action=[int(rng.integers(n)) for n in branches],
                mask=mask,
                explored=int(rng.random() < explore),
                version=i // 20,
            )
            last[at] = kind
        return self


@pytest.fixture(scope="session")
def make_ring() -> Callable[..., Ring]:
    """Return a maker of empty rings: float32 observations of D features."""

    def make(
        capacity: int,
        features: int = 1,
        branches: tuple[int, ...] = (2,),
        stack: int = 1,
        last: int = 0,
    ) -> Ring:
        tensor = TensorFormat("obs", np.dtype("<f4"), (features,), 0, 4 * features)
        row = RowFormat((tensor,), branches, stack, last)
        rows = Rows(
            format=row,
            obs=np.zeros((capacity, row.row_bytes), np.uint8),
            mask_bits=np.zeros((capacity, (row.n_actions + 7) // 8), np.uint8),
            action=np.zeros((capacity, len(branches)), np.int32),
            reward=np.zeros(capacity, np.float32),
            kind=np.zeros(capacity, np.uint8),
            next=np.full(capacity, -1, np.int64),
            explored=np.zeros(capacity, np.uint8),
            stream=np.zeros(capacity, np.uint32),
            version=np.zeros(capacity, np.uint64),
            prev=None if row.depth == 1 else np.full(capacity, -1, np.int64),
        )
        return Ring(rows)

    return make


Floats = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def exact() -> NumPyBackend:
    """The NumPy backend in float64, precise enough for central differences."""
    return NumPyBackend(np.float64)


@pytest.fixture(scope="session")
def backend() -> NumPyBackend:
    return NumPyBackend()


def slope(f: Callable[[Floats], float], at: Floats, h: float = 1e-5) -> Floats:
    """Return the gradient of f by central differences, element by element."""
    gradient = np.empty_like(at)
    for i in np.ndindex(at.shape):
        kept = at[i]
        at[i] = kept + h
        above = f(at)
        at[i] = kept - h
        below = f(at)
        at[i] = kept
        gradient[i] = (above - below) / (2 * h)
    return gradient


@pytest.fixture(scope="session", name="slope")
def slope_fixture() -> Callable[..., Floats]:
    return slope


@pytest.fixture(scope="session")
def check_gradient(exact: NumPyBackend) -> Callable[..., None]:
    """Check a network's gradient of Σ y·dy by central differences over all trainable parameters."""

    def check(net: Network, x: Any, seed: int = 0, mask: Any = None) -> None:
        rng = np.random.default_rng(seed)
        params = exact.asarray(net.init(rng).astype(np.float64))
        params[: net.n_trainable] += 0.1 * rng.standard_normal(net.n_trainable)
        gradient = exact.zeros((net.n_params,))
        run = Pass(net, exact, len(x), training=True)
        dy = rng.standard_normal((len(x), *net.output_shape))
        state = run.get_state()
        run.forward(params, x, mask)
        run.backward(gradient, dy.copy())

        def loss(p: Floats) -> float:
            run.set_state(state)
            return float((run.forward(p, x, mask) * dy).sum())

        expected = slope(lambda _: loss(params), params[: net.n_trainable])
        np.testing.assert_allclose(gradient[: net.n_trainable], expected, rtol=1e-6, atol=1e-7)
        assert not gradient[net.n_trainable :].any()

    return check
