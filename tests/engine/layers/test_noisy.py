"""Noisy layers: their gradient, their noise, and where it is still."""

import numpy as np
import pytest

from agentd.engine.layers import Dense, Dueling, NoisyDense, Relu, Scale, Tanh
from agentd.engine.layers.noisy import factor_noise
from agentd.engine.network import Network, Pass


def noisy(*layers, features=3):
    return Network(*layers, input_shape=(features,))


@pytest.mark.parametrize(
    "layers",
    [
        (NoisyDense(4), Tanh(), NoisyDense(2)),
        (NoisyDense(3), Relu(), Dueling((2, 3), sigma=0.5)),
        (Dense(3), Tanh(), Dueling(2, atoms=3, sigma=0.5)),
        (Scale(0.5), Dense(3), Scale(2.0), Tanh(), NoisyDense(2)),
    ],
)
def test_gradients(check_gradient, rng, layers):
    check_gradient(noisy(*layers), rng.standard_normal((5, 3)))


def test_a_masked_dueling_head_of_distributions_has_the_masked_gradient(check_gradient, rng):
    mask = np.tile(np.array([[1, 0, 1], [1, 1, 0]], np.uint8), (1, 4))

    check_gradient(noisy(Dense(3), Dueling(3, atoms=4)), rng.standard_normal((2, 3)), mask=mask)


def test_weights_are_mu_plus_sigma_times_the_outer_product_of_the_factors(exact, rng):
    net = noisy(NoisyDense(2))
    params = exact.asarray(net.init(rng).astype(np.float64))
    run, x = Pass(net, exact, 4, seed=5, noisy=True), rng.standard_normal((4, 3))

    y = exact.to_host(run.forward(params, x))

    key = _key_of(5, 1)
    noise = factor_noise(key, 3 + 2)
    mu, sigma = np.asarray(params).reshape(2, 4, 2)
    matrix = mu + sigma * np.outer(np.append(noise[:3], 1.0), noise[3:])
    np.testing.assert_allclose(y, x @ matrix[:3] + matrix[3], rtol=1e-12)
    np.testing.assert_allclose(sigma, 0.5 / np.sqrt(3), rtol=1e-6)


def _key_of(seed, calls):
    from agentd.engine.layers.recording import Calls

    return Calls(seed, calls).key(0)


def test_noise_is_that_of_the_paper():
    noise = factor_noise(7, 100_000)

    assert abs(noise.mean()) < 0.01
    assert np.mean(noise**2) == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)  # E|g|, as f² = |g|
    assert np.mean(noise**4) == pytest.approx(1.0, rel=0.02)  # E g²


def test_noise_differs_by_call_and_seed_and_can_be_replayed(backend, rng):
    net = noisy(NoisyDense(4), Relu(), NoisyDense(2))
    params = backend.asarray(net.init(rng))
    run, x = Pass(net, backend, 2, seed=1, noisy=True), np.ones((2, 3), np.float32)
    state = run.get_state()

    first, second = (backend.to_host(run.forward(params, x)) for _ in range(2))
    run.set_state(state)
    again = backend.to_host(run.forward(params, x))
    other = backend.to_host(Pass(net, backend, 2, seed=2, noisy=True).forward(params, x))

    assert (first == again).all()
    assert (first != second).any()
    assert (first != other).any()
    assert (first[0] == first[1]).all()  # all rows of a call share the noise


def test_a_pass_without_noise_takes_the_means(backend, rng):
    net = noisy(NoisyDense(4))
    params = net.init(rng)
    x = np.ones((1, 3), np.float32)

    y = Pass(net, backend, 1).forward(backend.asarray(params), x)

    mu = params[:16].reshape(4, 4)
    np.testing.assert_allclose(backend.to_host(y)[0], mu.sum(axis=0), rtol=1e-5)


def test_scale_makes_a_byte_a_share(backend):
    run = Pass(Network(Scale(), input_shape=(2, 1, 2)), backend, 1)

    y = run.forward(backend.zeros((0,)), np.array([[[[0, 51]], [[102, 255]]]], np.float32))

    np.testing.assert_allclose(backend.to_host(y).reshape(-1), [0, 0.2, 0.4, 1], rtol=1e-6)
