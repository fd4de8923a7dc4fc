"""The trainer: it learns, resumes bit for bit, stops when told, and refuses to diverge."""

from typing import get_args

import numpy as np
import pytest

from agentd.engine.data import DataError, Dataset, Minibatch, find_normalizer
from agentd.engine.errors import ShapeError
from agentd.engine.layers import BatchNorm, Dense, Dropout, Relu, Sigmoid, Tanh
from agentd.engine.network import Network
from agentd.engine.optim.spec import LossSpec, OptimizerName, OptimizerSpec
from agentd.engine.training import Callback, Diverged, StopSpec, Trainer

XOR = Dataset.from_arrays(
    np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0.0], [1], [1], [0]])
)
RATES = {"sgd": 1.0, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.3, "adadelta": 5.0}


def xor_net():
    return Network(Dense(8), Tanh(), Dense(1), Sigmoid(), input_shape=(2,))


def blobs(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 2)) + np.array([[0, 3], [3, -2], [-3, -2]])[y]
    return Dataset.from_arrays(x.astype(np.float32), y)


def make(seed=1, **options):
    net = Network(Dense(16), Relu(), Dense(3), input_shape=(2,))
    return Trainer(net, optimizer=OptimizerSpec(lr=1e-2), batch=16, seed=seed, **options)


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_solves_xor(name):
    rule = OptimizerSpec(name=name, lr=RATES.get(name, 0.02))
    trainer = Trainer(
        xor_net(), loss="squared_error", optimizer=rule, batch=4, is_class=False, seed=0
    )

    trainer.fit(XOR, epochs=3000, stop=StopSpec(target_loss=0.002), ahead=0)

    assert (np.round(trainer.predict(XOR.inputs)) == XOR.targets).all()
    assert trainer.evaluate(XOR).rmse < 0.1


def test_classes_are_learned_and_measured():
    data = blobs()
    trainer = make(normalizer=find_normalizer(data, "standard"))

    reports = trainer.fit(data, epochs=5, validation=blobs(seed=9))

    found = trainer.evaluate(blobs(seed=9))
    assert found.accuracy > 0.97
    assert found.confusion.sum() == found.rows == 300
    assert np.trace(found.confusion) / 300 == found.accuracy
    assert reports[-1].validation.loss == found.loss
    assert reports[-1].train_loss < reports[0].train_loss


@pytest.mark.parametrize(
    "loss",
    [
        LossSpec(name="squared_error"),
        LossSpec(name="huber"),
        LossSpec(name="binary_cross_entropy"),
        LossSpec(name="soft_cross_entropy"),
        LossSpec(name="softmax_cross_entropy", smoothing=0.1, class_weights=(1, 2, 0.5)),
    ],
    ids=lambda loss: loss.name,
)
def test_losses_on_numbers_take_classes_too(loss):
    trainer = make(loss=loss)

    trainer.fit(blobs(), epochs=5)

    assert trainer.evaluate(blobs(seed=9)).accuracy > 0.9


@pytest.mark.parametrize("stop_at", [1, 7, 19, 20, 33])
def test_resume_at_any_step_is_bit_equal(stop_at):
    class StopAt(Callback):
        def on_step(self, trainer):
            if trainer.steps == stop_at:
                trainer.stop("here")

    data, held = blobs(), blobs(seed=9)
    whole = make()
    curve = [r.record() for r in whole.fit(data, epochs=4, validation=held)]

    first = make()
    before = [r.record() for r in first.fit(data, epochs=4, validation=held, callbacks=[StopAt()])]
    assert first.steps == stop_at
    second = make()
    second.set_state(*first.get_state())
    after = [r.record() for r in second.fit(data, epochs=4, validation=held)]

    assert before + after == curve
    assert (second.weights == whole.weights).all()
    a, b = whole.get_state(), second.get_state()
    assert a[1] == b[1]
    assert all((a[0][key] == b[0][key]).all() for key in a[0])


def test_resume_replays_dropout_and_running_statistics():
    def trainer():
        net = Network(Dense(16), BatchNorm(), Relu(), Dropout(0.3), Dense(3), input_shape=(2,))
        return Trainer(net, optimizer=OptimizerSpec(lr=1e-2), batch=16, seed=1)

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(blobs(), epochs=4)
    first.fit(blobs(), epochs=4, stop=StopSpec(max_steps=23))
    second.set_state(*first.get_state())
    second.fit(blobs(), epochs=4)

    assert (second.weights == whole.weights).all()
    assert whole.evaluate(blobs(seed=9)).accuracy > 0.95


def test_the_same_seed_gives_the_same_weights_with_and_without_a_thread():
    weights = []
    for ahead, seed in ((0, 1), (2, 1), (2, 2)):
        trainer = make(seed)
        trainer.fit(blobs(), epochs=2, ahead=ahead)
        weights.append(trainer.weights)

    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_stops():
    data = blobs()
    steps = make()
    steps.fit(data, epochs=9, stop=StopSpec(max_steps=5))
    assert (steps.steps, steps.stopped) == (5, "5 steps are done")

    accuracy = make()
    accuracy.fit(data, epochs=99, stop=StopSpec(target_accuracy=0.9))
    assert accuracy.epoch < 20
    assert "accuracy reached" in accuracy.stopped

    stuck = Trainer(
        Network(Dense(3), input_shape=(2,)), optimizer=OptimizerSpec(name="sgd", lr=1e-12), batch=64
    )
    stuck.fit(data, epochs=99, validation=data, stop=StopSpec(patience=3, min_delta=1e-3))
    assert stuck.epoch == 4
    assert stuck.stopped == "no better result in 3 epochs"


def test_callbacks_hear_everything_in_order():
    heard = []

    class Listen(Callback):
        def on_start(self, trainer):
            heard.append("start")

        def on_step(self, trainer):
            heard.append(trainer.position)

        def on_epoch(self, trainer, report):
            heard.append(report.epoch)

        def on_end(self, trainer):
            heard.append("end")

    Trainer(xor_net(), loss="squared_error", batch=2, is_class=False).fit(
        XOR, epochs=2, callbacks=[Listen()]
    )
    assert heard == ["start", 1, 2, 1, 1, 2, 2, "end"]


def test_best_is_the_epoch_with_the_best_judgement():
    best = []

    class Keep(Callback):
        def on_epoch(self, trainer, report):
            if trainer.is_best:
                best.append((report.judged[1], -report.judged[0]))

    make().fit(blobs(), epochs=6, validation=blobs(seed=9), callbacks=[Keep()])

    assert best
    assert best == sorted(best)


def test_divergence_stops_with_finite_weights():
    data = Dataset.from_arrays(np.full((64, 2), 1e30, np.float32), np.zeros((64, 1)) + 1e30)
    trainer = Trainer(
        Network(Dense(1), input_shape=(2,)), loss="squared_error", batch=2, is_class=False
    )

    with pytest.raises(Diverged, match="10 steps in a row"):
        trainer.fit(data, epochs=1)
    assert np.isfinite(trainer.weights).all()


def test_a_loop_of_ones_own():
    trainer = Trainer(xor_net(), loss="squared_error", optimizer="adam", batch=4, is_class=False)
    losses = [trainer.step(Minibatch(XOR.inputs, XOR.targets)) for _ in range(300)]

    assert losses[-1] < losses[0]


def test_a_prefetch_fault_surfaces_in_fit():
    data = blobs()
    broken = Dataset(data.inputs, data.targets, (2,), 3, index=np.array([0, 10_000]))

    with pytest.raises(IndexError):
        make().fit(broken, epochs=1)


def test_data_and_batches_of_another_shape_are_named():
    trainer = make()
    wide = Dataset.from_arrays(np.zeros((4, 3), np.float32), np.arange(4) % 3)
    many = Dataset.from_arrays(np.zeros((4, 2), np.float32), np.arange(4))

    for data in (wide, many):
        with pytest.raises(DataError, match="expected 2 inputs and 3 outputs"):
            trainer.fit(data, epochs=1)
        with pytest.raises(DataError, match="expected 2 inputs and 3 outputs"):
            trainer.evaluate(data)
    with pytest.raises(ShapeError, match="batch inputs"):
        trainer.step(Minibatch(wide.inputs, wide.targets))
    with pytest.raises(ShapeError):
        trainer.step(Minibatch(np.zeros((4, 2), np.float32), np.zeros((4, 2), np.float32)))
    with pytest.raises(ShapeError, match="inputs"):
        trainer.predict(wide.inputs)
