"""Implicit quantiles: the paper's equations written out, gradients by differences, fixed places."""

import math

import numpy as np
import pytest

from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import Dense, Dueling, Expectation, LayerNorm, NoisyDense, Relu, Tanh
from agentd.engine.layers.implicit import ImplicitQuantiles, middles
from agentd.engine.network import Network, Pass
from agentd.engine.network.spec import ModelSpec, build_network

TRUNK = (Dense(5), Tanh())


def implicit(*layers, samples=3, **options):
    return Network(*TRUNK, ImplicitQuantiles(samples, layers, **options), input_shape=(4,))


def by_equation(network, params, x, tau):
    """Equation 4 of arXiv:1806.06923 and f(ψ * φ) with f two dense layers, number by number."""
    at = {slot.name: params[slot.offset : slot.end].reshape(slot.shape) for slot in network.slots}
    psi = np.tanh(x @ at["0.dense.w"] + at["0.dense.b"])
    w, b = at["2.implicit_quantiles.cos.w"], at["2.implicit_quantiles.cos.b"]
    rows = []
    for row, fractions in zip(psi, tau, strict=True):
        for fraction in fractions:
            phi = [
                max(
                    0.0,
                    b[j] + sum(math.cos(math.pi * i * fraction) * w[i, j] for i in range(len(w))),
                )
                for j in range(len(b))
            ]
            hidden = row * phi
            hidden = (
                hidden @ at["2.implicit_quantiles.0.dense.w"] + at["2.implicit_quantiles.0.dense.b"]
            )
            hidden = np.maximum(hidden, 0)
            rows += list(
                hidden @ at["2.implicit_quantiles.2.dense.w"] + at["2.implicit_quantiles.2.dense.b"]
            )
    return np.reshape(rows, (len(x), -1))


@pytest.mark.parametrize("drawn", [True, False])
def test_the_outputs_are_the_papers_equations(exact, rng, drawn):
    network = implicit(Dense(6), Relu(), Dense(2), cosines=7)
    params = exact.asarray(network.init(rng).astype(np.float64))
    x = rng.standard_normal((4, 4))
    run = Pass(network, exact, 4, seed=5, noisy=drawn)

    y = exact.to_host(run.forward(params, x)).copy()

    tau = exact.to_host(run.fractions) if drawn else np.tile(middles(3), (4, 1))
    np.testing.assert_allclose(y, by_equation(network, params, x, tau), rtol=1e-9)
    assert (run.fractions is None) == (not drawn)
    if drawn:
        assert len(np.unique(tau)) == 12
        again = exact.to_host(run.forward(params, x)).copy()
        assert (again != y).any()  # drawn anew


@pytest.mark.parametrize(
    "layers",
    [(Dense(2),), (Dense(6), LayerNorm(), Relu(), Dense(2)), (NoisyDense(6), Relu(), Dueling(3))],
    ids=["head", "hidden", "noisy dueling"],
)
@pytest.mark.parametrize("trunk", [True, False])
def test_the_gradient_is_the_slope(check_gradient, rng, layers, trunk):
    last = ImplicitQuantiles(3, layers, cosines=5)
    network = Network(*TRUNK * trunk, last, input_shape=(4,))
    actions = network.output_shape[0] // 3
    mask = None
    if isinstance(layers[-1], Dueling):
        mask = np.tile((rng.random((6, actions)) < 0.5) | (np.arange(actions) == 0), (1, 3))
    check_gradient(network, rng.standard_normal((6, 4)), mask=mask)


def test_a_pass_replays_its_fractions_from_its_state(exact, rng):
    network = implicit(Dense(2))
    params, x = exact.asarray(network.init(rng)), rng.standard_normal((2, 4))
    one, other = (Pass(network, exact, 2, seed=s, noisy=True) for s in (3, 99))
    one.forward(params, x)
    other.set_state(one.get_state())

    first, second = (exact.to_host(run.forward(params, x)).copy() for run in (one, other))

    np.testing.assert_array_equal(first, second)


def test_fractions_that_are_fixed_stay_so_with_noise_and_train_nothing(exact, rng):
    network = implicit(Dense(2), fixed=True)
    params, x = exact.asarray(network.init(rng)), rng.standard_normal((2, 4))
    run = Pass(network, exact, 2, training=True)
    first = exact.to_host(run.forward(params, x)).copy()

    np.testing.assert_array_equal(exact.to_host(run.forward(params, x)), first)
    np.testing.assert_array_equal(exact.to_host(Pass(network, exact, 2).forward(params, x)), first)
    with pytest.raises(ModelError, match="expected drawn fractions"):
        run.backward(exact.zeros((network.n_params,)), np.zeros((2, 6)))


@pytest.mark.parametrize(
    ("layers", "inside"),
    [
        ((), 1),
        ((Dense(8), Relu()), 1),
        ((Dense(8), Relu(), Dense(9), LayerNorm(), Relu()), 4),
        ((Dense(8), Relu(), Dense(9), Relu(), Dense(7), Relu()), 3),
    ],
)
def test_the_last_hidden_layer_lies_behind_the_fractions(layers, inside):
    wrapped = ImplicitQuantiles(3)
    network = build_network(ModelSpec(layers=layers), (4,), 2, wrapped=wrapped)
    acting = build_network(
        ModelSpec(layers=layers), (4,), 2, wrapped=ImplicitQuantiles(32, fixed=True),
        tail=(Expectation(32),),
    )  # fmt: skip

    assert len(network.specs[-1].layers) == inside
    assert network.output_shape == (6,)
    assert acting.output_shape == (2,)
    assert [s.shape for s in acting.slots] == [s.shape for s in network.slots]


def test_what_does_not_fit_is_refused(exact):
    with pytest.raises(ModelError, match="put `flatten` before it"):
        Network(ImplicitQuantiles(3, (Dense(2),)), input_shape=(4, 4, 1))
    x, phi, y = (exact.zeros(s) for s in ((2, 3), (4, 3), (6, 3)))
    with pytest.raises(ShapeError, match="phi"):
        exact.modulate(x, phi, y)
    with pytest.raises(ShapeError, match="cosines"):
        exact.cosines(exact.zeros((2, 3)), exact.zeros((5, 7)))
    with pytest.raises(ShapeError, match="tau"):
        exact.quantile_huber(*(exact.zeros(s) for s in ((2, 3), (2, 4))), None, 1.0,
                             *(exact.zeros(s) for s in ((2, 3), (2,), (2, 4))))  # fmt: skip
