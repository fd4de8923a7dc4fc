"""A whole training step in one launch: the same numbers as the ops one by one in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentd.engine.data import Dataset
from agentd.engine.layers import Dense, Dueling, Flatten, LayerNorm, Relu, Sigmoid, Tanh
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.supervised import SupervisedConfig, SupervisedLearner, TeachRows
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import LossSpec, OptimizerSpec
from agentd.engine.replay.rows import FIRST, TERMINATED, RowFormat, TensorFormat
from agentd.engine.training.trainer import Trainer

pytestmark = pytest.mark.opencl

SMALL = (Dense(17), Relu(), Dense(5), Tanh())
ADAM = OptimizerSpec(lr=1e-2, eps=1e-3)


def fill(ring: Any, masked: bool = False) -> Any:
    rng = np.random.default_rng(0)
    branches, last = ring.rows.format.branches, TERMINATED
    for _ in range(300):
        kind = FIRST if last >= TERMINATED else int(rng.choice([1, 1, 1, 2, 3]))
        obs = rng.standard_normal(ring.rows.format.features)
        mask = None
        if masked:
            mask = (rng.random(sum(branches)) < 0.6).astype(np.uint8)
            mask[np.cumsum((0, *branches[:-1]))] = 1  # a legal action in every branch
        action = [int(rng.integers(n)) for n in branches]
        ring.add(0, kind, obs=obs, reward=rng.normal(), action=action, mask=mask)
        last = kind
    return ring


def dqn(
    backend: Any,
    ring: Any,
    layers: Any,
    config: DqnConfig,
    rule: OptimizerSpec,
    loss: Any = "huber",
) -> DqnLearner:
    format = ring.rows.format
    net = Network(*layers, Dense(format.n_actions), input_shape=(format.features,))
    optimizer = make_optimizer(rule, backend, net.n_trainable)
    return DqnLearner(net, backend, optimizer, format, config, seed=3, loss=loss)


def is_whole(learner: Any) -> bool:
    """Whether the updates so far ran no pass: each was one call."""
    scalars = learner.get_state()[1]
    return not any(run["calls"] for run in scalars.get("passes", [scalars.get("pass")]))


Q_CASES: dict[str, tuple[tuple[int, ...], Any, dict[str, Any], OptimizerSpec]] = {
    "plain": ((3,), SMALL, {}, ADAM),
    "one row, no hidden layer": ((2,), (), {"batch": 1}, ADAM),
    "parts of a batch": ((2,), (Dense(9), Sigmoid()), {"batch": 131}, ADAM),
    "branches": ((2, 4, 1), SMALL, {"batch": 63, "double": False}, ADAM),
    "branches of one error": ((2, 4, 1), SMALL, {"batch": 63, "mean_error": True}, ADAM),
    "clipped, n steps": ((3,), SMALL, {"batch": 64, "clip_norm": 0.01, "n_step": 3}, ADAM),
    "squares, soft target": (
        (5,),
        (Flatten(), Dense(65, bias=False), Relu(), Dense(16)),
        {"batch": 65, "target": TargetConfig(tau=0.1), "clip_norm": None},
        ADAM,
    ),
    "adamw": ((3,), SMALL, {}, OptimizerSpec(name="adamw", lr=1e-2, eps=1e-3, weight_decay=0.1)),
    "radam": ((3,), SMALL, {}, OptimizerSpec(name="radam", lr=1e-2, weight_decay=0.1)),
}


@pytest.mark.parametrize("name", Q_CASES)
def test_a_q_step_equals_the_ops_one_by_one(
    opencl: Any, make_ring: Callable[..., Any], close: Callable[..., None], name: str
) -> None:
    branches, layers, changed, rule = Q_CASES[name]
    loss = "mse" if "squares" in name else "huber"
    ring = fill(make_ring(512, 7, branches), masked=len(branches) > 1)
    config = DqnConfig(**{"batch": 33, "target": TargetConfig(every=2), **changed})
    theirs, ours = (dqn(be, ring, layers, config, rule, loss) for be in (NumPyBackend(), opencl))
    for _ in range(3):
        theirs.update(ring.rows, 0, ring.head)
        ours.update(ring.rows, 0, ring.head)
        arrays, again = theirs.get_state()[0], ours.get_state()[0]
        for array in arrays:
            close(again[array], arrays[array], array)
        for figure, value in theirs.stats.items():
            assert ours.stats[figure] == pytest.approx(value, rel=1e-4, abs=1e-6), figure
    assert is_whole(ours)


def taught(features: int, outputs: int, is_class: bool) -> TeachRows:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((100, features)).astype(np.float32)
    target: Any = rng.integers(0, outputs, (100, 1)).astype(np.int32)
    if not is_class:
        target = rng.standard_normal((100, outputs)).astype(np.float32)
    tensor = TensorFormat("x", np.dtype("<f4"), (features,), 0, 4 * features)
    weight = rng.random(100).astype(np.float32)
    return TeachRows(RowFormat((tensor,), (outputs,)), x.view(np.uint8), target, weight)


def student(
    backend: Any, rows: TeachRows, layers: Any, config: SupervisedConfig, loss: Any = "mse"
) -> Any:
    format = rows.format
    net = Network(*layers, input_shape=(format.features,))
    optimizer = make_optimizer(ADAM, backend, net.n_trainable)
    return SupervisedLearner(net, backend, optimizer, format, config, seed=2, loss=loss)


@pytest.mark.parametrize("last", [(), (Tanh(),)], ids=["", "tanh"])
@pytest.mark.parametrize("batch", [1, 101])
@pytest.mark.parametrize(
    ("target", "loss"), [("class", "mse"), ("value", "mse"), ("value", "huber")]
)
def test_a_supervised_step_equals_the_ops_one_by_one(
    opencl: Any, close: Callable[..., None], target: Any, loss: Any, batch: int, last: Any
) -> None:
    rows = taught(7, 3, target == "class")
    config = SupervisedConfig(target=target, batch=batch, clip_norm=0.1)
    backends = (NumPyBackend(), opencl)
    theirs, ours = (student(be, rows, (*SMALL, Dense(3), *last), config, loss) for be in backends)
    for _ in range(3):
        theirs.update(rows, 0, 100)
        ours.update(rows, 0, 100)
        arrays, again = theirs.get_state()[0], ours.get_state()[0]
        for array in arrays:
            close(again[array], arrays[array], array)
        for figure, value in theirs.stats.items():
            assert ours.stats[figure] == pytest.approx(value, rel=1e-4, abs=1e-6), figure
    assert is_whole(ours)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_is_not_finite_leaves_everything_as_it_was(
    opencl: Any, make_ring: Callable[..., Any], bad: float
) -> None:
    ring = fill(make_ring(512, 7, (3,)))
    config = DqnConfig(batch=33, target=TargetConfig(tau=0.5))
    learner = dqn(opencl, ring, SMALL, config, ADAM)
    learner.update(ring.rows, 0, ring.head)
    before = learner.get_state()[0]
    good = ring.rows.reward.copy()
    ring.rows.reward[:] = bad
    learner.update(ring.rows, 0, ring.head)

    assert learner.skipped_in_row == 1
    assert not np.isfinite(learner.stats["loss"])
    for name, array in learner.get_state()[0].items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    ring.rows.reward[:] = good
    learner.update(ring.rows, 0, ring.head)
    assert (learner.updates, learner.skipped_in_row) == (2, 0)


@pytest.mark.parametrize("where", ["inputs", "targets"])
@pytest.mark.parametrize("target", ["class", "value"])
def test_nan_reaches_a_supervised_loss(opencl: Any, target: Any, where: str) -> None:
    rows = taught(7, 3, target == "class")
    if where == "inputs":
        rows.obs.view(np.float32)[:, 3] = np.nan
    elif target == "value":
        rows.target[:, 1] = np.nan
    else:
        rows.weight[:] = np.nan  # classes are whole numbers; the gradient is what NaN reaches
    learner = student(opencl, rows, (*SMALL, Dense(3)), SupervisedConfig(target=target))
    before = learner.get_state()[0]["params"]

    learner.update(rows, 0, 100)

    assert learner.stats["skipped"] == 1
    np.testing.assert_array_equal(learner.get_state()[0]["params"], before)


def test_a_supervised_learner_resumes_bit_for_bit(opencl: Any) -> None:
    rows = taught(7, 3, True)
    first, second = (
        student(opencl, rows, (*SMALL, Dense(3)), SupervisedConfig()) for _ in range(2)
    )
    for _ in range(3):
        first.update(rows, 0, 100)
    second.set_state(*first.get_state())
    for learner in (first, second):
        for _ in range(3):
            learner.update(rows, 0, 100)

    for name, array in first.get_state()[0].items():
        np.testing.assert_array_equal(second.get_state()[0][name], array, err_msg=name)


@pytest.mark.parametrize(
    ("layers", "rule"),
    [
        ((Dense(8), LayerNorm(), Dense(3)), ADAM),
        ((Dense(8, l2=0.1), Dense(3)), ADAM),
        ((Dense(8), Dueling(3)), ADAM),
        ((Dense(300), Dense(300), Dense(3)), ADAM),  # too large for one work-group to be fast
        ((Dense(8), Dense(3)), OptimizerSpec(name="sgd")),
        ((Dense(8), Dense(3)), OptimizerSpec(clip_norm=1.0)),
    ],
)
def test_other_networks_and_optimizers_go_op_by_op(
    opencl: Any, make_ring: Callable[..., Any], layers: Any, rule: Any
) -> None:
    ring = fill(make_ring(512, 7, (3,)))
    net = Network(*layers, input_shape=(7,))
    optimizer = make_optimizer(rule, opencl, net.n_trainable)
    format, config = ring.rows.format, DqnConfig(batch=4)
    learner = DqnLearner(net, opencl, optimizer, format, config, seed=0)

    learner.update(ring.rows, 0, ring.head)

    assert not is_whole(learner)


@pytest.mark.parametrize("how", ["-cl-opt-disable", pytest.param("-w", marks=pytest.mark.long)])
@pytest.mark.timeout(900)  # PoCL optimises groups of 256 items for minutes
def test_groups_of_many_items_take_the_same_steps(
    make_ring: Callable[..., Any],
    close: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    from agentd.engine.opencl_backend import OpenCLBackend
    from agentd.engine.opencl_backend.devices import list_devices
    from agentd.engine.opencl_backend.programs import Programs
    from agentd.engine.opencl_backend.tuning import GPU

    get = Programs.get
    monkeypatch.setattr(Programs, "get", lambda self, file, given: get(self, file, (*given, how)))
    if not list_devices():
        pytest.skip("no OpenCL platform: `pip install 'pyopencl[pocl]'` brings PoCL")
    ring, rows = fill(make_ring(512, 7, (2, 3)), masked=True), taught(7, 3, True)
    backends = NumPyBackend(), OpenCLBackend("opencl", GPU)
    config = DqnConfig(batch=33, clip_norm=0.1)
    players = [dqn(backend, ring, SMALL, config, ADAM) for backend in backends]
    students = [
        student(backend, rows, (*SMALL, Dense(3)), SupervisedConfig(batch=33))
        for backend in backends
    ]

    for learners, source, size in ((players, ring.rows, ring.head), (students, rows, 100)):
        for learner in learners:
            for _ in range(2):
                learner.update(source, 0, size)
        theirs, ours = (learner.get_state()[0] for learner in learners)
        for name, array in theirs.items():
            close(ours[name], array, name)


LOSSES = {
    "classes": (LossSpec(name="softmax_cross_entropy"), True),
    "numbers": (LossSpec(name="squared_error"), True),
    "huber": (LossSpec(name="huber", delta=0.3), True),
    "smoothed": (LossSpec(name="softmax_cross_entropy", smoothing=0.1), False),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_trainer_takes_whole_steps_where_its_loss_allows(
    opencl: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    loss, allows = LOSSES[name]
    bind, bound = opencl.fit_step, []
    monkeypatch.setattr(opencl, "fit_step", lambda *given: bound.append(bind(*given)) or bound[-1])
    rng = np.random.default_rng(4)
    x = rng.standard_normal((130, 17)).astype(np.float32)
    data = Dataset(x, (x[:, :3].argmax(1)).astype(np.int32), (17,), 3)
    network = Network(Dense(33), Tanh(), Dense(3), input_shape=(17,))
    rule = OptimizerSpec(lr=1e-2, eps=1e-3)
    figures, weights = [], []
    for backend in (NumPyBackend(), opencl):
        given = {"loss": loss, "optimizer": rule, "batch": 64, "seed": 2, "backend": backend}
        trainer = Trainer(network, **given)
        reports = trainer.fit(data, epochs=3, validation=data, ahead=0)
        figures.append([(r.train_loss, r.train_accuracy, r.validation.loss) for r in reports])
        weights.append(trainer.weights)

    assert [step is not None for step in bound] == [True, True] * allows  # of 64 rows and of 2
    np.testing.assert_allclose(figures[1], figures[0], rtol=1e-4)
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("batch", "whole"), [(32, True), (1024, False)])
def test_large_batches_go_op_by_op(opencl: Any, batch: int, whole: bool) -> None:
    rows = taught(17, 3, is_class=True)
    layers = (Dense(120), Relu(), Dense(84), Relu(), Dense(3))

    learner = student(opencl, rows, layers, SupervisedConfig(target="class", batch=batch))

    learner.update(rows, 0, 100)

    assert is_whole(learner) == whole


@pytest.mark.parametrize("masked", [False, True])
def test_a_step_with_demonstrations_is_made_op_by_op(
    opencl: Any, make_ring: Callable[..., Any], masked: bool
) -> None:
    ring = fill(make_ring(512, 4, (3,)), masked)
    config = DqnConfig(batch=32, target=TargetConfig(tau=0.1))
    learners = [dqn(backend, ring, SMALL, config, ADAM) for backend in (opencl, NumPyBackend())]
    for learner in learners:
        learner.update(ring.rows, 0, 20)
    assert is_whole(learners[0])

    ring.rows.explored[20:300] = 2  # a person took over
    for learner in learners:
        for _ in range(20):
            learner.update(ring.rows, 0, 300)
    ring.rows.explored[:] = 0  # and all of it has left the memory
    for learner in learners:
        learner.update(ring.rows, 0, 10)

    assert not is_whole(learners[0])
    found = [learner.get_state()[0]["params"] for learner in learners]
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)
    assert learners[0].stats["margin_loss"] == pytest.approx(
        learners[1].stats["margin_loss"], rel=1e-2
    )
