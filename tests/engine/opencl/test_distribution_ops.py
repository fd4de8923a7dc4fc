"""The ops of value distributions and of noise on the device equal their NumPy twins."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.opencl

CASES = ((1, 2, (2,)), (3, 51, (5,)), (64, 7, (3, 2)), (65, 16, (17,)))
LOW, HIGH = -10.0, 5.0


def arrays_of(rows: int, z: int, branches: tuple[int, ...]) -> dict[str, Any]:
    rng, width, n = np.random.default_rng(rows), sum(branches), len(branches)

    def floats(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    mask = (rng.random((rows, width)) < 0.5).astype(np.uint8)
    mask[:, np.cumsum((0, *branches[:-1]))] = 1
    return {
        "y": 3 * floats(rows, z, width),
        "dy": floats(rows, z, width),
        "q": floats(rows, width),
        "select": floats(rows, width),
        "mask": mask,
        "reward": floats(rows),
        "policy": rng.random((rows, width)).astype(np.float32),
        "augmented": floats(rows),
        "discount": rng.choice([0.0, 0.9], rows).astype(np.float32),
        "categorical": floats(rows, z),
        "quantile": floats(rows, n * z),
        "action": np.stack([rng.integers(0, m, rows) for m in branches], 1).astype(np.int32),
        "taken": floats(n * rows, z),
        "loss": floats(n * rows),
        "weight": rng.random(rows).astype(np.float32),
        "out": floats(1),
    }


OPS: dict[str, Callable[..., Any]] = {
    "categorical_values": lambda be, a, _: be.categorical_values(a["y"], LOW, HIGH, a["q"]),
    "quantile_values": lambda be, a, _: be.quantile_values(a["y"], a["q"]),
    "categorical_values_backward": lambda be, a, _: be.categorical_values_backward(
        a["y"], LOW, HIGH, a["q"], a["select"], a["dy"]
    ),
    "quantile_values_backward": lambda be, a, _: be.quantile_values_backward(a["q"], a["dy"]),
    "categorical_target": lambda be, a, b: be.categorical_target(
        *(a[k] for k in ("y", "select", "mask")), b, LOW, HIGH,
        *(a[k] for k in ("reward", "discount", "categorical")),
    ),
    "quantile_target": lambda be, a, b: be.quantile_target(
        *(a[k] for k in ("y", "select", "mask")), b,
        *(a[k] for k in ("reward", "discount", "quantile")),
    ),
    "take_action": lambda be, a, b: be.take_action(a["y"], a["action"], b, a["taken"]),
    "put_action": lambda be, a, b: be.put_action(a["taken"], a["action"], b, a["y"]),
    "munchausen": lambda be, a, b: be.munchausen(
        *(a[k] for k in ("q", "mask", "action", "select", "mask")), b, 0.9, 0.3, -1.0,
        *(a[k] for k in ("reward", "discount", "policy", "augmented")),
    ),
    "expected_target": lambda be, a, b: be.expected_target(
        a["q"], a["policy"], b, *(a[k] for k in ("reward", "discount", "augmented"))
    ),
    "expected_quantiles": lambda be, a, b: be.expected_quantiles(
        a["y"], a["policy"], b, *(a[k] for k in ("reward", "discount", "quantile"))
    ),
    "expected_categorical": lambda be, a, b: be.expected_categorical(
        a["y"], a["policy"], b, LOW, HIGH,
        *(a[k] for k in ("reward", "discount", "categorical")),
    ),
    "mean_loss": lambda be, a, _: be.mean_loss(a["loss"], a["weight"], a["out"]),
}  # fmt: skip


MASKED = ("munchausen", "categorical_target", "quantile_target")


@pytest.mark.parametrize("op", OPS)
def test_distribution_op_equals_its_twin(op: str, both: Callable[..., None]) -> None:
    for rows, z, branches in CASES:
        arrays = arrays_of(rows, z, branches)
        without = {"mask": None} if op in MASKED else {"weight": None}
        spoilt = arrays["y"].copy()
        spoilt[0, 0, 0] = np.nan

        def bind(be: Any, branches: Any = branches, **a: Any) -> Any:
            return OPS[op](be, a, branches)

        for changed in ({}, without, {"y": spoilt}):
            both(bind, arrays | changed)


@pytest.mark.parametrize("op", ["noisy_weight", "noisy_weight_backward"])
def test_noise_op_equals_its_twin(op: str, both: Callable[..., None]) -> None:
    for rows, n in ((1, 1), (5, 15), (17, 64), (3, 1025)):
        rng = np.random.default_rng(rows)
        shapes = {
            "mu": (rows, n),
            "sigma": (rows, n),
            "left": (rows,),
            "right": (n,),
            "w": (rows, n),
        }
        arrays = {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}

        def bind(be: Any, **a: Any) -> Any:
            given = (a["mu"], a["sigma"]) if op == "noisy_weight" else (a["mu"],)
            return getattr(be, op)(*given, a["left"], a["right"], a["w"])

        both(bind, arrays)
        arrays["mu"][0, 0] = np.nan
        both(bind, arrays)


def back(be: Any, **a: Any) -> Any:
    return be.modulate_backward(*(a[k] for k in ("y", "x", "phi", "dphi", "dx")))


@pytest.mark.parametrize("shared", [False, True])
def test_implicit_ops_equal_their_twins(shared: bool, both: Callable[..., None]) -> None:
    for batch, n, e, c in ((1, 1, 1, 1), (3, 8, 17, 64), (33, 5, 16, 7)):
        rng = np.random.default_rng(e)
        factors = n if shared else batch * n
        shapes = {"x": (batch, e), "phi": (factors, e), "y": (batch * n, e), "out": (factors, c)}
        shapes |= {"dphi": (batch * n, e), "dx": (batch, e)}
        arrays = {k: rng.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}
        arrays["tau"] = rng.random((factors,)).astype(np.float32)
        both(lambda be, **a: be.cosines(a["tau"], a["out"]), arrays)
        both(lambda be, **a: be.modulate(a["x"], a["phi"], a["y"]), arrays)
        if not shared:
            both(back, arrays)
            both(back, arrays | {"dx": None})
