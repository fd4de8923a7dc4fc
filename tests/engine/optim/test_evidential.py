"""Evidential losses: published values, Γ functions, gradients in float64, the weight of KL."""

from math import lgamma

import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.numpy_backend.gamma import gammas
from agentd.engine.optim.losses import LossArrays, bind_loss
from agentd.engine.optim.spec import EVIDENTIAL, LossSpec

FORMS = ("log", "digamma", "squared")
EULER = 0.5772156649015329


def dirichlet(be, form, alpha, label, pull):
    """Return each row's loss and the gradient by its evidence."""
    held = be.zeros((len(alpha),), "int32")
    be.write(held, np.array(label))
    dy, loss = be.zeros(alpha.shape), be.zeros((len(alpha),))
    evidence, share = be.asarray(alpha - 1), be.asarray(np.array([float(pull)]))
    be.dirichlet_loss(form, evidence, held, None, share, dy, loss)()
    return be.to_host(loss), be.to_host(dy)


@pytest.mark.parametrize("precise", [True, False])
def test_check_values(exact, backend, precise):
    be = exact if precise else backend
    none = np.ones((1, 10))
    strong = none.copy()
    strong[0, 0] = 21

    found = {f: dirichlet(be, f, np.concatenate([none, strong]), [0, 0], 0)[0] for f in FORMS}
    wrong = dirichlet(be, "squared", strong, [1], 0)[0][0]
    kl = dirichlet(be, "squared", np.concatenate([none, strong]), [0, 1], 1)[0]

    np.testing.assert_allclose(found["log"], [2.302585, 0.356675], atol=1e-5)
    np.testing.assert_allclose(found["digamma"], [2.828968, 0.363914], atol=1e-5)
    np.testing.assert_allclose(found["squared"], [0.981818, 0.116129], atol=1e-5)
    np.testing.assert_allclose(wrong, 1.449462, atol=1e-5)
    np.testing.assert_allclose(kl, [0.981818, 1.449462 + 8.841312], atol=1e-5)


@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-13), (np.float32, 1e-6)])
def test_gamma_functions(dtype, close):
    x = np.array([0.02, 0.5, 1, 1.5, 2, 3.99, 4, 9.99, 10, 11, 100, 2e4, 2e5], dtype)

    found, above = gammas(x), gammas(x + 1)

    exact = np.array([lgamma(value) for value in x.astype(float)])
    assert found.digamma.dtype == dtype
    assert (np.abs(found.log_gamma - exact) <= close * np.maximum(1, np.abs(exact))).all()
    assert abs(found.digamma[2] + EULER) < close
    assert abs(found.trigamma[2] - np.pi**2 / 6) < close * 2
    few = slice(0, 11)  # for large x the recurrences' terms vanish beside the functions
    up = above.digamma - found.digamma
    np.testing.assert_allclose(up[few], 1 / x[few], rtol=1e-4, atol=close)
    down = found.trigamma - above.trigamma
    np.testing.assert_allclose(down[few], 1 / x[few] ** 2, rtol=1e-4, atol=close)
    assert np.isnan(gammas(np.array([0, -1.5, np.nan], dtype)).digamma).all()


def test_mass_is_made_of_its_parts():
    x = np.array([0.3, 1, 2.5, 9, 10, 30, 400])

    found = gammas(x)

    np.testing.assert_allclose(
        found.mass, found.log_gamma - (x - 1) * found.digamma + x, rtol=1e-11
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_gradients_by_evidence(exact, slope, rng, form, scale):
    alpha = 1 + np.exp(scale * rng.standard_normal((4, 5)))
    label = np.array([0, 4, 2, 2])

    _, dy = dirichlet(exact, form, alpha, label, 0.7)

    expected = slope(lambda a: float(dirichlet(exact, form, a, label, 0.7)[0].mean()), alpha)
    np.testing.assert_allclose(dy, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("evidence", ["exp", "softplus", "relu"])
@pytest.mark.parametrize("name", EVIDENTIAL)
def test_gradients_by_outputs(exact, slope, rng, name, evidence):
    y, label = 2 * rng.standard_normal((3, 4)), np.array([3, 0, 1])
    y[0, 0] = 12.0  # beyond exp's clip
    spec = LossSpec(name=name, evidence=evidence, kl_weight=0.4, class_weights=(1, 2, 0.5, 1))
    share = np.array([1, 1, 2])

    def run(z, weight):
        dy, loss, held = exact.zeros(z.shape), exact.zeros((3,)), exact.zeros((3,), "int32")
        exact.write(held, label)
        bind_loss(spec, exact, LossArrays(y=z, target=held, dy=dy, loss=loss, weight=weight))()
        return loss, dy

    _, dy = run(y, None)

    expected = slope(lambda z: float((run(z, None)[0] * share).mean()), y)
    np.testing.assert_allclose(dy, expected, rtol=1e-5, atol=1e-8)
    assert np.allclose(run(y, np.array([2.0, 2, 2]))[1], 2 * dy)


def test_large_evidence_keeps_its_digits(backend, exact):
    alpha = np.array([[2e4, 2e4, 3.0], [1.0, 2e4, 1.0]])

    for form in FORMS:
        loss, dy = dirichlet(backend, form, alpha, [2, 1], 1)
        wanted, slope = dirichlet(exact, form, alpha, [2, 1], 1)
        np.testing.assert_allclose(loss, wanted, rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(dy, slope, rtol=1e-3, atol=1e-8)


def test_the_divergence_rises_to_its_share():
    spec = LossSpec(name="edl_log", kl_weight=0.5, kl_epochs=4)

    assert [spec.pull(epoch) for epoch in (0, 1, 2, 4, 9)] == [0, 0.125, 0.25, 0.5, 0.5]


def test_shapes_and_options_are_named(exact):
    e, pull = exact.zeros((2, 3)), exact.zeros((1,))
    with pytest.raises(ShapeError, match="dirichlet_loss label"):
        exact.dirichlet_loss("log", e, exact.zeros((3,), "int32"), None, pull, e, e[:, 0])
    with pytest.raises(ValueError, match="huber has no `kl_weight`; edl_log, edl_digamma"):
        LossSpec(name="huber", kl_weight=0.5)
