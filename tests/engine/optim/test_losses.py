"""Losses: values by hand, gradients by central differences, masks, weights, refusals."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.optim.losses import LossArrays, bind_loss, target_kind
from agentd.engine.optim.spec import LossName, LossSpec


def run(be, spec, y, target, weight=None, mask=None):
    """Return each row's loss and the gradient."""
    kind = "int32" if target_kind(spec) == "class" else "float"
    held = be.zeros(np.shape(target), kind)
    be.write(held, np.asarray(target))
    dy, loss = be.zeros(y.shape), be.zeros((len(y),))
    arrays = LossArrays(
        y=be.asarray(y),
        target=held,
        dy=dy,
        loss=loss,
        weight=None if weight is None else be.asarray(weight),
        mask=None if mask is None else be.asarray(mask),
    )
    step = bind_loss(spec, be, arrays)
    step()
    once = dy.copy()
    step()
    np.testing.assert_array_equal(dy, once)  # a step may be replayed
    return loss, dy


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(get_args(LossName)),
    batch=st.sampled_from([1, 2, 5]),
    width=st.integers(2, 6),
    smoothing=st.sampled_from([0.0, 0.2]),
    masked=st.booleans(),
    weighted=st.booleans(),
    balanced=st.booleans(),
)
def test_gradients_match_central_differences(
    exact, slope, name, batch, width, smoothing, masked, weighted, balanced
):
    rng = np.random.default_rng(batch * 10 + width)
    softmax = name == "softmax_cross_entropy"
    options = {"smoothing": smoothing} if softmax else {}
    if target_kind(LossSpec(name=name)) == "class" and balanced:
        options["class_weights"] = tuple(rng.uniform(0.5, 2, width))
    spec = LossSpec(name=name, **options)
    y = 2 * rng.standard_normal((batch, width))
    target = {
        "numbers": rng.uniform(0, 1, (batch, width)),
        "class": rng.integers(0, width, batch),
        "distribution": rng.dirichlet(np.ones(width), batch),
    }[target_kind(spec)]
    weight = rng.uniform(0.1, 2, batch) if weighted else None
    mask = None
    if softmax and masked:
        mask = (rng.random((batch, width)) < 0.6).astype(np.uint8)
        mask[np.arange(batch), target] = 1
    scale = np.ones(batch) if weight is None else weight
    if "class_weights" in options:
        scale = scale * np.array(options["class_weights"])[target]

    _, dy = run(exact, spec, y, target, weight, mask)

    expected = slope(
        lambda z: float((run(exact, spec, z, target, None, mask)[0] * scale).mean()), y
    )
    np.testing.assert_allclose(dy, expected, rtol=1e-6, atol=1e-8)


def test_squared_error_and_huber_by_hand(exact):
    y, target = np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([[1.0, 2.0], [0.0, 0.5]])

    squared, slope = run(exact, LossSpec(), y, target)
    huber, bent = run(exact, LossSpec(name="huber", delta=1.0), y, target)

    np.testing.assert_allclose(squared, [2.5, 4.625])
    np.testing.assert_allclose(slope, [[-0.5, -1.0], [1.5, -0.25]])
    np.testing.assert_allclose(huber, [0.5 + 1.5, 2.5 + 0.125])
    np.testing.assert_allclose(bent, [[-0.5, -0.5], [0.5, -0.25]])


def test_softmax_cross_entropy_by_hand(exact):
    y = np.log(np.array([[1.0, 2.0, 5.0], [1.0, 1.0, 2.0]]))

    loss, dy = run(exact, LossSpec(name="softmax_cross_entropy"), y, [2, 0])

    np.testing.assert_allclose(loss, [-np.log(5 / 8), -np.log(1 / 4)])
    np.testing.assert_allclose(dy, np.array([[1 / 8, 2 / 8, -3 / 8], [-3 / 4, 1 / 4, 2 / 4]]) / 2)


def test_illegal_classes_have_no_probability_and_no_gradient(backend):
    y = np.array([[0.0, 1e3, 0.0]])
    spec = LossSpec(name="softmax_cross_entropy", smoothing=0.1)

    loss, dy = run(backend, spec, y, [0], mask=np.array([[1, 0, 1]], np.uint8))

    np.testing.assert_allclose(loss, [np.log(2)], rtol=1e-6)
    assert dy[0, 1] == 0
    np.testing.assert_allclose(dy.sum(), 0, atol=1e-6)


def test_losses_equal_torch(exact, rng):
    torch = pytest.importorskip("torch")
    y, label = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    share = rng.uniform(0, 1, (5, 4))
    ty, functional = torch.tensor(y), torch.nn.functional

    softmax = run(exact, LossSpec(name="softmax_cross_entropy", smoothing=0.1), y, label)[0]
    binary = run(exact, LossSpec(name="binary_cross_entropy"), y, share)[0]
    huber = run(exact, LossSpec(name="huber", delta=0.5), y, share)[0]

    theirs = functional.cross_entropy(
        ty, torch.tensor(label), reduction="none", label_smoothing=0.1
    )
    np.testing.assert_allclose(softmax, theirs, rtol=1e-12)
    theirs = functional.binary_cross_entropy_with_logits(ty, torch.tensor(share), reduction="none")
    np.testing.assert_allclose(binary, theirs.sum(1), rtol=1e-12)
    theirs = functional.huber_loss(ty, torch.tensor(share), reduction="none", delta=0.5)
    np.testing.assert_allclose(huber, theirs.sum(1), rtol=1e-12)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "binary_cross_entropy"])
def test_large_logits_stay_finite(backend, name):
    y = np.array([[1e4, -1e4]])
    target = [1] if name == "softmax_cross_entropy" else [[0.0, 1.0]]

    loss, dy = run(backend, LossSpec(name=name), y, target)

    np.testing.assert_allclose(loss, [2e4], rtol=1e-6)
    assert np.isfinite(dy).all()


def test_quantile_huber_by_its_formula(exact, rng):
    y, target = rng.standard_normal((2, 3)), 2 * rng.standard_normal((2, 5))
    kappa = 0.7

    loss, _ = run(exact, LossSpec(name="quantile_huber", delta=kappa), y, target)

    for b in range(2):
        total = 0.0
        for i in range(3):
            for j in range(5):
                u = target[b, j] - y[b, i]
                h = 0.5 * u * u if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
                total += abs((i + 0.5) / 3 - (u < 0)) * h / kappa / 5
        np.testing.assert_allclose(loss[b], total)


def test_categorical_projection_by_hand(exact):
    probability = np.array([[0.5, 0.3, 0.2], [0.25, 0.25, 0.5]])
    atoms = np.array([[-9.0, 0.25, 1.0], [0.5, 0.5, 99.0]])
    out = exact.empty((2, 3))

    exact.categorical_projection(exact.asarray(probability), exact.asarray(atoms), -1, 1, out)()

    np.testing.assert_allclose(out, [[0.5, 0.225, 0.275], [0, 0.25, 0.75]])


def test_nan_reaches_the_loss(backend):
    for name in get_args(LossName):
        target = [0] if target_kind(LossSpec(name=name)) == "class" else [[0.5, 0.5]]

        loss, _ = run(backend, LossSpec(name=name), np.array([[np.nan, 1.0]]), target)

        assert np.isnan(loss).all(), name


def test_wrong_shapes_and_options_are_named(backend):
    with pytest.raises(ShapeError, match="squared_error target"):
        run(backend, LossSpec(), np.zeros((2, 3)), np.zeros((2, 4)))
    spec = LossSpec(name="softmax_cross_entropy", class_weights=(1.0, 2.0))
    with pytest.raises(ModelError, match="expected 3 numbers, one a class, got 2"):
        run(backend, spec, np.zeros((2, 3)), [0, 1])
    with pytest.raises(ModelError, match="huber: takes no mask"):
        run(
            backend,
            LossSpec(name="huber"),
            np.zeros((1, 2)),
            np.zeros((1, 2)),
            None,
            np.ones((1, 2)),
        )
    with pytest.raises(ValueError, match="squared_error has no `delta`"):
        LossSpec(delta=3.0)
