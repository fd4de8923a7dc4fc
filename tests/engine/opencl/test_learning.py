"""Whole learners on the device: the same parameters as on the CPU after many updates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from agentd.engine.data import Dataset
from agentd.engine.devices import DeviceNameError, make_backend
from agentd.engine.layers import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Dueling,
    Flatten,
    LayerNorm,
    MaxPool2d,
    NoisyDense,
    Normalize,
    Relu,
    Tanh,
)
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig, TargetConfig
from agentd.engine.learners.heads import CategoricalConfig, QuantileConfig
from agentd.engine.learners.implicit_head import ImplicitConfig
from agentd.engine.learners.pqn import PqnConfig, PqnLearner
from agentd.engine.learners.stream_q import StreamQConfig, StreamQLearner
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.demonstrations import DemonstrationConfig
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.rows import FIRST, TERMINATED
from agentd.engine.training import Trainer

pytestmark = pytest.mark.opencl

UPDATES = 50


def fill(ring: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    last = TERMINATED
    for _ in range(200):
        kind = FIRST if last >= TERMINATED else int(rng.choice([1, 1, 1, 2, 3]))
        obs, mask = rng.standard_normal(ring.rows.format.features), [1, 1, rng.integers(2)]
        ring.add(0, kind, obs=obs, reward=rng.normal(), action=int(rng.integers(2)), mask=mask)
        last = kind
    return ring


@pytest.mark.parametrize("head", [Dense(3), Dueling((3,))], ids=["plain", "dueling"])
@pytest.mark.parametrize("soft", [True, False])
def test_a_dqn_learner_takes_the_same_steps(
    opencl: Any, make_ring: Callable[..., Any], head: Any, soft: bool
) -> None:
    ring = fill(make_ring(256, 4, (3,)))
    follow = {"target": TargetConfig(tau=0.05)} if soft else {"target": TargetConfig(every=10)}
    config = DqnConfig(batch=33, n_step=3, clip_norm=1.0, **follow)
    network = Network(Dense(65), Relu(), Dense(16), Tanh(), head, input_shape=(4,))
    learners = []
    for backend in (NumPyBackend(), opencl):
        rule = make_optimizer(OptimizerSpec(lr=1e-3), backend, network.n_trainable)
        learners.append(DqnLearner(network, backend, rule, ring.rows.format, config, seed=3))

    for learner in learners:
        for _ in range(UPDATES):
            learner.update(ring.rows, 0, ring.head)

    host, device = (learner.get_state()[0] for learner in learners)
    assert host.keys() == device.keys()
    np.testing.assert_allclose(device["params"], host["params"], rtol=1e-3, atol=2e-4)
    for name in ("loss", "grad_norm", "updates"):
        assert learners[1].stats[name] == pytest.approx(learners[0].stats[name], rel=1e-2)


C51 = {"distribution": "categorical", "categorical": CategoricalConfig(atoms=7, low=-4.0, high=4.0)}
QR = {"distribution": "quantile", "quantile": QuantileConfig(atoms=5)}


IQN = {"distribution": "implicit", "implicit": ImplicitConfig(samples=5, targets=3, choices=4)}
SOFT = {"munchausen": True}


@pytest.mark.parametrize(
    ("distribution", "noisy"),
    [
        *(({}, True), (C51, False), (QR, True), (IQN, True)),
        *((SOFT, False), (SOFT | C51, True), (SOFT | QR, False), (SOFT | IQN, False)),
    ],
    ids=[f"{soft}{kind}" for soft in ("", "soft ") for kind in ("values", "c51", "qr", "iqn")],
)
def test_prioritised_noisy_distributions_take_the_same_steps(
    opencl: Any, make_ring: Callable[..., Any], distribution: Any, noisy: bool
) -> None:
    ring = fill(make_ring(256, 4, (3,)))
    config = DqnConfig(
        batch=33,
        **distribution,
        prioritized=True,
        priority=PriorityConfig(beta_steps=20),
    )
    meaning = config.head()
    atoms = meaning.columns
    head = Dueling((3,), atoms=atoms, sigma=0.5) if noisy else Dense(3 * atoms)
    if (wrapped := meaning.wrapped(acting=False)) is not None:
        head = replace(wrapped, layers=(Dense(8), Relu(), head))
    network = Network(NoisyDense(16) if noisy else Dense(16), Tanh(), head, input_shape=(4,))
    learners = []
    for backend in (NumPyBackend(), opencl):
        rule = make_optimizer(OptimizerSpec(lr=1e-3), backend, network.n_trainable)
        learners.append(DqnLearner(network, backend, rule, ring.rows.format, config, seed=3))

    for learner in learners:
        for _ in range(20):
            learner.update(ring.rows, 0, ring.head)

    host, device = (learner.get_state()[0] for learner in learners)
    assert host.keys() == device.keys()
    np.testing.assert_allclose(device["params"], host["params"], rtol=1e-3, atol=2e-4)
    priority = "replay.priority"
    np.testing.assert_allclose(device[priority], host[priority], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("distribution", [C51, QR], ids=["c51", "quantiles"])
def test_demonstrations_are_learned_alike(
    opencl: Any, make_ring: Callable[..., Any], distribution: Any
) -> None:
    ring = fill(make_ring(256, 4, (3,)))
    ring.rows.explored[:120] = 2
    config = DqnConfig(batch=33, prioritized=True, **distribution)
    network = Network(Dense(16), Tanh(), Dense(3 * config.head().atoms), input_shape=(4,))
    learners = []
    for backend in (NumPyBackend(), opencl):
        rule = make_optimizer(OptimizerSpec(lr=1e-3), backend, network.n_trainable)
        shown = DemonstrationConfig(min_rows=50)
        format = ring.rows.format
        learners.append(
            DqnLearner(network, backend, rule, format, config, seed=3, demonstrations=shown)
        )

    for learner in learners:
        for _ in range(20):
            learner.update(ring.rows, 0, ring.head)

    host, device = (learner.get_state()[0] for learner in learners)
    np.testing.assert_allclose(device["params"], host["params"], rtol=1e-3, atol=2e-4)
    assert (
        0
        < learners[1].stats["margin_loss"]
        == pytest.approx(learners[0].stats["margin_loss"], rel=1e-2)
    )


def test_a_pqn_learner_takes_the_same_steps(opencl: Any, make_ring: Callable[..., Any]) -> None:
    ring = fill(make_ring(256, 4, (3,)))
    config = PqnConfig(minibatches=3, clip_norm=1.0)
    network = Network(
        Normalize(), Dense(65), LayerNorm(), Relu(), Dense(16), Tanh(), Dense(3), input_shape=(4,)
    )
    learners = []
    for backend in (NumPyBackend(), opencl):
        rule = make_optimizer(OptimizerSpec(name="radam", lr=1e-3), backend, network.n_trainable)
        given = ring.rows.format, config, 3
        learners.append(PqnLearner(network, backend, rule, *given, window=60))

    for learner in learners:
        for update in range(UPDATES):
            learner.update(ring.rows, 0, 80 + update // 6 * 10)

    host, device = (learner.get_state()[0] for learner in learners)
    assert host.keys() == device.keys()
    np.testing.assert_allclose(device["params"], host["params"], rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(device["window.target"], host["window.target"], rtol=1e-3, atol=1e-3)


def test_a_stream_q_learner_takes_the_same_steps(
    opencl: Any, make_ring: Callable[..., Any]
) -> None:
    ring = fill(make_ring(256, 4, (3,)))
    config = StreamQConfig(lr=0.1)
    network = Network(Normalize(), Dense(17), LayerNorm(), Tanh(), Dense(3), input_shape=(4,))
    learners = [
        StreamQLearner(network, backend, ring.rows.format, config, 3, window=200)
        for backend in (NumPyBackend(), opencl)
    ]

    for learner in learners:
        for _ in range(UPDATES):
            learner.update(ring.rows, 0, ring.head)

    host, device = (learner.get_state()[0] for learner in learners)
    for name in ("params", "traces.z"):
        np.testing.assert_allclose(device[name], host[name], rtol=1e-3, atol=2e-4)


def test_convolutions_act_without_an_unfolded_input(
    opencl: Any, close: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = (Conv2d(17, padding="same"), Relu(), Conv2d(5, stride=2), Flatten(), Dense(3))
    network = Network(*layers, input_shape=(9, 8, 3))
    rng = np.random.default_rng(5)
    params, x = network.init(rng), rng.standard_normal((7, 9, 8, 3)).astype(np.float32)
    monkeypatch.setattr(type(opencl), "im2col", None)
    expected, got = (
        be.to_host(Pass(network, be, 7).forward(be.asarray(params), x))
        for be in (NumPyBackend(), opencl)
    )

    close(got, expected)


@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [*((rule, None) for rule in ("sgd", "adam", "rmsprop", "radam")), ("adam", "edl_digamma")],
)
def test_supervised_training_gives_the_same_epochs(
    opencl: Any, optimizer: str, loss: str | None
) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 17)).astype(np.float32)
    data = Dataset(x, (x[:, :3].argmax(1)).astype(np.int32), (17,), 3)
    network = Network(Dense(33), Tanh(), Dense(3), input_shape=(17,))
    told = []
    for backend in (NumPyBackend(), opencl):
        rules: dict[str, Any] = {"optimizer": optimizer, "loss": loss}
        trainer = Trainer(network, **rules, batch=64, seed=2, backend=backend)
        reports = trainer.fit(data, epochs=3, validation=data, ahead=0)
        told.append([(r.train_loss, r.validation.loss, r.validation.accuracy) for r in reports])

    np.testing.assert_allclose(told[1], told[0], rtol=1e-3)


def test_a_learner_resumes_bit_for_bit(opencl: Any, make_ring: Callable[..., Any]) -> None:
    ring = fill(make_ring(256, 4, (3,)))
    network = Network(Dense(17), Relu(), Dense(3), input_shape=(4,))

    def make() -> DqnLearner:
        rule = make_optimizer(OptimizerSpec(lr=1e-3), opencl, network.n_trainable)
        return DqnLearner(network, opencl, rule, ring.rows.format, DqnConfig(batch=16), seed=1)

    first, second = make(), make()
    for _ in range(5):
        first.update(ring.rows, 0, ring.head)
    second.set_state(*first.get_state())
    for learner in (first, second):
        for _ in range(5):
            learner.update(ring.rows, 0, ring.head)

    arrays, again = first.get_state()[0], second.get_state()[0]
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_images_norms_and_dropout_have_the_same_gradient(
    opencl: Any, close: Callable[..., None]
) -> None:
    layers = (Conv2d(17, padding="same"), Relu(), MaxPool2d(2), BatchNorm(), Conv2d(5), Flatten())
    dense = (Dense(33), LayerNorm(), Relu(), Dropout(0.3), Dense(3))
    network = Network(*layers, *dense, input_shape=(9, 8, 2))
    rng = np.random.default_rng(5)
    params, x = network.init(rng), rng.standard_normal((7, 9, 8, 2)).astype(np.float32)
    dy = rng.standard_normal((7, 3)).astype(np.float32)
    results = []
    for backend in (NumPyBackend(), opencl):
        run = Pass(network, backend, 7, training=True, seed=2)
        p, g = backend.asarray(params), backend.zeros((network.n_params,))
        y = backend.to_host(run.forward(p, x))
        run.backward(g, dy.copy())
        results.append((y, backend.to_host(g), backend.to_host(p)))

    for got, expected, what in zip(
        results[1], results[0], ("output", "gradient", "parameters"), strict=True
    ):
        close(got, expected, what)


def test_an_unknown_device_lists_those_present(opencl: Any) -> None:
    from agentd.engine.opencl_backend.errors import UnknownDeviceError

    with pytest.raises(UnknownDeviceError, match="opencl:0"):
        make_backend("opencl:77")
    with pytest.raises(UnknownDeviceError, match="opencl:0"):
        make_backend("opencl:no such device")
    with pytest.raises(DeviceNameError, match="expected cpu, opencl"):
        make_backend("gpu")


def test_a_device_answers_to_its_number_and_its_name(opencl: Any) -> None:
    from agentd.engine.opencl_backend.devices import list_devices

    name = list_devices()[0].name.lower()

    assert make_backend("opencl:0").name == "opencl"
    assert make_backend(f"opencl:{name}").name == "opencl"
