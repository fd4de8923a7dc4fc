"""A replay ring on the device: gathered rows, and learners that take the same steps from them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentd.engine.layers import Conv2d, Dense, Dueling, Flatten, Relu
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay import resident
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.resident import ResidentRows
from agentd.engine.replay.rows import FIRST, MID, RowFormat, Rows, TensorFormat

pytestmark = pytest.mark.opencl


@pytest.mark.parametrize("n", [1, 15, 16, 63, 64, 65, 1025])
@pytest.mark.parametrize("kind", ["f4", "u1"])
def test_gathered_rows_equal_the_twins(
    both: Callable[..., None], rng: np.random.Generator, n: int, kind: str
) -> None:
    table: Any = rng.integers(0, 256, (37, n)).astype(kind)
    if kind == "f4":
        table[0, 0] = table[36, -1] = np.nan
    slot = np.array([0, 36, 5, 5, -3, 40, *rng.integers(0, 37, 59)], np.int32)
    out = rng.standard_normal((len(slot), n)).astype(np.float32)

    both(
        lambda be, table, slot, out: be.gather_rows(table, slot, out),
        {"table": table, "slot": slot, "out": out},
    )


def ring_of(kind: str, shape: tuple[int, ...], capacity: int, head: int) -> Rows:
    rng = np.random.default_rng(head)
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    format = RowFormat((TensorFormat("x", np.dtype(kind), shape, 0, size),), (3,))
    values: Any = rng.integers(0, 9, (capacity, *shape)).astype(kind)
    row = np.arange(max(0, head - capacity), head)
    after = np.full(capacity, -1, np.int64)
    after[row[:-1] % capacity] = row[1:]
    return Rows(
        format=format,
        obs=values.reshape(capacity, -1).view(np.uint8),
        mask_bits=np.zeros((capacity, 1), np.uint8),
        action=rng.integers(0, 3, (capacity, 1)).astype(np.int32),
        reward=rng.standard_normal(capacity).astype(np.float32),
        kind=np.full(capacity, MID, np.uint8),
        next=after,
        explored=np.zeros(capacity, np.uint8),
        stream=np.zeros(capacity, np.uint32),
        version=np.zeros(capacity, np.uint64),
    )


def test_rows_follow_the_ring_round_its_end_and_into_another_ring(opencl: Any) -> None:
    rows, other = (ring_of("<f4", (3,), 16, head) for head in (40, 41))
    follower = ResidentRows(opencl, rows, 4)
    for lo, hi, now in (
        (0, 10, rows),
        (2, 16, rows),
        (13, 29, rows),
        (30, 40, rows),
        (3, 9, other),
    ):
        slot = np.array([lo, hi - 1, (lo + hi) // 2, lo + 1]) % 16
        got = opencl.to_host(follower.take(now, lo, hi, slot))
        np.testing.assert_array_equal(got, now.obs[slot].view(np.float32))
        now.obs[hi % 16] ^= 1  # a row that is still to come


NETS: dict[str, tuple[str, tuple[int, ...], Any, dict[str, Any]]] = {
    "whole": ("<f4", (5,), (Dense(9), Relu()), {}),
    "op by op": ("<f4", (5,), (Dense(9), Relu(), Dueling((3,))), {"n_step": 2}),
    "priorities": (
        "<f4",
        (5,),
        (Dense(9), Relu()),
        {"prioritized": True, "priority": PriorityConfig()},
    ),
    "bytes": ("|u1", (6, 5, 3), (Conv2d(4), Relu(), Flatten()), {}),
}


@pytest.mark.parametrize("name", NETS)
def test_a_learner_takes_the_same_steps_from_a_ring_on_the_device(
    opencl: Any, close: Callable[..., None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind, shape, layers, changed = NETS[name]
    rows = ring_of(kind, shape, 64, 100)
    rows.kind[100 % 64] = FIRST
    tail = () if name == "op by op" else (Dense(3),)
    network = Network(*layers, *tail, input_shape=rows.format.input_shape)
    config = DqnConfig(batch=17, target=TargetConfig(every=2), **changed)
    monkeypatch.setattr(type(opencl), "holds", lambda self, nbytes: True)
    monkeypatch.setattr(resident, "LEAST_BYTES", 0)
    learners = []
    for backend in (NumPyBackend(), opencl):
        rule = make_optimizer(OptimizerSpec(eps=1e-3), backend, network.n_trainable)
        learners.append(DqnLearner(network, backend, rule, rows.format, config, seed=3))
    for hi in (90, 90, 100):
        for learner in learners:
            learner.update(rows, 40, hi)

    assert learners[1]._source._resident is not None
    assert learners[0]._source._resident is None
    theirs, ours = (learner.get_state()[0] for learner in learners)
    for array in theirs:
        close(ours[array], theirs[array], array)


def test_small_batches_stacks_and_mixed_rows_stay_with_the_host(
    opencl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ring_of("|u1", (64, 64, 3), 8, 20)
    assert ResidentRows.of(opencl, rows, 64) is None  # PoCL's memory is the host's
    monkeypatch.setattr(type(opencl), "holds", lambda self, nbytes: True)

    assert ResidentRows.of(opencl, rows, 64) is not None
    assert ResidentRows.of(opencl, rows, 4) is None
    for several in ({"stack": 4}, {"last_actions": 1}):
        rows.format = RowFormat(rows.format.tensors, (3,), **several)
        assert ResidentRows.of(opencl, rows, 64) is None
