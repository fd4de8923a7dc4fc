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
    "mean_loss": lambda be, a, _: be.mean_loss(a["loss"], a["weight"], a["out"]),
}  # fmt: skip


@pytest.mark.parametrize("op", OPS)
def test_distribution_op_equals_its_twin(op: str, both: Callable[..., None]) -> None:
    for rows, z, branches in CASES:
        arrays = arrays_of(rows, z, branches)
        without = {"mask": None} if "target" in op else {"weight": None}
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
