"""Every layer: gradients by central differences, values against plain formulas, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import (
    AvgPool2d,
    BatchNorm,
    ChannelsLast,
    Conv2d,
    Dense,
    Dropout,
    EmbeddingBag,
    Exp,
    Flatten,
    Gelu,
    GlobalAvgPool,
    Gru,
    LayerNorm,
    LeakyRelu,
    Lstm,
    MaxPool2d,
    Relu,
    Reshape,
    Residual,
    Rnn,
    Sequential,
    Sigmoid,
    Softplus,
    Tanh,
)
from agentd.engine.network import Network, Pass
from agentd.engine.network.spec import LAYERS

BATCH = st.sampled_from([1, 2, 3, 5])
IMAGE = st.tuples(st.integers(3, 7), st.integers(3, 7), st.integers(1, 3))


def behind_dense(shape, *layers):
    """Put layers behind a Dense, so that their dx is checked through its parameters."""
    size = int(np.prod(shape))
    return Network(Dense(size), Reshape(shape), *layers, input_shape=(2,))


def numbers(batch, *shape):
    return np.random.default_rng(batch + sum(shape)).standard_normal((batch, *shape))


def outputs(be, net, x, params=None, training=False):
    p = be.asarray(net.init(np.random.default_rng(3)) if params is None else params)
    return np.array(Pass(net, be, len(x), training=training).forward(p, x))


@settings(max_examples=25, deadline=None)
@given(batch=BATCH, width=st.integers(1, 6))
@pytest.mark.parametrize(
    "act", [Sigmoid(), Tanh(), Softplus(), Gelu(), Exp(), LeakyRelu(0.2), LeakyRelu(1.0), Relu()]
)
def test_activation_gradients(check_gradient, batch, width, act):
    net = Network(Dense(width), LayerNorm(), act, Dense(2), act, input_shape=(3,))

    check_gradient(net, numbers(batch, 3))


@pytest.mark.parametrize("act", ["Gelu", "LeakyRelu", "Sigmoid", "Softplus", "Tanh", "Relu"])
def test_activations_equal_torch(exact, act):
    torch = pytest.importorskip("torch")
    spec = {"Gelu": Gelu(), "LeakyRelu": LeakyRelu(), "Sigmoid": Sigmoid(), "Softplus": Softplus()}
    theirs = {"Gelu": torch.nn.GELU("tanh"), "LeakyRelu": torch.nn.LeakyReLU()}
    x = np.array([[-800.0, -30.0, -1.5, -0.0, 0.0, 0.3, 2.0, 30.0, 800.0]])
    layer = spec.get(act) or {"Tanh": Tanh(), "Relu": Relu()}[act]
    module = theirs.get(act) or getattr(torch.nn, act.replace("Relu", "ReLU"))()

    y = outputs(exact, Network(layer, input_shape=(9,)), x)

    np.testing.assert_allclose(y, module(torch.tensor(x)), rtol=1e-12, atol=1e-15)


def test_exp_is_clipped(backend):
    y = outputs(backend, Network(Exp(), input_shape=(3,)), np.array([[-99.0, 0.0, 99.0]]))

    np.testing.assert_allclose(y, np.exp([[-10, 0, 10]]), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    batch=BATCH,
    shape=IMAGE,
    filters=st.integers(1, 4),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    fused=st.booleans(),
)
def test_convolution_gradients(
    check_gradient, batch, shape, filters, kernel, stride, padding, fused
):
    layers = [Conv2d(filters, kernel, stride, padding), Tanh() if fused else Gelu()]

    check_gradient(behind_dense(shape, *layers), numbers(batch, 2))


@settings(max_examples=40, deadline=None)
@given(
    batch=BATCH,
    shape=IMAGE,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.one_of(st.none(), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    kind=st.sampled_from([MaxPool2d, AvgPool2d]),
)
def test_pool_gradients(check_gradient, batch, shape, kernel, stride, padding, kind):
    padding = tuple(min(p, k - 1) for p, k in zip(padding, kernel, strict=True))

    check_gradient(behind_dense(shape, kind(kernel, stride, padding)), numbers(batch, 2))


@settings(max_examples=10, deadline=None)
@given(batch=BATCH, shape=IMAGE)
def test_global_pool_gradients(check_gradient, batch, shape):
    check_gradient(behind_dense(shape, GlobalAvgPool()), numbers(batch, 2))


@settings(max_examples=10, deadline=None)
@given(batch=BATCH, shape=IMAGE)
def test_channels_last_gradients(check_gradient, batch, shape):
    check_gradient(behind_dense(shape, ChannelsLast(), Conv2d(2, (2, 1))), numbers(batch, 2))


def test_channels_last_moves_every_number(backend, rng):
    x = rng.standard_normal((3, 4, 5, 2)).astype(np.float32)

    y = outputs(backend, Network(ChannelsLast(), input_shape=(4, 5, 2)), x)

    np.testing.assert_array_equal(y, np.moveaxis(x, 1, -1))


def to_nchw(x):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding"),
    [
        ((5, 7, 3), 3, 1, 0),
        ((6, 6, 2), (2, 3), (2, 1), (1, 2)),
        ((10, 10, 4), 3, 1, 1),
        ((1, 1, 1), 1, 1, 0),
    ],
)
def test_images_equal_torch(exact, rng, batch, shape, kernel, stride, padding):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((batch, *shape))
    net = Network(Conv2d(4, kernel, stride, padding), input_shape=shape)
    params = rng.standard_normal(net.n_params)
    w, b = (params[s.offset : s.end].reshape(s.shape) for s in net.slots)
    tx, tw = torch.tensor(to_nchw(x)), torch.tensor(np.ascontiguousarray(w.transpose(3, 2, 0, 1)))
    functional = torch.nn.functional

    theirs = functional.conv2d(tx, tw, torch.tensor(b), stride, padding)
    np.testing.assert_allclose(to_nchw(outputs(exact, net, x, params)), theirs, atol=1e-12)
    pad = 0 if padding == 0 or kernel == 1 else 1
    for pool, module in ((MaxPool2d, functional.max_pool2d), (AvgPool2d, functional.avg_pool2d)):
        options = {} if pool is MaxPool2d else {"count_include_pad": False}
        y = outputs(exact, Network(pool(kernel, stride, pad), input_shape=shape), x)
        theirs = module(tx, kernel, stride, pad, **options)
        np.testing.assert_allclose(to_nchw(y), theirs, atol=1e-12)


def test_padding_same_keeps_the_size(exact):
    net = Network(Conv2d(2, (3, 5), padding="same"), input_shape=(4, 6, 1))

    assert net.output_shape == (4, 6, 2)


def test_nan_passes_pools(exact):
    x = np.ones((1, 4, 4, 1))
    x[0, 0, 0, 0] = np.nan

    for pool in (MaxPool2d(2), AvgPool2d(2)):
        y = outputs(exact, Network(pool, input_shape=(4, 4, 1)), x)
        assert np.isnan(y[0, 0, 0, 0])
        assert np.isfinite(y.reshape(-1)[1:]).all()


@settings(max_examples=15, deadline=None)
@given(batch=BATCH, shape=st.lists(st.integers(2, 4), min_size=1, max_size=3))
def test_layer_norm_gradients(check_gradient, batch, shape):
    check_gradient(behind_dense(tuple(shape), LayerNorm(eps=1e-2)), numbers(batch, 2))


@settings(max_examples=15, deadline=None)
@given(batch=BATCH, shape=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_batch_norm_gradients(check_gradient, batch, shape):
    check_gradient(behind_dense(tuple(shape), BatchNorm(eps=1e-2)), numbers(batch, 2))


@pytest.mark.parametrize("shape", [(3,), (4, 5, 3)])
def test_batch_norm_equals_torch_in_training_and_evaluation(exact, rng, shape):
    torch = pytest.importorskip("torch")
    net = Network(BatchNorm(), input_shape=shape)
    params = exact.asarray(net.init(rng).astype(np.float64))
    params[: net.n_trainable] = rng.standard_normal(net.n_trainable)
    module = (torch.nn.BatchNorm1d if len(shape) == 1 else torch.nn.BatchNorm2d)(3).double()
    module.weight.data[:], module.bias.data[:] = map(torch.tensor, (params[:3], params[3:6]))
    train = Pass(net, exact, 4, training=True)

    for _ in range(3):
        x = 2 * rng.standard_normal((4, *shape)) + 1
        y, theirs = train.forward(params, x), module(torch.tensor(to_nchw(x)))
        np.testing.assert_allclose(to_nchw(y), theirs.detach(), rtol=1e-9, atol=1e-9)

    np.testing.assert_allclose(params[6:9], module.running_mean, rtol=1e-9)
    np.testing.assert_allclose(params[9:], module.running_var, rtol=1e-9)
    module.eval()
    y = Pass(net, exact, 4).forward(params, x)
    np.testing.assert_allclose(to_nchw(y), module(torch.tensor(to_nchw(x))).detach(), rtol=1e-9)


def test_statistics_lie_behind_the_trainable_parameters():
    net = Network(Dense(3), BatchNorm(), Dense(2), BatchNorm(), input_shape=(4,))

    ends = {slot.name: slot for slot in net.slots}
    assert net.n_trainable == 4 * 3 + 3 + 6 + 3 * 2 + 2 + 4
    assert net.n_params == net.n_trainable + 6 + 4
    assert ends["1.batch_norm.mean"].offset == net.n_trainable
    covered = sorted(i for slot in net.slots for i in range(slot.offset, slot.end))
    assert covered == list(range(net.n_params))


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_gradients(check_gradient, rate):
    net = Network(Dense(6), Dropout(rate), Tanh(), Dense(2), Dropout(rate), input_shape=(3,))

    check_gradient(net, numbers(5, 3))


def test_dropout_keeps_the_mean_and_is_off_in_evaluation(backend):
    net, x = Network(Dropout(0.25), input_shape=(1000,)), np.ones((100, 1000), np.float32)

    dropped = outputs(backend, net, x, training=True)

    np.testing.assert_array_equal(outputs(backend, net, x), x)
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert abs((dropped == 0).mean() - 0.25) < 0.005
    for axis in (0, 1):  # no row and no column is spared or hit
        assert abs((dropped == 0).mean(axis) - 0.25).max() < 0.2


def test_dropout_masks_differ_by_call_layer_and_seed_and_can_be_replayed(backend):
    net, x = Network(Dropout(0.5), Dropout(0.5), input_shape=(64,)), np.ones((32, 64), np.float32)
    p = backend.zeros((0,))
    run = Pass(net, backend, 32, training=True, seed=1)

    first = np.array(run.forward(p, x))
    state = run.get_state()
    second = np.array(run.forward(p, x))
    other = np.array(Pass(net, backend, 32, training=True, seed=2).forward(p, x))
    again = Pass(net, backend, 32, training=True)
    again.set_state(state)

    np.testing.assert_array_equal(again.forward(p, x), second)
    for a, b in ((first, second), (first, other), (second, other)):
        overlap = ((a > 0) & (b > 0)).mean()
        assert abs(overlap - 1 / 16) < 0.03  # 1/4 each, independent; layers independent too


@settings(max_examples=20, deadline=None)
@given(batch=BATCH, width=st.integers(1, 5), bias=st.booleans())
@pytest.mark.parametrize("dense_rows", [4096, 0])
def test_embedding_gradients(check_gradient, batch, width, bias, dense_rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agentd.engine.numpy_backend.sparse._DENSE_ROWS", dense_rows)
        index = np.random.default_rng(batch).integers(-1, 7, (batch, width)).astype(np.int32)
        net = Network(EmbeddingBag(7, 3, bias), Tanh(), Dense(2), input_shape=(width,))

        check_gradient(net, index)


@pytest.mark.parametrize("dense_rows", [4096, 0])
def test_embedding_is_a_dense_layer_on_multi_hot_rows(backend, rng, monkeypatch, dense_rows):
    monkeypatch.setattr("agentd.engine.numpy_backend.sparse._DENSE_ROWS", dense_rows)
    net = Network(EmbeddingBag(9, 4), input_shape=(3,))
    p, g = backend.asarray(net.init(rng)), backend.zeros((net.n_params,))
    run = Pass(net, backend, 4, training=True)
    dy = rng.standard_normal((4, 4)).astype(np.float32)

    for size in (4, 2, 3, 4):  # rows of an earlier, larger batch leave nothing behind
        index = rng.integers(-1, 9, (size, 3)).astype(np.int32)
        hot = np.zeros((size, 9), np.float32)
        np.add.at(hot, (np.arange(size)[:, None], index), index >= 0)
        y = run.forward(p, index)
        run.backward(g, dy[:size].copy())

        np.testing.assert_allclose(y, hot @ p[:36].reshape(9, 4) + p[36:], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(g[:36].reshape(9, 4), hot.T @ dy[:size], rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match="embedding index: expected shape below 9, got 9"):
        run.forward(p, np.full((2, 3), 9, np.int32))


@settings(max_examples=15, deadline=None)
@given(batch=BATCH)
@pytest.mark.parametrize("inner", [(Dense(4), Tanh()), (LayerNorm(), Dense(4)), (Relu(),), ()])
def test_residual_gradients(check_gradient, batch, inner):
    net = Network(Dense(4), Residual(inner), Relu(), Residual(inner), input_shape=(3,))

    check_gradient(net, numbers(batch, 3))


def test_residual_blocks_of_images(check_gradient):
    block = Residual(
        (
            Conv2d(2, padding="same"),
            BatchNorm(),
            Sequential((Tanh(), Flatten(), Reshape((4, 3, 2)))),
        )
    )

    check_gradient(behind_dense((4, 3, 2), block, block, GlobalAvgPool()), numbers(3, 2))


@settings(max_examples=12, deadline=None)
@given(batch=BATCH, steps=st.integers(1, 4), features=st.integers(1, 3), units=st.integers(1, 4))
@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("kind", [Rnn, Lstm, Gru])
def test_recurrent_gradients(check_gradient, kind, sequence, batch, steps, features, units):
    net = behind_dense(
        (steps, features), kind(units, sequence=sequence), kind(2) if sequence else Tanh()
    )

    check_gradient(net, numbers(batch, 2))


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "relu", "lstm", "gru"])
def test_recurrent_layers_equal_torch(exact, rng, kind, sequence):
    torch = pytest.importorskip("torch")
    gated = {"lstm": Lstm(4, sequence), "gru": Gru(4, sequence)}
    layer = gated.get(kind) or Rnn(4, sequence, "tanh" if kind == "rnn" else kind)
    net = Network(layer, input_shape=(5, 3))
    params, x = rng.standard_normal(net.n_params), rng.standard_normal((6, 5, 3))
    w, u, b = (params[s.offset : s.end].reshape(s.shape) for s in net.slots)
    if kind == "lstm":
        module = torch.nn.LSTM(3, 4, batch_first=True).double()
        order = np.concatenate(
            [np.arange(4), 4 + np.arange(4), 12 + np.arange(4), 8 + np.arange(4)]
        )
        w, u, b = w[:, order], u[:, order], b[order]  # PyTorch has input, forget, cell, output
    elif kind == "gru":
        module = torch.nn.GRU(3, 4, batch_first=True).double()
        order = np.concatenate([4 + np.arange(4), np.arange(4), 8 + np.arange(4)])
        w, u, b = w[:, order], u[:, order], b[order]  # PyTorch has reset, update, new
    else:
        options = {} if kind == "rnn" else {"nonlinearity": "relu"}
        module = torch.nn.RNN(3, 4, batch_first=True, **options).double()
    module.weight_ih_l0.data[:], module.weight_hh_l0.data[:] = map(
        torch.tensor, (w.T.copy(), u.T.copy())
    )
    module.bias_ih_l0.data[:], module.bias_hh_l0.data[:] = torch.tensor(b), 0

    theirs = module(torch.tensor(x))[0].detach().numpy()
    y = outputs(exact, net, x, params)

    np.testing.assert_allclose(y, theirs if sequence else theirs[:, -1], rtol=1e-10)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([Conv2d(2)], (4,), "rank 3, got shape"),
        ([Conv2d(2, 5)], (4, 4, 1), "larger than the image"),
        ([Conv2d(2, 2, padding="same")], (4, 4, 1), "odd kernel"),
        ([MaxPool2d(2, padding=2)], (4, 4, 1), "smaller than the kernel"),
        ([GlobalAvgPool()], (4,), "rank 3"),
        ([Lstm(3)], (4, 3, 2), "a sequence is"),
        ([Dense(2), EmbeddingBag(3, 2)], (4,), "1.embedding_bag: reads indices"),
        ([Dropout(), EmbeddingBag(3, 2)], (4,), "can only be the first"),
        ([Residual((Dense(3),))], (4,), r"turns \(4,\) into \(3,\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, shape, message):
    with pytest.raises(ModelError, match=message):
        Network(*layers, input_shape=shape)


def test_yaml_knows_every_layer():
    from agentd.engine import layers

    assert {kind.__name__ for kind in LAYERS.values()} | {"Layer", "LayerSpec"} == set(
        layers.__all__
    )
