"""Running normalisation: exact moments, however the rows are cut, kept behind the parameters."""

import numpy as np
import pytest

from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import BatchNorm, Conv2d, Dense, Flatten, LayerNorm, Normalize, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.network.normalize import InputStatistics, refuse_normalize
from agentd.engine.rules.moments import RunningMoments
from agentd.engine.training import Trainer


@pytest.mark.parametrize("cuts", [(), (1,), (1, 2, 3, 90), (50,)])
def test_moments_do_not_depend_on_how_the_rows_were_cut(rng, cuts):
    x = 1e4 + rng.standard_normal((100, 3)) * [1.0, 1e-3, 30.0]
    moments = RunningMoments(3)

    for part in np.split(x, cuts):
        moments.merge(part)
    moments.merge(x[:0])

    assert moments.count == 100
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, x.var(axis=0), rtol=1e-6)


def test_one_row_has_no_spread_yet_and_a_strange_one_is_refused():
    moments = RunningMoments(2)
    moments.merge(np.array([[3.0, 4.0]]))

    np.testing.assert_array_equal(moments.mean, [3, 4])
    np.testing.assert_array_equal(moments.variance, [1, 1])
    with pytest.raises(ShapeError, match="rows to normalise"):
        moments.merge(np.zeros((1, 3)))
    with pytest.raises(ShapeError, match="running moments"):
        moments.set_state(np.zeros((2, 3)), 1)


@pytest.mark.parametrize("shape", [(3,), (4, 3, 2)])
def test_the_input_arrives_with_mean_0_and_variance_1(exact, rng, shape):
    """An image is normalised channel by channel."""
    net = Network(Normalize(), input_shape=shape)
    params = exact.asarray(net.init(rng))
    seen = InputStatistics(net, exact)
    x = 5 + 3 * rng.standard_normal((2_000, *shape))

    seen.observe(params, x)
    y = exact.to_host(Pass(net, exact, 2_000).forward(params, x)).reshape(-1, shape[-1])

    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-5)


def test_statistics_are_no_parameters_and_gradients_pass_them_by(check_gradient, rng):
    net = Network(Normalize(), Dense(4), LayerNorm(), Dense(2), input_shape=(3,))
    assert net.n_params == net.n_trainable + 6

    check_gradient(net, rng.standard_normal((5, 3)))


def test_a_constant_feature_becomes_0_and_a_first_row_stays_finite(backend):
    net = Network(Normalize(), input_shape=(2,))
    params = backend.asarray(net.init(np.random.default_rng(0)))
    seen = InputStatistics(net, backend)
    x = np.full((4, 2), 7, np.float32)

    for rows in (x[:1], x):
        seen.observe(params, rows)
        y = backend.to_host(Pass(net, backend, len(rows)).forward(params, rows))
        np.testing.assert_array_equal(y, np.zeros_like(rows))


def test_one_wild_number_does_not_hide_a_feature_for_ever(rng):
    """1e25 is a finite float32; its square is none."""
    moments = RunningMoments(2)
    moments.merge(rng.standard_normal((1_000, 2)))
    wild = rng.standard_normal((1_000, 2))
    wild[7, 0] = 1e25

    moments.merge(wild)
    assert moments.variance[0] < 1e6
    for _ in range(100):
        moments.merge(rng.standard_normal((10_000, 2)))

    np.testing.assert_allclose(moments.variance, 1, rtol=1.1)
    np.testing.assert_allclose(moments.mean, 0, atol=0.01)


def test_a_feature_that_grows_for_good_is_followed(rng):
    moments = RunningMoments(1)
    moments.merge(rng.standard_normal((10_000, 1)))

    for _ in range(100):
        moments.merge(1e9 + 1e8 * rng.standard_normal((1_000, 1)))

    np.testing.assert_allclose(moments.mean, 1e9, rtol=0.2)


@pytest.mark.parametrize("where", [0, 500])
def test_finite_inputs_leave_finite_and_the_others_stay_alive(backend, rng, where):
    """One 1e25 among the first rows or later ones."""
    net = Network(Normalize(), input_shape=(2,))
    params, seen = backend.asarray(net.init(rng)), InputStatistics(net, backend)
    x = rng.standard_normal((1_000, 2)).astype(np.float32)
    x[where, 0] = 1e25
    for part in np.split(x, 10):
        seen.observe(params, part)

    y = backend.to_host(Pass(net, backend, 1_000).forward(params, x))

    assert np.isfinite(backend.to_host(params)).all()
    assert np.isfinite(y).all()
    assert np.delete(y[:, 0], where).std() > 0.01


def test_the_largest_numbers_of_all_are_served_finite(backend, rng):
    net = Network(Normalize(), Dense(3), input_shape=(2,))
    params, seen = backend.asarray(net.init(rng)), InputStatistics(net, backend)
    x = (3.4e38 * np.sign(rng.standard_normal((100, 2)))).astype(np.float32)
    for _ in range(20):
        seen.observe(params, x)

    y = backend.to_host(Pass(net, backend, 100).forward(params, x))

    assert np.isfinite(backend.to_host(params)).all()
    assert np.isfinite(y).all()


def test_a_batch_that_overflows_leaves_the_running_statistics(backend, rng):
    """The step is skipped; what it would have left behind must not be there either."""
    net = Network(BatchNorm(), input_shape=(2,))
    params = backend.asarray(net.init(rng))
    run = Pass(net, backend, 4, training=True)
    x = rng.standard_normal((4, 2)).astype(np.float32)
    x[:, 1] = [3e38, -3e38, 3e38, -3e38]

    with np.errstate(over="ignore", invalid="ignore"):
        run.forward(params, x)

    kept = backend.to_host(params)[net.n_trainable :]
    np.testing.assert_array_equal(kept[[1, 3]], [0, 1])
    np.testing.assert_allclose(kept[0], 0.1 * x[:, 0].mean(), rtol=1e-5)


def test_resumes_bit_for_bit(backend, rng):
    net = Network(Flatten(), Normalize(), Dense(2), input_shape=(2, 2))
    x = rng.standard_normal((3, 10, 2, 2)).astype(np.float32)
    whole, rest = InputStatistics(net, backend), InputStatistics(net, backend)
    params, other = (backend.asarray(net.init(np.random.default_rng(0))) for _ in range(2))
    for part in x[:2]:
        whole.observe(params, part)

    rest.set_state(*whole.get_state())
    whole.observe(params, x[2])
    rest.observe(other, x[2])

    assert backend.to_host(params).tobytes() == backend.to_host(other).tobytes()
    np.testing.assert_allclose(
        backend.to_host(params)[net.n_trainable :][:4],
        x.reshape(-1, 4).mean(axis=0), rtol=1e-5, atol=1e-7,
    )  # fmt: skip


def test_a_network_without_the_layer_keeps_nothing(backend):
    net = Network(Dense(2), input_shape=(3,))
    seen = InputStatistics(net, backend)

    seen.observe(backend.zeros((net.n_params,)), np.ones((1, 3), np.float32))

    assert not seen
    assert seen.get_state() == ({}, {})
    seen.set_state({}, {})


@pytest.mark.parametrize("before", [(Dense(3), Relu()), (Normalize(),)])
def test_it_comes_before_every_trained_layer(before):
    with pytest.raises(ModelError, match="comes first"):
        Network(*before, Normalize(), input_shape=(3,))
    with pytest.raises(ModelError, match="comes first"):
        Network(Conv2d(2), Normalize(), input_shape=(3, 3, 1))


def test_training_from_data_refuses_the_layer():
    with pytest.raises(ModelError, match="normalises the data itself"):
        Trainer(Network(Normalize(), Dense(2), input_shape=(3,)))
    with pytest.raises(ModelError, match="normalize"):
        refuse_normalize(Network(Flatten(), Normalize(), Dense(2), input_shape=(3,)))
    refuse_normalize(Network(LayerNorm(), input_shape=(3,)))
