"""A row's outputs are the same bits whatever rows stand beside it, and however many at once."""

import numpy as np
import pytest

from agentd.engine.layers import Conv2d, Dense, Flatten, Gru, LayerNorm, Lstm, Relu, Rnn, Tanh
from agentd.engine.network import Network, Pass
from agentd.engine.network.spec import ModelSpec, build_network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.numpy_backend.gemm import even_rows

TIMES, LANES = 9, 7


def flat(kind: type[Rnn] | type[Lstm] | type[Gru]) -> Network:
    layers = (Dense(33), Relu(), LayerNorm(), kind(50), Dense(20), Tanh())
    return build_network(ModelSpec(layers=layers, dueling=True), (3,), (2, 3))


NETS = {
    "rnn": flat(Rnn),
    "lstm": flat(Lstm),
    "gru": flat(Gru),
    "image": Network(
        *(Conv2d(5, 3), Relu(), Flatten(), Gru(17), Gru(9), Dense(3)), input_shape=(6, 5, 2)
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_rows_one_by_one_are_rows_at_once_to_the_bit(name: str) -> None:
    net, be, rng = NETS[name], NumPyBackend(rowwise=True), np.random.default_rng(0)
    params = be.asarray(1.5 * net.init(rng))
    x = rng.standard_normal((TIMES, LANES, *net.input_shape)).astype(np.float32)
    whole = Pass(net, be, TIMES * LANES, times=TIMES)
    unrolled = np.array(whole.forward(params, x.reshape(-1, *net.input_shape)))
    unrolled, after = unrolled.reshape(TIMES, LANES, -1), whole.memory_after()
    served = Pass(net, be, 64)

    for lanes in ([0], [6], [4, 1], [5, 1, 6, 0, 2]):
        memory = np.zeros((len(lanes), net.memory_width), np.float32)
        for t in range(TIMES):
            beside = int(rng.integers(0, 40))  # strangers in the same batch
            rows = rng.standard_normal((beside, *net.input_shape)).astype(np.float32)
            theirs = rng.standard_normal((beside, net.memory_width)).astype(np.float32)
            rows, before = np.concatenate([rows, x[t, lanes]]), np.concatenate([theirs, memory])
            y = served.forward(params, rows, memory=before)
            memory = served.memory_after()[beside:]
            np.testing.assert_array_equal(y[beside:], unrolled[t, lanes])
        np.testing.assert_array_equal(memory, after[lanes])


def test_bands_give_the_product() -> None:
    be, rng = NumPyBackend(rowwise=True), np.random.default_rng(0)
    for rows in (1, 7, 8, 9, 40):
        x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((rows, 12), (12, 5), (5,)))
        y = be.zeros((rows, 5))
        be.affine(x, w, b, y, "relu")()
        np.testing.assert_allclose(y, np.maximum(x @ w + b, 0), rtol=1e-5, atol=1e-6)
    assert even_rows(12, 5, np.dtype(np.float32)) in (1, 2, 4, 8)
