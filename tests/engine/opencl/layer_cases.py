"""Cases of images, norms, dropout and embeddings."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_cases import SIZES, Case, case, floats, with_nan

from agentd.engine.backend import Window

WINDOWS = (
    (1, Window(1, 1, 1, (1, 1))),
    (2, Window(5, 7, 3, (3, 2), (2, 1), (1, 0))),
    (3, Window(8, 8, 17, (3, 3), (1, 1), (1, 1))),
    (2, Window(9, 6, 16, (2, 2), (2, 2))),
    (5, Window(4, 4, 65, (4, 4))),
)


def image(op: str, *parts: str) -> None:
    """Register a windowed op; ``parts`` name its arrays: x, y, columns, chosen, in its order."""

    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        for b, window in WINDOWS:
            out = (b, window.out_height, window.out_width)
            shapes = {
                "x": (b, window.height, window.width, window.channels),
                "y": (*out, window.channels),
                "columns": (b * window.out_height * window.out_width, window.taps),
            }
            taps = window.kernel[0] * window.kernel[1]
            chosen = rng.integers(0, taps, shapes["y"]).astype(np.int32)
            arrays = {k: chosen if k == "chosen" else floats(rng, *shapes[k]) for k in parts}

            def bind(be: Any, window: Any = window, **a: Any) -> Any:
                first, *rest = (a[k] for k in parts)
                return getattr(be, op)(first, window, *rest)

            yield f"{b} {window}", bind, arrays, ()
            spoilt = arrays | {parts[0]: with_nan(arrays[parts[0]])}
            yield f"{b} {window} NaN", bind, spoilt, ()


@case("conv")
def conv(rng: np.random.Generator) -> Iterator[Case]:
    for b, window in (*WINDOWS, (3, Window(6, 5, 33, (3, 3), (1, 1), (1, 1)))):
        for channels, act in ((1, "identity"), (17, "relu"), (65, "tanh")):

            def bind(be: Any, window: Any = window, act: Any = act, **a: Any) -> Any:
                return be.conv(a["x"], a["w"], a["b"], window, a["y"], act)

            rows = b * window.out_height * window.out_width
            x = floats(rng, b, window.height, window.width, window.channels)
            w = floats(rng, window.taps, channels) / np.float32(window.taps) ** 0.5
            arrays = {"x": x, "w": w, "b": None, "y": floats(rng, rows, channels)}
            yield f"{b} {window} {channels}", bind, arrays | {"b": floats(rng, channels)}, ()
            yield f"{b} {window} {channels} NaN", bind, arrays | {"x": with_nan(x)}, ()


image("im2col", "x", "columns")
image("col2im", "columns", "x")
image("max_pool", "x", "y", "chosen")
image("max_pool_backward", "y", "chosen", "x")
image("avg_pool", "x", "y")
image("avg_pool_backward", "y", "x")


def normalization(op: str, spec: str, *fixed: tuple[int, float]) -> None:
    """Register a norm op. ``spec`` names its arrays; ``fixed`` are numbers at their positions."""

    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        names = spec.split()
        for rows, n in ((2, 2), (5, 15), (63, 17), (64, 65), (129, 3)):
            arrays = {}
            for name in names:
                whole = name in ("x", "y", "norm", "dy", "dx")
                along = (rows,) if name == "scale" and op.startswith("layer") else (n,)
                arrays[name] = floats(rng, *((rows, n) if whole else along))
            if "variance" in arrays:
                arrays["variance"] = arrays["variance"] ** 2 + np.float32(0.1)

            def bind(be: Any, **a: Any) -> Any:
                args: list[Any] = [a[name] for name in names]
                for at, value in fixed:
                    args.insert(at, value)
                return getattr(be, op)(*args)

            yield f"{rows}x{n}", bind, arrays, ()
            yield f"{rows}x{n} NaN", bind, arrays | {names[0]: with_nan(arrays[names[0]])}, ()


normalization("layer_norm", "x gain bias y norm scale", (3, 1e-5))
normalization("layer_norm_backward", "dy gain norm scale dgain dbias dx")
normalization("batch_norm", "x gain bias mean variance y norm scale", (5, 0.1), (6, 1e-5))
normalization("batch_norm_backward", "dy gain norm scale dgain dbias dx")
normalization("batch_norm_apply", "x gain bias mean variance y", (5, 1e-5))


@case("dropout")
def dropout(rng: np.random.Generator) -> Iterator[Case]:
    for rate in (0.0, 0.3, 0.9):

        def bind(be: Any, x: Any, y: Any, factor: Any, rate: float = rate) -> Any:
            return be.dropout(x, rate, lambda: 0xDEADBEEF, y, factor)

        for n in SIZES:
            x, y, factor = (floats(rng, n) for _ in range(3))
            yield f"n={n} {rate}", bind, {"x": x, "y": y, "factor": factor}, ()
            yield f"n={n} {rate} NaN", bind, {"x": with_nan(x), "y": y, "factor": factor}, ()


BAGS = ((1, 1, 1, 1), (5, 3, 7, 17), (33, 4, 70, 64), (6, 5, 5000, 65))


def indices(rng: np.random.Generator, bags: int, each: int, v: int) -> Any:
    return rng.integers(-1, v, (bags, each)).astype(np.int32)


@case("embedding_bag")
def embedding_bag(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, index: Any, table: Any, y: Any) -> Any:
        return be.embedding_bag(index, table, y)

    for bags, each, v, n in BAGS:
        index, table = indices(rng, bags, each, v), floats(rng, v, n)
        arrays = {"index": index, "table": table, "y": floats(rng, bags, n)}
        yield f"{bags}x{each} of {v}x{n}", bind, arrays, ()
        if v > 4096:  # the dense twin's product spreads a NaN over bags that do not hold it
            table[index[index >= 0][0]] = np.nan
            yield f"{bags}x{each} of {v}x{n} NaN", bind, arrays, ()


@case("embedding_bag_backward")
def embedding_bag_backward(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, index: Any, other: Any, dy: Any, dtable: Any) -> Any:
        steps = [be.embedding_bag_backward(i, dy, dtable) for i in (index, other)]

        def step() -> None:  # each must forget what the one before it wrote
            for one in (*steps, *steps):
                one()

        return step

    for bags, each, v, n in BAGS:
        index, other = indices(rng, bags, each, v), indices(rng, bags, each, v)
        zero, dy = np.zeros((v, n), np.float32), floats(rng, bags, n)
        arrays = {"index": index, "other": other, "dy": dy, "dtable": zero}
        yield f"{bags}x{each} of {v}x{n}", bind, arrays, ()
        if v > 4096:  # the dense twin's product spreads a NaN over rows that are not meant
            yield f"{bags}x{each} of {v}x{n} NaN", bind, arrays | {"dy": with_nan(dy)}, ()
