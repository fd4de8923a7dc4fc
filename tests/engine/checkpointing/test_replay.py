"""Activation checkpointing: the same gradients, bit for bit, whatever is kept and replayed."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from agentd.engine.checkpointing import LayerCost, MemorySpec, plan_memory
from agentd.engine.checkpointing.placement import Buffer, most_alive, place
from agentd.engine.errors import ModelError
from agentd.engine.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Dueling,
    EmbeddingBag,
    Flatten,
    Gelu,
    Gru,
    LayerNorm,
    LeakyRelu,
    Lstm,
    MaxPool2d,
    NoisyDense,
    Relu,
    Residual,
    Rnn,
    Scale,
    Sigmoid,
    Softplus,
    Tanh,
)
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend

ROWS = 8
BUDGETS = [i / 9 for i in range(10)]


def chain(*widths: int) -> list[Any]:
    return [layer for width in widths for layer in (Dense(width), Relu())]


NETS = {
    "dense": Network(*chain(64, 128, 32, 64, 64), Dense(10), input_shape=(20,)),
    "replayed state": Network(
        *(Dense(32), LayerNorm(), Gelu(), Dropout(0.3), Dense(48), BatchNorm(), Tanh()),
        Residual((Dense(48), Relu(), Dropout(0.2), BatchNorm())),
        *(NoisyDense(24), Relu(), Dropout(0.1), Dense(32), Softplus(), Dueling(4)),
        input_shape=(20,),
    ),
    "images": Network(
        *(Scale(), Conv2d(4, 3), Relu(), MaxPool2d(2), Conv2d(6, 3, padding=1), BatchNorm()),
        *(LeakyRelu(), AvgPool2d(2), Flatten(), Dense(16), Sigmoid(), Dense(3)),
        input_shape=(12, 12, 2),
    ),
    "sequences": Network(
        *(Lstm(8, sequence=True), Gru(6, sequence=True), Rnn(7), Dense(5), Dense(2)),
        input_shape=(6, 3),
    ),
    "indices": Network(
        EmbeddingBag(50, 16), Relu(), *chain(20, 30), Dropout(0.5), Dense(4), input_shape=(5,)
    ),
}


@pytest.fixture(scope="session", params=["numpy", "opencl"])
def machine(request: pytest.FixtureRequest) -> Any:
    if request.param == "numpy":
        return NumPyBackend()
    from agentd.engine.opencl_backend.devices import list_devices

    if not list_devices():
        pytest.skip("no OpenCL platform: `pip install 'pyopencl[pocl]'` brings PoCL")
    from agentd.engine.opencl_backend import OpenCLBackend

    return OpenCLBackend("opencl")


def train(net: Network, backend: Any, memory: MemorySpec | None) -> tuple[list[Any], Pass]:
    """Take steps on two batch sizes; return outputs, gradients and parameters, and the pass."""
    params = backend.asarray(net.init(np.random.default_rng(0)))
    gradient = backend.zeros((net.n_params,))
    run = Pass(net, backend, ROWS, training=True, seed=3, memory=memory)
    rng, found = np.random.default_rng(1), []
    for rows in (ROWS, 5, ROWS):
        if net.input_kind == "float":
            x = rng.standard_normal((rows, *net.input_shape)).astype(np.float32)
        else:
            x = rng.integers(-1, 50, (rows, *net.input_shape)).astype(np.int32)
        found.append(backend.to_host(run.forward(params, x)))
        run.backward(gradient, rng.standard_normal(found[-1].shape).astype(np.float32))
        found.append(backend.to_host(gradient))
        moved = backend.to_host(params)
        moved[: net.n_trainable] -= 0.01 * found[-1][: net.n_trainable]
        backend.write(params, moved)
    return [*found, backend.to_host(params)], run


@pytest.mark.parametrize("name", NETS)
def test_every_budget_gives_the_same_bits(name: str, machine: Any) -> None:
    net = NETS[name]
    plain, _ = train(net, machine, None)
    tried = set()
    for bound, budget in product(("peak", "saved"), (0.0, 0.2, 0.4)):
        spec = MemorySpec(budget=budget, bound=bound)
        plan = plan_memory(net, ROWS, spec).at(budget)
        if plan.again in tried:
            continue
        tried.add(plan.again)
        found, run = train(net, machine, spec)
        assert run.memory is not None
        assert run.memory.again == plan.again
        for ours, theirs in zip(found, plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert any(any(again) for again in tried), "nothing was replayed"


def test_nothing_but_what_was_predicted_is_kept_from_forward_to_backward() -> None:
    """Ruin all memory but the predicted bytes: the gradient stays. Ruin some of these: it goes."""
    net, backend = NETS["dense"], NumPyBackend()
    params = backend.asarray(net.init(np.random.default_rng(0)))
    gradient, dy = backend.zeros((net.n_params,)), np.ones((ROWS, 10), np.float32)
    for budget in (0.0, 0.1, 0.4):
        spec = MemorySpec(budget=budget, bound="saved")
        run = Pass(net, backend, ROWS, training=True, memory=spec)
        plan = run.memory
        assert plan is not None
        x = np.random.default_rng(1).standard_normal((ROWS, 20)).astype(np.float32)
        run.forward(params, x)
        run.backward(gradient, dy)
        right = gradient.copy()
        memory = run._arena._memory["float"]
        kept, pinned = np.zeros(memory.shape, bool), np.zeros(memory.shape, bool)
        lives = [
            (life, slice(offset, offset + life.room.size))
            for life, (_, offset) in zip(plan.trace.lives, plan.offsets, strict=True)
        ]
        for life, place_of in lives:
            kept[place_of] |= plan.trace.is_saved(life)
            pinned[place_of] |= life.pinned
        assert 4 * kept.sum() == plan.saved <= budget * plan_memory(net, ROWS, spec).saved_bytes
        assert memory.nbytes == plan.peak

        run.forward(params, x)
        memory[~kept & ~pinned] = np.nan
        run.backward(gradient, dy)
        np.testing.assert_array_equal(gradient, right)

        for place_of in [where for life, where in lives if plan.trace.is_saved(life)]:
            run.forward(params, x)
            memory[place_of] = np.nan
            run.backward(gradient, dy)
            assert not np.array_equal(gradient, right)


@pytest.mark.parametrize("name", NETS)
def test_the_peak_falls_with_the_budget(name: str) -> None:
    ladder = plan_memory(NETS[name], ROWS, MemorySpec())
    plans = [ladder.at(budget) for budget in BUDGETS]
    peaks, costs = [plan.peak for plan in plans], [plan.replayed for plan in plans]
    assert peaks == sorted(peaks)
    assert costs == sorted(costs, reverse=True)
    assert peaks[-1] <= ladder.plain_bytes
    assert costs[-1] == 0
    assert all(plan.alive <= plan.peak for plan in plans)


def test_a_small_share_of_memory_suffices_for_a_deep_chain() -> None:
    net = Network(*chain(*(512, 2048) * 6)[:-1], input_shape=(512,))
    ladder = plan_memory(net, 64, MemorySpec())
    lowest, forward = ladder.at(0), sum(cost.flops for cost in ladder.costs)
    assert lowest.peak <= 0.35 * ladder.plain_bytes
    assert lowest.replayed < 0.5 * forward  # a sixth of a step


@pytest.mark.parametrize("name", ["dense", "images"])
def test_the_choice_is_exact_for_bytes_saved(name: str) -> None:
    """Against every choice there is: the cheapest within each number of bytes."""
    ladder = plan_memory(NETS[name], ROWS, MemorySpec(bound="saved"))
    flops = [cost.flops for cost in ladder.costs]
    every = [
        ladder._plan(parts, sum(np.multiply(flops, parts)))
        for parts in product((False, True), repeat=len(flops))
    ]
    for share in range(12):
        plan = ladder.at(share / 11)
        assert plan.saved <= share / 11 * ladder.saved_bytes
        best = min(p.replayed for p in every if p.saved <= share / 11 * ladder.saved_bytes)
        assert plan.replayed == plan.cost == best
    assert ladder.rungs[0].peak == min(plan.peak for plan in every)


def test_policies_say_what_is_kept() -> None:
    net = NETS["dense"]

    def again(spec: MemorySpec, choose: Any = None) -> tuple[bool, ...]:
        return plan_memory(net, ROWS, spec, choose).at(spec.budget).again

    must = MemorySpec(policy={"dense": "must_recompute", "0.dense": "must_save"})
    assert again(must) == (False, True, True, True, True, True)
    prefer = MemorySpec(policy={"2.dense": "prefer_recompute", "4.dense": "prefer_save"})
    assert again(prefer) == (False, True, False, False, False, False)
    tight = MemorySpec(budget=0, bound="saved", policy={"2.dense": "must_save"})
    assert again(tight)[:4] == (True, False, True, True)
    wide: dict[tuple[str, ...], int] = {}

    def choose(cost: LayerCost) -> Any:
        wide[cost.names] = cost.nbytes
        return "must_recompute" if cost.nbytes >= 4 * ROWS * 128 else None

    assert again(MemorySpec(), choose) == (False, True, False, False, False, False)
    assert wide["0.dense", "1.relu"] == 4 * ROWS * 64


@pytest.mark.parametrize("budget", [-1.0, 1.5, float("nan"), float("inf")])
def test_a_budget_that_is_none_is_refused(budget: float, backend: NumPyBackend) -> None:
    with pytest.raises(
        ModelError, match=f"memory budget: expected a number from 0 to 1, got {budget}"
    ):
        Pass(NETS["dense"], backend, 4, training=True, memory=MemorySpec(budget=budget))


def test_policies_that_cannot_be_followed_are_refused(backend: NumPyBackend) -> None:
    for policy, message in (
        ({"7.dense": "must_save"}, "no layer `7.dense`; did you mean"),
        ({"conv2d": "must_save"}, "no layer `conv2d`"),
        (
            {"0.dense": "must_save", "1.relu": "must_recompute"},
            "0.dense and 1.relu are computed as",
        ),
    ):
        with pytest.raises(ModelError, match=message):
            Pass(NETS["dense"], backend, 4, training=True, memory=MemorySpec(policy=policy))


def test_a_layer_that_moves_statistics_cannot_be_replayed(
    backend: NumPyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentd.engine.layers.recording import Layout

    mark = Layout.statistic
    monkeypatch.setattr(Layout, "statistic", lambda at, *given, replayed: mark(at, *given))
    net = Network(Dense(8), BatchNorm(), Relu(), Dense(4), input_shape=(3,))
    with pytest.raises(ModelError, match=r"1\.batch_norm: cannot be replayed"):
        Pass(net, backend, 4, training=True, memory=MemorySpec(budget=0.5))
    kept = MemorySpec(budget=0.0, policy={"batch_norm": "must_save"})
    run = Pass(net, backend, 4, training=True, memory=kept)
    assert run.memory is not None
    assert not run.memory.again[1]


def test_buffers_that_live_together_never_overlap(rng: np.random.Generator) -> None:
    for _ in range(20):
        buffers = []
        for size, first, steps in rng.integers((1, 0, 0), (900, 50, 20), (40, 3)).tolist():
            buffers.append(Buffer(size, first, first + steps))
        offsets, total = place(buffers)
        taken = np.zeros((71, total), int)
        for one, offset in zip(buffers, offsets, strict=True):
            taken[one.first : one.last + 1, offset : offset + one.size] += 1
        assert taken.max() == 1
        assert most_alive(buffers) <= total <= 1.3 * most_alive(buffers)
