"""Eight bits: products of whole numbers are exact, fitted weights beat rounded ones."""

import numpy as np
import pytest

from agentd.engine.errors import ModelError
from agentd.engine.layers import Conv2d, Dense, EmbeddingBag, Flatten, Lstm, NoisyDense, Relu, Tanh
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.quantization import Int8Backend, Int8Matrix, quantize, round_columns
from agentd.engine.quantization.products import IntMatrix, bind_product, exact_parts, range_of

NETS = {
    "dense": Network(Dense(40), Relu(), Dense(40), Relu(), Dense(3), input_shape=(8,)),
    "image": Network(Conv2d(8, 3), Relu(), Flatten(), Dense(6), input_shape=(6, 5, 2)),
    "recurrent": Network(Lstm(12), Dense(30), Tanh(), Dense(4), input_shape=(5, 3)),
    "noisy": Network(NoisyDense(30), Relu(), NoisyDense(30), Relu(), Dense(2), input_shape=(9,)),
    "lookup": Network(EmbeddingBag(30, 24), Relu(), Dense(24), Relu(), Dense(2), input_shape=(4,)),
}


def rows_of(network: Network, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if network.input_kind != "float":
        return rng.integers(-1, 30, (n, *network.input_shape), np.int32)
    return rng.standard_normal((n, *network.input_shape), np.float32)


def outputs(network, flat, x, backend=None):
    return np.array(Pass(network, backend or NumPyBackend(), len(x)).forward(flat, x))


@pytest.mark.parametrize("inputs", [3, 700, 9000])
def test_products_are_exact_sums_of_whole_numbers(inputs):
    rng = np.random.default_rng(inputs)
    ints = rng.choice([-127, 127], (inputs, 5)).astype(np.int8)  # the largest sums there can be
    x = rng.random((4, inputs), np.float32)
    x[0], x[1, 0] = 1, -0.5
    matrix = IntMatrix(Int8Matrix(ints, np.ones(5, np.float32)))
    y = np.empty((4, 5), np.float32)
    low, high = x.min(1).clip(None, 0), x.max(1)
    for known in (None, range_of(float(x.min()), 1.0)):
        bind_product(x, matrix, None, y, known)()
        scale = ((high - low) / np.float32(255))[:, None] if known is None else known.scale
        zero = np.rint(-low[:, None] / scale) if known is None else known.zero
        whole = np.clip(np.rint(x / scale), -zero, 255 - zero).astype(np.int64)
        np.testing.assert_array_equal(y, (whole @ ints).astype(np.float32) * scale)


def test_pieces_are_as_long_as_sums_stay_exact():
    ints = np.full((1000, 2), 127, np.int8)
    parts = exact_parts(ints)
    assert [part.start for part in parts] == [0, 518]
    assert all(255 * 127 * (part.stop - part.start) < 2**24 for part in parts)
    assert len(exact_parts(ints // 8)) == 1


@pytest.mark.parametrize("name", NETS)
def test_fitted_weights_are_nearer_than_rounded_ones(name):
    network = NETS[name]
    flat = network.init(np.random.default_rng(1))
    x = rows_of(network, 300, seed=2)
    wanted = outputs(network, flat, x)
    errors = {}
    for kind, rows in (("nearest", None), ("fitted", rows_of(network, 2000, seed=3))):
        found = quantize(network, flat, rows)
        errors[kind] = np.abs(outputs(network, found.flat, x) - wanted).mean()
        assert found.rows == (0 if rows is None else 2000)
        assert found.nbytes < 0.6 * flat.nbytes or name == "noisy"  # sigmas stay as they are
        for matrix in found.matrices.values():
            assert (np.abs(matrix.ints.astype(int)) <= 127).all()
    assert errors["fitted"] < (0.6 if name == "dense" else 1) * errors["nearest"]
    np.testing.assert_array_equal(outputs(network, flat, x), wanted)  # what came in is as it was


@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_whole_numbers_give_what_their_weights_give(name, ranges):
    network = NETS[name]
    flat = network.init(np.random.default_rng(1))
    rows, x = rows_of(network, 1000, seed=3), rows_of(network, 64, seed=4)
    found = quantize(network, flat, rows, ranges=ranges)
    assert set(found.inputs) == (
        set(found.matrices) - {"0.embedding_bag.table"} if ranges else set()
    )
    backend = Int8Backend(network, lambda given: found)
    held = backend.load(flat)
    wanted = outputs(network, flat, x)
    y = outputs(network, held, x, backend)
    assert np.abs(y - wanted).max() < 0.08 * np.abs(wanted).max()
    alone = np.concatenate([outputs(network, held, x[i : i + 1], backend) for i in range(8)])
    np.testing.assert_allclose(alone, y[:8], atol=1e-6)


def test_weights_that_are_written_are_rounded_anew():
    network = NETS["dense"]
    backend = Int8Backend(network, lambda flat: quantize(network, flat))
    params, run = backend.zeros((network.n_params,)), Pass(network, backend, 16)
    x = rows_of(network, 16, seed=5)
    for seed in (1, 2):
        flat = network.init(np.random.default_rng(seed))
        backend.write(params, flat)
        y, wanted = np.array(run.forward(params, x)), outputs(network, flat, x)
        assert np.abs(y - wanted).max() < 0.05 * np.abs(wanted).max()


def test_a_column_of_zeros_and_rows_without_numbers():
    found = round_columns(np.array([[0.0, 1.0], [0.0, -2.0]], np.float32))
    np.testing.assert_array_equal(found.ints, [[0, 64], [0, -127]])
    network = NETS["dense"]
    flat = network.init(np.random.default_rng(1))
    still = quantize(network, flat, np.zeros((5, 8), np.float32), ranges=True)
    assert np.isfinite(still.flat).all()
    with pytest.raises(ModelError, match="expected at least one row, got 0"):
        quantize(network, flat, np.zeros((0, 8), np.float32))
    with pytest.raises(ModelError, match="expected rows to take the inputs' ranges from"):
        quantize(network, flat, ranges=True)
    with pytest.raises(ModelError, match="expected weights before the first batch"):
        outputs(network, flat, np.zeros((1, 8), np.float32), Int8Backend(network, lambda f: still))
