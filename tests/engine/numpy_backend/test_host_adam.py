"""Adam in one pass on PoCL: NumPy's bits, at any size, with NaN in the numbers."""

import numpy as np
import pytest

from agentd.engine.numpy_backend import host_adam as fused
from agentd.engine.numpy_backend.adam import BLOCKS, adam_in_blocks
from agentd.engine.numpy_backend.trial import fastest
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec


@pytest.fixture(autouse=True)
def _small_vectors_too(monkeypatch):
    monkeypatch.setattr(fused, "FROM", 1)


@pytest.fixture
def device():
    found = fused.host_device()
    if found is None:
        pytest.skip("no PoCL: install the extra `opencl`")
    return found


@pytest.mark.opencl
@pytest.mark.parametrize("size", [1, 15, 16, 17, 8_191, 8_192, 8_193, 100_003])
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize(("decay", "shrink"), [(0.0, 1.0), (0.01, 0.999)])
def test_one_pass_gives_numpys_bits(device, backend, rng, size, adaptive, decay, shrink):
    start = rng.standard_normal((4, size)).astype(np.float32)
    start[3] **= 2
    start[1, size // 2] = np.nan
    start[1, size // 3] = np.inf
    ours, theirs = ([backend.asarray(row) for row in start] for _ in range(2))
    one, other = device.adam(*ours), adam_in_blocks(*theirs)

    with np.errstate(invalid="ignore"):
        for rate in (1e-3, 3e-4, 0.0):
            for step in (one, other):
                step(0.9, 0.999, rate, 1e-6, decay, shrink, adaptive)

    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.opencl
@pytest.mark.parametrize("name", ["adam", "adamw", "radam"])
def test_optimizers_take_it_and_leave_the_rest_of_the_vector_alone(
    device, backend, rng, monkeypatch, name
):
    spec = OptimizerSpec(name=name, weight_decay=0.1)
    start = rng.standard_normal(5_000).astype(np.float32)
    gradients = rng.standard_normal((8, 5_000)).astype(np.float32)
    ends = []
    for way in (len(BLOCKS), 0):  # the device, NumPy
        monkeypatch.setattr(fused, "_fastest_way", lambda *trial, way=way: way)
        p, g = backend.asarray(start), backend.zeros((5_000,))
        rule = make_optimizer(spec, backend, 4_990)
        for row in gradients:
            backend.write(g, row)
            rule.step(p, g)
        ends.append(p)

    np.testing.assert_array_equal(*ends)
    np.testing.assert_array_equal(ends[0][4_990:], start[4_990:])


def test_numpy_does_it_without_a_device(backend, monkeypatch):
    monkeypatch.setattr(fused, "host_device", lambda: None)
    p = [backend.zeros((8,)) for _ in range(4)]

    assert len(fused.ways_of(*p)) == len(BLOCKS)
    fused.fastest_adam(*p)(0.9, 0.999, 1e-3, 1e-7, 0.0, 1.0, True)


@pytest.mark.parametrize("odd", ["float64", "strided"])
def test_other_vectors_are_left_to_numpy(backend, exact, odd, monkeypatch):
    monkeypatch.setattr(fused, "_fastest_way", lambda *trial: pytest.fail("tried"))
    p = [exact.zeros((8,)) if odd == "float64" else backend.zeros((16,))[::2] for _ in range(4)]

    fused.fastest_adam(*p)(0.9, 0.999, 1e-3, 1e-7, 0.0, 1.0, True)


def test_every_way_gives_the_same_bits(backend, rng):
    start = rng.standard_normal((4, 70_001)).astype(np.float32)
    start[3] **= 2
    ends = []
    for i in range(len(fused.ways_of(*map(backend.asarray, start)))):
        vectors = [backend.asarray(row) for row in start]
        fused.ways_of(*vectors)[i]()(0.9, 0.999, 1e-3, 1e-7, 0.0, 1.0, True)
        ends.append(vectors)
    for vectors in ends[1:]:
        for ours, theirs in zip(vectors, ends[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_trial_finds_the_way_that_does_less():
    slow, quick = (lambda: sum(range(200_000))), (lambda: sum(range(100)))

    assert fastest([slow, quick]) == 1
    assert fastest([quick, slow]) == 0
    assert fastest([quick]) == 0


def test_a_device_that_computes_otherwise_is_not_used(backend):
    class Wrong:
        def adam(self, p, g, m, v):
            right = adam_in_blocks(p, g, m, v)

            def step(*constants):
                right(*constants)
                p[0] += 1e-6

            return step

    assert not fused._passes(Wrong())
