"""Optimizers: one table of all of them, parity with PyTorch, exact resume."""

import warnings
from typing import Any, get_args

import numpy as np
import pytest

from agentd.engine.errors import ShapeError
from agentd.engine.optim import RULES, make_optimizer
from agentd.engine.optim.schedule import make_schedule
from agentd.engine.optim.spec import OptimizerName, OptimizerSpec, ScheduleSpec

# AdaDelta's step does not shrink by itself: it circles the bottom until its rate falls.
FALLING = ScheduleSpec(name="linear", steps=20_000)

# name, options for the parabola, options for Rosenbrock's valley
TABLE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("sgd", {"lr": 0.1}, {"lr": 1e-3}),
    ("momentum", {"lr": 0.02}, {"lr": 2e-4}),
    ("nesterov", {"lr": 0.02}, {"lr": 2e-4}),
    ("rmsprop", {"lr": 0.01}, {"lr": 1e-3}),
    ("rmsprop", {"lr": 0.003, "centered": True}, {"lr": 1e-4, "centered": True}),
    ("adagrad", {"lr": 1.0}, {"lr": 0.5}),
    ("adadelta", {"rho": 0.95}, {"rho": 0.99, "schedule": FALLING}),
    ("adam", {"lr": 0.05}, {"lr": 0.01}),
    ("adamw", {"lr": 0.05}, {"lr": 0.01}),
    ("radam", {"lr": 0.05}, {"lr": 0.001}),
]
IDS = [name + ("-centered" if "centered" in options else "") for name, options, _ in TABLE]


def descend(backend, spec, p, gradient, steps):
    optimizer = make_optimizer(spec, backend, len(p))
    g = backend.zeros(p.shape)
    for _ in range(steps):
        backend.write(g, gradient(p))
        optimizer.step(p, g)
    return p


def rosenbrock_gradient(p):
    x, y = p
    return np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


def test_the_table_names_every_optimizer():
    assert {name for name, _, _ in TABLE} == set(RULES) == set(get_args(OptimizerName))


@pytest.mark.parametrize(("name", "options", "_"), TABLE, ids=IDS)
def test_each_optimizer_finds_the_bottom_of_a_parabola(exact, name, options, _):
    centre = np.array([3.0, -2.0, 0.5])
    spec = OptimizerSpec(name=name, **options)

    p = descend(exact, spec, exact.zeros((3,)), lambda p: 2 * (p - centre), 2_000)

    np.testing.assert_allclose(p, centre, atol=0.02)


@pytest.mark.parametrize(("name", "_", "options"), TABLE, ids=IDS)
def test_each_optimizer_follows_rosenbrocks_valley(exact, name, _, options):
    spec = OptimizerSpec(name=name, **options)
    start = exact.asarray(np.array([-1.0, 1.5]))

    p = descend(exact, spec, start, rosenbrock_gradient, 20_000)

    np.testing.assert_allclose(p, [1, 1], atol=0.05)


def torch_optimizer(torch: Any, name: str, p: Any, options: dict[str, Any]) -> Any:
    kinds = {
        "sgd": torch.optim.SGD,
        "momentum": torch.optim.SGD,
        "nesterov": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
        "adagrad": torch.optim.Adagrad,
        "adadelta": torch.optim.Adadelta,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "radam": torch.optim.RAdam,
    }
    renamed = dict(options)
    if name in ("momentum", "nesterov"):
        renamed["momentum"] = 0.9
    if name == "nesterov":
        renamed["nesterov"] = True
    if "rho" in renamed and name == "rmsprop":
        renamed["alpha"] = renamed.pop("rho")
    if "b1" in renamed:
        renamed["betas"] = (renamed.pop("b1"), renamed.pop("b2"))
    return kinds[name]([p], **renamed)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {"lr": 0.1}),
        ("momentum", {"lr": 0.01}),
        ("nesterov", {"lr": 0.01}),
        ("rmsprop", {"lr": 0.01, "rho": 0.98}),
        ("rmsprop", {"lr": 0.01, "centered": True}),
        ("adagrad", {"lr": 0.05}),
        ("adadelta", {"lr": 0.7}),
        ("adam", {"lr": 0.01, "b1": 0.8, "b2": 0.99}),
        ("adamw", {"lr": 0.01}),
        ("radam", {"lr": 0.01}),
    ],
)
def test_fifty_steps_equal_torch(exact, name, options, decay):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    start = rng.standard_normal(40)
    gradients = rng.standard_normal((50, 40))
    gradients[10:14, :5] = 0  # a zero gradient still decays the moments
    gradients[:, 5] = 0
    theirs = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = torch_optimizer(torch, name, theirs, options | {"weight_decay": decay})
    ours, g = exact.asarray(start), exact.zeros((40,))
    spec = OptimizerSpec(name=name, weight_decay=decay, **options)
    rule = make_optimizer(spec, exact, 40)

    for row in gradients:
        theirs.grad = torch.tensor(row)
        optimizer.step()
        exact.write(g, row)
        rule.step(ours, g)

    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "options", "_"), TABLE, ids=IDS)
def test_resume_is_bit_exact(backend, rng, name, options, _):
    schedule = ScheduleSpec(name="cosine", steps=40, warmup=5)
    spec = OptimizerSpec(name=name, schedule=schedule, weight_decay=0.01, **options)
    start = rng.standard_normal(33).astype(np.float32)
    gradients = rng.standard_normal((20, 33)).astype(np.float32)
    whole, half = backend.asarray(start), backend.asarray(start)
    first, again = (make_optimizer(spec, backend, 33) for _ in range(2))

    for row in gradients:
        first.step(whole, backend.asarray(row))
    for row in gradients[:10]:
        again.step(half, backend.asarray(row))
    resumed = make_optimizer(spec, backend, 33)
    resumed.set_state(*again.get_state())
    for row in gradients[10:]:
        resumed.step(half, backend.asarray(row))

    np.testing.assert_array_equal(whole, half)
    ours, theirs = first.get_state(), resumed.get_state()
    assert ours[1] == theirs[1]
    for key, array in ours[0].items():
        np.testing.assert_array_equal(array, theirs[0][key])


def subnormal(array):
    return int(((array != 0) & (np.abs(array) < np.finfo(np.float32).smallest_normal)).sum())


@pytest.mark.parametrize(("name", "options", "_"), TABLE, ids=IDS)
def test_moments_of_dead_units_end_at_zero_and_not_as_subnormal_numbers(
    backend, rng, name, options, _
):
    p, g = backend.asarray(rng.standard_normal(40)), backend.zeros((40,))
    rule = make_optimizer(OptimizerSpec(name=name, **options), backend, 40)
    for step in range(2_000):
        backend.write(g, rng.standard_normal(40).astype(np.float32))
        if step >= 10:
            g[20:] = 0  # nothing activates these units any more
        rule.step(p, g)

    moments, _ = rule.get_state()
    assert not sum(map(subnormal, moments.values()))
    assert all((moment[:20] != 0).all() for moment in moments.values())
    assert name not in ("momentum", "nesterov") or not moments["m"][20:].any()


def test_a_flush_takes_only_what_is_tiny(backend):
    x = backend.asarray(np.array([1e-29, -9e-31, np.nan, -1e-29, 1e-42, -np.inf], np.float32))

    backend.flush_to_zero(x)()

    np.testing.assert_array_equal(x, np.float32([1e-29, 0, np.nan, -1e-29, 0, -np.inf]))


def test_traces_that_nothing_feeds_end_at_zero(backend):
    z, out = backend.asarray(np.ones(5)), backend.zeros((1,))
    take_in = backend.trace(backend.zeros((5,)), z, out)

    for _ in range(1_000):
        take_in(0.792)
        assert not subnormal(z)

    assert not z.any()
    assert out[0] == 0


@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 40_000])
def test_blocks_cover_the_whole_vector(backend, exact, rng, size):
    p, g = rng.standard_normal(size), rng.standard_normal(size)
    for name, options, _ in TABLE:
        spec = OptimizerSpec(name=name, weight_decay=0.01, **options)
        single, double = backend.asarray(p), exact.asarray(p)
        quick, slow = make_optimizer(spec, backend, size), make_optimizer(spec, exact, size)
        for _ in range(3):
            quick.step(single, backend.asarray(g))
            slow.step(double, exact.asarray(g))

        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4, err_msg=name)


def test_statistics_behind_the_trainable_part_stay(backend):
    spec = OptimizerSpec(name="adamw", weight_decay=0.5, lr=0.1)
    p, g = backend.asarray(np.ones(5, np.float32)), backend.asarray(np.ones(5, np.float32))

    make_optimizer(spec, backend, 3).step(p, g)

    assert (p[:3] < 1).all()
    np.testing.assert_array_equal(p[3:], 1)


def test_gradients_are_clipped_where_asked(exact):
    by_norm = OptimizerSpec(name="sgd", lr=1.0, clip_norm=1.0)
    by_value = OptimizerSpec(name="sgd", lr=1.0, clip_value=0.5)
    p, q, g = exact.zeros((2,)), exact.zeros((2,)), np.array([3.0, -4.0])

    make_optimizer(by_norm, exact, 2).step(p, exact.asarray(g))
    make_optimizer(by_value, exact, 2).step(q, exact.asarray(g))

    np.testing.assert_allclose(p, [-0.6, 0.8])
    np.testing.assert_allclose(q, [-0.5, 0.5])


def test_wrong_sizes_states_and_options_are_named(backend):
    rule = make_optimizer(OptimizerSpec(), backend, 4)

    with pytest.raises(ShapeError, match="optimizer p"):
        rule.step(backend.zeros((3,)), backend.zeros((4,)))
    with pytest.raises(ShapeError, match="optimizer state"):
        rule.set_state({}, {"t": 1})
    with pytest.raises(ValueError, match="adam has no `momentum`; momentum, nesterov have"):
        OptimizerSpec(momentum=0.5)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ScheduleSpec(), {0: 1, 999: 1}),
        (ScheduleSpec(name="step", steps=10, decay=0.5), {0: 1, 9: 1, 10: 0.5, 25: 0.25}),
        (ScheduleSpec(name="step", steps=1, decay=0.5, final=0.1), {2: 0.25, 9: 0.1}),
        (ScheduleSpec(name="linear", steps=10, final=0.2), {0: 1, 5: 0.6, 10: 0.2, 99: 0.2}),
        (ScheduleSpec(name="cosine", steps=10, final=0.2), {0: 1, 5: 0.6, 10: 0.2, 99: 0.2}),
        (ScheduleSpec(warmup=4), {0: 0.2, 3: 0.8, 4: 1, 50: 1}),
        (ScheduleSpec(name="linear", steps=10, warmup=4), {1: 0.4, 4: 1, 9: 0.5, 14: 0}),
    ],
)
def test_schedules_by_hand(spec, expected):
    schedule = make_schedule(spec)

    assert {t: pytest.approx(schedule.factor(t)) for t in expected} == expected


def test_plateau_drops_when_nothing_improves():
    schedule = make_schedule(ScheduleSpec(name="plateau", patience=2, decay=0.5, final=0.2))
    seen = []
    for value in [5, 4, 4, 4, 4, 3, 9, 9, 9, 9, 9, 9]:
        schedule.observe(value)
        seen.append(schedule.factor(0))
        restored = make_schedule(schedule.spec)
        restored.set_state(schedule.get_state())
        schedule = restored

    assert seen == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2]
