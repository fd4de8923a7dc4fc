"""XOR, the smallest problem that needs a hidden layer, on every optimizer and a few activations."""

import numpy as np
import pytest

from agentd.engine.layers import Dense, Gelu, LeakyRelu, Sigmoid, Tanh
from agentd.engine.network import Network, Pass
from agentd.engine.optim import RULES, make_optimizer
from agentd.engine.optim.losses import LossArrays, bind_loss
from agentd.engine.optim.spec import LossSpec, OptimizerSpec

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)
RATES = {"sgd": 0.5, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.1, "adadelta": 3.0}


def learn_xor(backend, spec, activation, steps=2_000):
    """Return the network's answers after ``steps`` updates on all four rows."""
    net = Network(Dense(8), activation, Dense(1), Sigmoid(), input_shape=(2,))
    params = backend.asarray(net.init(np.random.default_rng(1)))
    gradient = backend.zeros(params.shape)
    run = Pass(net, backend, 4, training=True)
    target, loss = backend.asarray(Y), backend.zeros((4,))
    y, dy = run.output(params, 4), run.output_gradient(params, 4)
    objective = bind_loss(LossSpec(), backend, LossArrays(y=y, target=target, dy=dy, loss=loss))
    optimizer = make_optimizer(spec, backend, net.n_trainable)
    for _ in range(steps):
        run.forward(params, X)
        objective()
        run.backward(gradient, dy)
        optimizer.step(params, gradient)
    return run.forward(params, X)


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_optimizer_solves_xor(backend, name):
    spec = OptimizerSpec(name=name, lr=RATES.get(name, 0.02))

    answers = learn_xor(backend, spec, Tanh(), 6_000 if name == "sgd" else 2_000)

    np.testing.assert_array_equal(answers > 0.5, Y > 0.5)
    np.testing.assert_allclose(answers, Y, atol=0.15)


@pytest.mark.parametrize("activation", [Gelu(), LeakyRelu(0.1), Sigmoid()])
def test_other_activations_solve_xor(backend, activation):
    answers = learn_xor(backend, OptimizerSpec(lr=0.02), activation)

    np.testing.assert_allclose(answers, Y, atol=0.15)
