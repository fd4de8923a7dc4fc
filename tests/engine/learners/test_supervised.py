"""The supervised learner: its step is the loss's gradient, it resumes exactly, and it learns."""

import json
from math import lgamma

import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.layers import Dense, Reshape, Tanh
from agentd.engine.learners.supervised import SupervisedConfig, SupervisedLearner, TeachRows
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend.gamma import gammas
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.rows import NoValidStart, RowFormat, TensorFormat
from agentd.engine.replay.sampling import sampler_rng

SGD = OptimizerSpec(name="sgd", lr=1e-3)
ADAM = OptimizerSpec(name="adam", lr=1e-2)


def make_rows(n=64, features=3, outputs=4, target="class", seed=0):
    rng = np.random.default_rng(seed)
    row = RowFormat((TensorFormat("x", np.dtype("<f4"), (features,), 0, 4 * features),), (outputs,))
    x = rng.standard_normal((n, features)).astype(np.float32)
    if target == "class":
        y = rng.integers(0, outputs, (n, 1)).astype(np.int32)
    else:
        y = (2 * rng.standard_normal((n, outputs))).astype(np.float32)
    return TeachRows(row, x.view(np.uint8), y, rng.random(n).astype(np.float32) + 0.5)


def make_learner(backend, network, rows, config, seed=0, optimizer=ADAM, loss="mse"):
    rule = make_optimizer(optimizer, backend, network.n_trainable)
    return SupervisedLearner(network, backend, rule, rows.format, config, seed, loss=loss)


def loss_of(y, rows, slots, target, loss):
    """Return each row's loss by the textbook."""
    is_class, target = target == "class", rows.target[slots]
    if is_class:
        log_p = y - np.log(np.exp(y).sum(1, keepdims=True))
        return -np.take_along_axis(log_p, target, 1)[:, 0]
    d = y - target
    if loss == "mse":
        return 0.5 * (d * d).sum(1)
    return np.where(abs(d) <= 1, 0.5 * d * d, abs(d) - 0.5).sum(1)


@pytest.mark.parametrize(
    ("target", "loss"),
    [("class", "huber"), ("value", "mse"), ("value", "huber")],
    ids=["class", "mse", "huber"],
)
def test_an_update_descends_the_slope_of_the_weighted_loss(exact, slope, target, loss):
    config, rows = SupervisedConfig(target=target, batch=16), make_rows(target=target)
    network = Network(Dense(5), Tanh(), Dense(4), input_shape=(3,))
    learner = make_learner(exact, network, rows, config, seed=4, optimizer=SGD, loss=loss)
    before = exact.to_host(learner.params)

    learner.update(rows, 100, 164)

    moved = (before - exact.to_host(learner.params)) / SGD.lr
    slots = ((sampler_rng(4).random(16) * 64).astype(np.int64) + 100) % 64
    x = rows.obs.view(np.float32)[slots]
    run = Pass(network, exact, 16)

    def losses(p):
        return loss_of(exact.to_host(run.forward(exact.asarray(p), x)), rows, slots, target, loss)

    expected = slope(lambda p: (rows.weight[slots] * losses(p)).mean(), before.copy())
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-7)
    assert learner.stats["loss"] == pytest.approx(losses(before).mean())


def test_learns_classes_from_bytes(backend):
    """Four classes by the brighter of four pixels."""
    rng = np.random.default_rng(0)
    row = RowFormat((TensorFormat("pixels", np.dtype("u1"), (4,), 0, 4),), (4,))
    pixels = rng.integers(0, 10, (500, 4), np.uint8)
    label = pixels.argmax(1).astype(np.int32)
    rows = TeachRows(row, pixels, label[:, None], np.ones(500, np.float32))
    network = Network(Dense(4), input_shape=(4,))
    learner = make_learner(backend, network, rows, SupervisedConfig(batch=64))

    for _ in range(400):
        learner.update(rows, 0, 500)

    assert learner.stats["accuracy"] > 0.9
    y = Pass(network, backend, 500).forward(learner.params, pixels.astype(np.float32))
    assert (backend.to_host(y).argmax(1) == label).mean() > 0.9


def test_rows_of_weight_zero_teach_nothing(backend):
    rows = make_rows(target="value")
    rows.weight[:] = 0
    network = Network(Dense(4), input_shape=(3,))
    learner = make_learner(backend, network, rows, SupervisedConfig(target="value"))
    before = backend.to_host(learner.params)

    learner.update(rows, 0, 64)

    assert (backend.to_host(learner.params) == before).all()


EVIDENTIAL = {"loss": "edl_digamma", "kl_updates": 150}


@pytest.mark.parametrize(
    ("target", "options"),
    [("class", {}), ("value", {}), ("class", EVIDENTIAL)],
    ids=["class", "value", "evidence"],
)
def test_two_hundred_updates_equal_one_hundred_resumed(backend, target, options):
    rows = make_rows(target=target)
    network = Network(Dense(8), Tanh(), Dense(4), input_shape=(3,))
    config = SupervisedConfig(target=target, batch=16, clip_norm=1.0, **options)

    def learn(learner):
        for _ in range(100):
            learner.update(rows, 0, 64)
        return learner.get_state()

    whole = make_learner(backend, network, rows, config)
    learn(whole)
    expected, numbers = learn(whole)
    arrays, scalars = learn(make_learner(backend, network, rows, config))
    rest = make_learner(backend, network, rows, config, seed=5)
    rest.set_state(arrays, json.loads(json.dumps(scalars)))

    resumed, resumed_numbers = learn(rest)

    assert resumed_numbers == numbers
    assert {k: v.tobytes() for k, v in resumed.items()} == {
        k: v.tobytes() for k, v in expected.items()
    }


def test_what_is_not_finite_is_skipped_and_counted(backend):
    rows = make_rows(target="value")
    rows.target[:] = np.inf
    network = Network(Dense(4), input_shape=(3,))
    config = SupervisedConfig(target="value")
    learner = make_learner(backend, network, rows, config, loss="huber")
    before = backend.to_host(learner.params)

    learner.update(rows, 0, 64)
    learner.update(rows, 0, 64)

    assert (learner.updates, learner.skipped_in_row, learner.stats["skipped"]) == (0, 2, 2.0)
    assert (backend.to_host(learner.params) == before).all()


def test_evidence_is_learned_and_its_divergence_weighs_more_by_and_by(exact, slope):
    rows, config = make_rows(), SupervisedConfig(batch=16, loss="edl_log", kl_updates=2)
    network = Network(Dense(4), input_shape=(3,))
    learner = make_learner(exact, network, rows, config, seed=4, optimizer=SGD)
    draw, run = sampler_rng(4), Pass(network, exact, 16)
    for updates in range(4):
        before = exact.to_host(learner.params)

        learner.update(rows, 0, 64)

        slots = (draw.random(16) * 64).astype(np.int64)
        x, label = rows.obs.view(np.float32)[slots], rows.target[slots]
        share, weight = min(1, updates / 2), rows.weight[slots]

        def losses(p, x=x, label=label, share=share, weight=weight):
            alpha = np.exp(exact.to_host(run.forward(exact.asarray(p), x))) + 1
            right = np.take_along_axis(alpha, label, 1)[:, 0]
            wrong = alpha.copy()
            np.put_along_axis(wrong, label, 1, 1)
            found = gammas(np.concatenate([wrong, wrong.sum(1, keepdims=True)], 1))
            kl = found.log_gamma[:, -1] - lgamma(4) - found.log_gamma[:, :-1].sum(1)
            down = found.digamma[:, :-1] - found.digamma[:, -1:]
            kl += ((wrong - 1) * down).sum(1)
            return (weight * (np.log(alpha.sum(1)) - np.log(right) + share * kl)).mean()

        moved = (before - exact.to_host(learner.params)) / SGD.lr
        np.testing.assert_allclose(moved, slope(losses, before.copy()), rtol=1e-5, atol=1e-8)
    assert learner.stats["accuracy"] >= 0


def test_evidence_is_for_classes():
    with pytest.raises(ValueError, match=r"edl_log.* is for target class"):
        SupervisedConfig(target="value", loss="edl_log")


def test_nothing_taught_is_a_named_error(backend):
    rows = make_rows()
    learner = make_learner(
        backend, Network(Dense(4), input_shape=(3,)), rows, SupervisedConfig(batch=8)
    )

    with pytest.raises(NoValidStart, match=r"\[5, 5\)"):
        learner.update(rows, 5, 5)


def test_an_output_that_is_no_vector_is_refused(backend):
    network = Network(Dense(4), Reshape((2, 2)), input_shape=(3,))

    with pytest.raises(ShapeError, match="supervised"):
        make_learner(backend, network, make_rows(), SupervisedConfig())
