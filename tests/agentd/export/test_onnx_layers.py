"""Exported ONNX models against the network that they were, with ONNX's reference evaluator."""

from typing import Any

import numpy as np
import pytest

from agentd.engine.data.normalize import Normalizer, no_normalizer
from agentd.engine.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Exp,
    Flatten,
    Gelu,
    GlobalAvgPool,
    Gru,
    LayerNorm,
    LeakyRelu,
    Lstm,
    MaxPool2d,
    NoisyDense,
    Normalize,
    Relu,
    Reshape,
    Scale,
    Sigmoid,
    Softplus,
    Tanh,
)
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.errors import UsageError

onnx = pytest.importorskip("onnx")

IMAGE = (7, 6, 2)
NETWORKS: dict[str, list[Any]] = {
    "dense": [Flatten(), Dense(9), Relu(), Dense(5, bias=False), Tanh(), LayerNorm(), Dense(3)],
    "activations": [
        *(Flatten(), Dense(8), Sigmoid(), Dense(8), Softplus(), Dense(8), Gelu(), Dropout(0.5)),
        *(Dense(8), LeakyRelu(0.2), Dense(4), Exp()),
    ],
    "noisy": [Scale(), Flatten(), NoisyDense(5), Relu(), NoisyDense(3)],
    "normalize": [Flatten(), Normalize(eps=1e-3), Dense(4)],
    "images": [
        *(Conv2d(4, 3, stride=(2, 1), padding=1), Relu(), MaxPool2d(2, stride=1, padding=1)),
        *(BatchNorm(), AvgPool2d(3, stride=2, padding=1), Conv2d(3, (1, 2)), GlobalAvgPool()),
        *(Dense(4), Reshape((2, 2))),
    ],
}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_model_computes_what_the_network_does(name: str, wide: bool) -> None:
    from onnx.reference import ReferenceEvaluator

    from agentd.export.build import network_policy
    from agentd.export.onnxfile import onnx_file

    rng, backend = np.random.default_rng(3), NumPyBackend()
    net = Network(*NETWORKS[name], input_shape=IMAGE)
    flat = net.init(rng) + 0.1 * rng.random(net.n_params, np.float32)
    n = int(np.prod(IMAGE)) if wide else 1
    normalizer = Normalizer(rng.random(n, np.float32), 1 + rng.random(n, np.float32))
    x = rng.random((5, *IMAGE), np.float32)
    scaled = np.empty((5, int(np.prod(IMAGE))), np.float32)
    normalizer.apply(x.reshape(5, -1), scaled)
    expected = Pass(net, backend, 5).forward(flat, scaled.reshape(x.shape))

    model = onnx.load_from_string(onnx_file(network_policy("net", net, flat, normalizer)))
    (y,) = ReferenceEvaluator(model).run(None, {"x": x})

    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_a_layer_without_a_form_is_named() -> None:
    from agentd.export.build import network_policy

    for layer, shape in ((Lstm(3), (4, 2)), (Gru(3), (2,))):
        net = Network(layer, input_shape=shape)
        flat = net.init(np.random.default_rng(0))
        with pytest.raises(UsageError, match=type(layer).__name__):
            network_policy("net", net, flat, no_normalizer())
