"""Cases of arithmetic: elementwise ops, products, activations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from op_cases import ROWS, SIZES, Case, case, floats, with_nan

MATRICES = ((1, 1, 1), (1, 63, 65), (3, 4, 2), (8, 17, 130), (9, 5, 3), (63, 64, 65), (65, 300, 33))
MATRICES += ((130, 1, 16), (17, 513, 31))


def elementwise(op: str, *names: str, fixed: tuple[Any, ...] = ()) -> None:
    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        def bind(be: Any, **a: Any) -> Any:
            return getattr(be, op)(*(a[n] for n in names), *fixed)

        for n in SIZES:
            arrays = {name: floats(rng, n) for name in names}
            yield f"n={n}", bind, arrays, ()
            yield f"n={n} NaN", bind, arrays | {names[0]: with_nan(arrays[names[0]])}, ()


elementwise("copy", "x", "y")
elementwise("add", "x", "y")
elementwise("absolute", "x", "y")
elementwise("plus", "a", "b", "y")
elementwise("minus", "a", "b", "y")
elementwise("times", "a", "b", "y")
elementwise("divide", "a", "b", "y")
elementwise("multiply", "x", "y")
elementwise("blend", "x", "y", fixed=(0.25,))
elementwise("fill", "y", fixed=(1.5,))
elementwise("clip_value", "g", fixed=(0.5,))
elementwise("penalty", "p", "g", fixed=(0.1, 0.2))


@case("flush_to_zero")
def flush_to_zero(rng: np.random.Generator) -> Iterator[Case]:
    for n in SIZES:
        x = floats(rng, n) * np.float32(1e-30)
        yield f"n={n}", lambda be, x: be.flush_to_zero(x), {"x": x}, ()
        yield f"n={n} NaN", lambda be, x: be.flush_to_zero(x), {"x": with_nan(x)}, ()


@case("affine")
def affine(rng: np.random.Generator) -> Iterator[Case]:
    for b, d, e in MATRICES:
        for act in ("identity", "relu", "sigmoid", "tanh", "gelu"):
            for biased in (True, False):

                def bind(be: Any, x: Any, w: Any, b: Any, y: Any, act: str = act) -> Any:
                    return be.affine(x, w, b, y, act)

                x, w = floats(rng, b, d), floats(rng, d, e) / np.float32(d) ** 0.5
                bias = floats(rng, e) if biased else None
                arrays = {"x": x, "w": w, "b": bias, "y": floats(rng, b, e)}
                yield f"{b}x{d}x{e} {act}", bind, arrays, ()
        yield f"{b}x{d}x{e} NaN", bind, arrays | {"x": with_nan(x)}, ()


def product(op: str, left: str, right: str, out: str) -> None:
    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        def bind(be: Any, x: Any, w: Any, y: Any) -> Any:
            return getattr(be, op)(x, w, y)

        for b, d, e in MATRICES:
            shapes = {"bd": (b, d), "be": (b, e), "de": (d, e)}
            x, w, y = (floats(rng, *shapes[k]) for k in (left, right, out))
            yield f"{b}x{d}x{e}", bind, {"x": x, "w": w, "y": y}, ()
            yield f"{b}x{d}x{e} NaN", bind, {"x": with_nan(x), "w": w, "y": y}, ()


product("matmul", "bd", "de", "be")
product("matmul_tn", "bd", "be", "de")
product("matmul_nt", "be", "de", "bd")


def of_positive(op: str) -> None:
    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        def bind(be: Any, x: Any, y: Any) -> Any:
            return getattr(be, op)(x, y)

        for n in SIZES:
            x = np.exp(3 * floats(rng, n))
            x[0] = rng.choice([1, 2, 4])
            yield f"n={n}", bind, {"x": x, "y": floats(rng, n)}, ()
            yield f"n={n} NaN", bind, {"x": with_nan(x), "y": floats(rng, n)}, ()
            yield f"n={n} negative", bind, {"x": floats(rng, n), "y": floats(rng, n)}, ()


of_positive("log_gamma")
of_positive("digamma")
of_positive("trigamma")


def reduction(op: str, **results: Any) -> None:
    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        def bind(be: Any, x: Any, **a: Any) -> Any:
            return getattr(be, op)(x, **a)

        for n in (*SIZES, 65_537):
            x = floats(rng, n)
            yield f"n={n}", bind, {"x": x, **results}, ()
            yield f"n={n} NaN", bind, {"x": with_nan(x), **results}, ()


reduction("sum_all", out=np.ones(1, np.float32))
reduction("find_min", value=np.ones(1, np.float32), index=np.full(1, -1, np.int32))
reduction("find_max", value=np.ones(1, np.float32), index=np.full(1, -1, np.int32))


@case("add_row")
def add_row(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, row: Any, y: Any) -> Any:
        return be.add_row(row, y)

    for rows, n in ROWS:
        row = floats(rng, n)
        yield f"{rows}x{n}", bind, {"row": row, "y": floats(rng, rows, n)}, ()
        yield f"{rows}x{n} NaN", bind, {"row": with_nan(row), "y": floats(rng, rows, n)}, ()


@case("sum_rows")
def sum_rows(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, dy: Any, db: Any) -> Any:
        return be.sum_rows(dy, db)

    for rows, n in (*ROWS, (129, 1)):
        dy = floats(rng, rows, n)
        yield f"{rows}x{n}", bind, {"dy": dy, "db": floats(rng, n)}, ()
        yield f"{rows}x{n} NaN", bind, {"dy": with_nan(dy), "db": floats(rng, n)}, ()


ACTS = ("identity", "relu", "leaky_relu", "sigmoid", "tanh", "softplus", "gelu", "exp")


@case("activation")
def activation(rng: np.random.Generator) -> Iterator[Case]:
    for act in ACTS:

        def bind(be: Any, x: Any, y: Any, act: str = act) -> Any:
            return be.activation(act, x, y)

        for n in SIZES:
            x = 4 * floats(rng, n)
            yield f"{act} n={n}", bind, {"x": x, "y": floats(rng, n)}, ()
            yield f"{act} n={n} NaN", bind, {"x": with_nan(x), "y": floats(rng, n)}, ()


@case("activation_backward")
def activation_backward(rng: np.random.Generator) -> Iterator[Case]:
    for act in ACTS:

        def bind(be: Any, x: Any, y: Any, dy: Any, dx: Any, act: str = act) -> Any:
            forward, backward = (
                be.activation(act, x, y),
                be.activation_backward(act, x, y, dy, dx),
            )

            def step() -> None:
                forward()
                backward()

            return step

        for n in SIZES:
            x, dy = 4 * floats(rng, n), floats(rng, n)
            arrays = {"x": x, "y": floats(rng, n), "dy": dy, "dx": floats(rng, n)}
            yield f"{act} n={n}", bind, arrays, ()
            yield f"{act} n={n} NaN dy", bind, arrays | {"dy": with_nan(dy)}, ()
            yield f"{act} n={n} NaN x", bind, arrays | {"x": with_nan(x)}, ()
