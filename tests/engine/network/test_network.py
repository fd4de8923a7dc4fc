"""Networks and passes: gradients, reuse of memory, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import (
    Dense,
    Dueling,
    Flatten,
    Identity,
    Relu,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
)
from agentd.engine.network import Network, Pass

SIZES = st.integers(1, 7)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.sampled_from([1, 2, 3, 5]),
    n_in=SIZES,
    hidden=SIZES,
    n_out=SIZES,
    act=st.sampled_from([Relu, Sigmoid, Tanh, Identity]),
    bias=st.booleans(),
)
def test_dense_gradient_matches_central_differences(
    check_gradient, batch, n_in, hidden, n_out, act, bias
):
    x = np.random.default_rng(1).standard_normal((batch, n_in))
    net = Network(Dense(hidden, bias=bias), act(), Dense(n_out), input_shape=(n_in,))

    check_gradient(net, x)


def test_nested_blocks_and_shapes_pass_gradients_on(check_gradient, rng):
    block = Sequential((Dense(6), Tanh(), Reshape((2, 3)), Flatten()))
    net = Network(Dense(4), Tanh(), block, Identity(), Dense(2), input_shape=(3,))

    check_gradient(net, rng.standard_normal((3, 3)))


def test_forward_equals_the_formula(backend, rng):
    net = Network(Dense(5), Relu(), Dense(2), input_shape=(3,))
    p = net.init(rng)
    w0, b0, w1, b1 = (p[s.offset : s.end].reshape(s.shape) for s in net.slots)
    x = rng.standard_normal((4, 3)).astype(np.float32)

    y = Pass(net, backend, 4).forward(backend.asarray(p), x)

    np.testing.assert_allclose(y, np.maximum(x @ w0 + b0, 0) @ w1 + b1, rtol=1e-5, atol=1e-6)


def test_batch_sizes_and_vectors_take_turns_without_mixing(backend, rng):
    net = Network(Dense(5), Relu(), Dense(2), input_shape=(3,))
    vectors = [backend.asarray(net.init(rng)) for _ in range(6)]
    run = Pass(net, backend, 8)
    x = rng.standard_normal((8, 3)).astype(np.float32)

    for _ in range(2):
        for p in vectors:
            fresh = Pass(net, backend, 8)
            for batch in (1, 8, 3):
                y = run.forward(p, x[:batch])
                np.testing.assert_array_equal(y, fresh.forward(p, x[:batch]))


def test_the_input_may_be_written_in_place(backend, rng):
    net = Network(Dense(2), input_shape=(3,))
    p = backend.asarray(net.init(rng))
    run = Pass(net, backend, 4)
    x = rng.standard_normal((4, 3)).astype(np.float32)
    expected = run.forward(p, x).copy()

    own = run.input(p, 4)
    backend.write(own, x)

    np.testing.assert_array_equal(run.forward(p, own), expected)


def test_wrong_shapes_are_named(backend, rng):
    net = Network(Dense(2), input_shape=(3,))
    p = backend.asarray(net.init(rng))
    run = Pass(net, backend, 4, training=True)

    with pytest.raises(ShapeError, match=r"input: expected shape \(2, 3\), got \(2, 4\)"):
        run.forward(p, np.zeros((2, 4), np.float32))
    with pytest.raises(ShapeError, match=r"expected shape 1..4 rows, got 5 rows"):
        run.forward(p, np.zeros((5, 3), np.float32))
    with pytest.raises(ShapeError, match=r"expected shape 1..4 rows, got 0 rows"):
        run.forward(p, np.zeros((0, 3), np.float32))
    with pytest.raises(ShapeError, match="parameters"):
        run.forward(p[1:], np.zeros((2, 3), np.float32))
    run.forward(p, np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match="output gradient"):
        run.backward(backend.zeros(p.shape), np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match="gradient"):
        run.backward(backend.zeros((3,)), np.zeros((2, 2), np.float32))


def test_backward_needs_a_training_pass(backend, rng):
    net = Network(Dense(2), input_shape=(3,))
    p = backend.asarray(net.init(rng))
    run = Pass(net, backend, 4)
    run.forward(p, np.zeros((2, 3), np.float32))

    with pytest.raises(ModelError, match="training=True"):
        run.backward(backend.zeros(p.shape), np.zeros((2, 2), np.float32))


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="flatten"):
        Network(Dense(2), input_shape=(3, 4))
    with pytest.raises(ModelError, match="cannot read"):
        Network(Reshape((5,)), input_shape=(4,))
    with pytest.raises(ModelError, match="positive"):
        Network(Dense(2), input_shape=(0,))


def test_nan_reaches_the_output(backend, rng):
    net = Network(Dense(4), Relu(), Dense(1), input_shape=(2,))
    x = np.array([[np.nan, 1.0], [1.0, 1.0]], np.float32)

    y = Pass(net, backend, 2).forward(backend.asarray(net.init(rng)), x)

    assert np.isnan(y[0])
    assert np.isfinite(y[1])


@pytest.mark.parametrize("branches", [(4,), (2, 3)])
@pytest.mark.parametrize("masked", [False, True])
def test_dueling_gradient_matches_central_differences(check_gradient, rng, branches, masked):
    net = Network(Dense(4), Tanh(), Dueling(branches), input_shape=(3,))
    mask = np.ones((5, sum(branches)), np.uint8)
    mask[1:, 0] = mask[2:, -1] = 0

    check_gradient(net, rng.standard_normal((5, 3)), mask=mask if masked else None)


def test_dueling_mean_is_taken_over_legal_actions(backend):
    net = Network(Dueling(3), input_shape=(1,))
    p = np.zeros(net.n_params, np.float32)
    p[-4:] = [10, 1, 3, 100]  # the bias: value, advantages

    q = Pass(net, backend, 1).forward(backend.asarray(p), np.zeros((1, 1)), np.array([[1, 1, 0]]))

    np.testing.assert_allclose(q, [[10 + 1 - 2, 10 + 3 - 2, 10 + 100 - 2]])


def test_penalties_add_to_the_weights_gradient_alone(exact, rng):
    net = Network(Dense(2, l1=0.5, l2=0.25), input_shape=(3,))
    p = exact.asarray(rng.standard_normal(net.n_params))
    g = exact.zeros(p.shape)
    run = Pass(net, exact, 1, training=True)

    run.forward(p, np.zeros((1, 3)))
    run.backward(g, np.zeros((1, 2)))

    np.testing.assert_allclose(g[:6], 0.5 * np.sign(p[:6]) + 0.25 * p[:6])
    assert not g[6:].any()
