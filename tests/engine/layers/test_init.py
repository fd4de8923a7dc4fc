"""Initialisers: their spread, their structure, their seeds."""

import numpy as np
import pytest

from agentd.engine.layers import Conv2d, Dense
from agentd.engine.layers.init import INITS
from agentd.engine.network import Network

SHAPE = (400, 300)


def draw(name, shape=SHAPE, seed=0):
    return INITS[name](np.random.default_rng(seed), shape)


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("uniform", 1 / np.sqrt(3 * 400)),
        ("he", np.sqrt(2 / 400)),
        ("glorot", np.sqrt(2 / 700)),
        ("orthogonal", 1 / 20),
        ("sparse", np.sqrt(0.1) / np.sqrt(3 * 400)),
    ],
)
def test_weights_have_mean_zero_and_the_right_spread(name, deviation):
    w = draw(name)

    assert abs(w.mean()) < 5 * deviation / np.sqrt(w.size)
    np.testing.assert_allclose(w.std(), deviation, rtol=0.03)


@pytest.mark.parametrize("shape", [(400, 300), (30, 40), (3, 3, 4, 16), (1, 1)])
def test_orthogonal_rows_or_columns(shape):
    w = draw("orthogonal", shape).reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T

    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)


def test_sparse_leaves_a_tenth_of_each_outputs_weights():
    w = draw("sparse")

    assert ((w != 0).sum(0) == 40).all()


def test_bounds_and_constants():
    assert abs(draw("uniform")).max() <= 1 / 20
    assert abs(draw("glorot")).max() <= np.sqrt(6 / 700)
    assert (draw("zeros") == 0).all()
    assert (draw("ones") == 1).all()


@pytest.mark.parametrize("name", sorted(INITS))
def test_a_seed_repeats_and_another_differs(name):
    np.testing.assert_array_equal(draw(name), draw(name))
    assert name in ("zeros", "ones") or (draw(name) != draw(name, seed=1)).any()


def test_convolutions_count_the_whole_window_as_fan_in(rng):
    net = Network(Conv2d(64, 3), input_shape=(9, 9, 16))

    p = net.init(rng)

    assert 0.95 / 12 < abs(p).max() <= 1 / 12  # 1 / sqrt(3 * 3 * 16), bias included
    assert p.dtype == np.float32


def test_only_uniform_draws_biases():
    dense = {i: Network(Dense(8, init=i), input_shape=(4,)) for i in ("uniform", "he")}

    drawn = {i: net.init(np.random.default_rng(0))[-8:] for i, net in dense.items()}

    assert drawn["uniform"].all()
    assert not drawn["he"].any()
