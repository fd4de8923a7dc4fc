"""The recurrent ops on the device equal their NumPy twins, and so do whole recurrent layers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentd.engine.layers import Dense, Gru, Lstm, Rnn
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend

pytestmark = pytest.mark.opencl

SIZES = ((1, 1), (2, 15), (3, 16), (5, 65), (1, 1025))


def floats(rng: np.random.Generator, *shape: int) -> Any:
    """Return numbers of which the first and the last are NaN, where there are many."""
    array = rng.standard_normal(shape).astype(np.float32)
    if array.size > 60:
        array.reshape(-1)[[0, -1]] = np.nan
    return array


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 2), (5, 1, 65), (2, 17, 16)])
def test_swap(both: Callable[..., None], rng: np.random.Generator, shape: Any) -> None:
    arrays = {"x": floats(rng, *shape), "y": floats(rng, shape[1], shape[0], shape[2])}

    both(lambda be, x, y: be.swap(x, y), arrays)


@pytest.mark.parametrize("size", SIZES)
def test_lstm_cell(both: Callable[..., None], rng: np.random.Generator, size: Any) -> None:
    b, n = size
    arrays = {"z": floats(rng, b, 4 * n)} | {k: floats(rng, b, n) for k in ("before", "c", "h")}

    both(lambda be, z, before, c, h: be.lstm_cell(z, before, c, h), arrays)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_place", [True, False])
def test_lstm_cell_backward(
    both: Callable[..., None], rng: np.random.Generator, size: Any, in_place: bool
) -> None:
    b, n = size
    arrays = {
        "gates": rng.uniform(0, 1, (b, 4 * n)).astype(np.float32),
        "dz": floats(rng, b, 4 * n),
    }
    arrays |= {k: floats(rng, b, n) for k in ("before", "c", "dh", "dc")}

    def bind(be: Any, gates: Any, dz: Any, before: Any, c: Any, dh: Any, dc: Any) -> Any:
        return be.lstm_cell_backward(gates, before, c, dh, dc, gates if in_place else dz)

    both(bind, arrays)


@pytest.mark.parametrize("size", SIZES)
def test_gru_cell(both: Callable[..., None], rng: np.random.Generator, size: Any) -> None:
    b, n = size
    arrays = {k: floats(rng, b, 3 * n) for k in ("z", "a")}
    arrays |= {k: floats(rng, b, n) for k in ("before", "h")}

    both(lambda be, z, a, before, h: be.gru_cell(z, a, before, h), arrays)


@pytest.mark.parametrize("size", SIZES)
def test_gru_cell_backward(both: Callable[..., None], rng: np.random.Generator, size: Any) -> None:
    b, n = size
    arrays = {"gates": rng.uniform(0, 1, (b, 3 * n)).astype(np.float32)}
    arrays |= {"a": floats(rng, b, 3 * n)} | {k: floats(rng, b, n) for k in ("h", "dh", "back")}

    def bind(be: Any, gates: Any, a: Any, h: Any, dh: Any, back: Any) -> Any:
        return be.gru_cell_backward(gates, a, h, dh, back)

    both(bind, arrays)


@pytest.mark.parametrize("kind", [Rnn, Lstm, Gru])
def test_rows_of_streams_have_the_same_gradient(
    opencl: Any, close: Callable[..., None], rng: np.random.Generator, kind: Any
) -> None:
    net = Network(Dense(9), kind(17), Dense(3), input_shape=(5,))
    params, x = net.init(rng), rng.standard_normal((4 * 7, 5)).astype(np.float32)
    dy, results = rng.standard_normal((4 * 7, 3)).astype(np.float32), []
    memory = rng.standard_normal((7, net.memory_width)).astype(np.float32)

    for be in (NumPyBackend(), opencl):
        p, g = be.asarray(params), be.zeros((net.n_params,))
        run = Pass(net, be, 28, training=True, times=4)
        y = be.to_host(run.forward(p, x, memory=memory))
        run.backward(g, dy)
        results.append((y, run.memory_after(), be.to_host(g)))

    for ours, theirs in zip(*results, strict=True):
        close(theirs, ours)


def test_recurrent_layers_have_the_same_gradient(
    opencl: Any, close: Callable[..., None], rng: np.random.Generator
) -> None:
    net = Network(
        *(Lstm(17, sequence=True), Gru(11, sequence=True), Rnn(9), Dense(3)), input_shape=(6, 5)
    )
    params, x = net.init(rng), rng.standard_normal((7, 6, 5)).astype(np.float32)
    dy, results = rng.standard_normal((7, 3)).astype(np.float32), []

    for be in (NumPyBackend(), opencl):
        p, g = be.asarray(params), be.zeros((net.n_params,))
        run = Pass(net, be, 7, training=True)
        y = be.to_host(run.forward(p, x))
        run.backward(g, dy)
        results.append((y, be.to_host(g)))

    for ours, theirs in zip(*results, strict=True):
        close(theirs, ours)
