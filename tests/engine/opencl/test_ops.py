"""Every op of the Protocol on the device equals its NumPy twin, on odd sizes and with NaN."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from engine.backend import Backend

pytestmark = pytest.mark.opencl

SIZES = (1, 2, 15, 16, 17, 63, 64, 65, 1023, 1025)
MATRICES = ((1, 1, 1), (1, 63, 65), (3, 4, 2), (8, 17, 130), (9, 5, 3), (63, 64, 65), (65, 300, 33))
MATRICES += ((130, 1, 16), (17, 513, 31))
ROWS = ((1, 1), (3, 2), (5, 15), (2, 16), (64, 17), (63, 65), (2, 1025))
ELSEWHERE = {
    "conv",
    "im2col",
    "col2im",
    "max_pool",
    "max_pool_backward",
    "avg_pool",
    "avg_pool_backward",
}
ELSEWHERE |= {"layer_norm", "layer_norm_backward", "dropout", "embedding_bag"}
ELSEWHERE |= {"swap", "lstm_cell", "lstm_cell_backward"}
ELSEWHERE |= {"batch_norm", "batch_norm_backward", "batch_norm_apply", "embedding_bag_backward"}
ELSEWHERE |= {"categorical_values", "quantile_values", "categorical_target", "quantile_target"}
ELSEWHERE |= {"take_action", "put_action", "mean_loss", "noisy_weight", "noisy_weight_backward"}
ELSEWHERE |= {"q_step", "fit_step", "gather_rows"}
NOT_STEPS = {
    "holds",
    "gathers",
    "empty",
    "zeros",
    "asarray",
    "to_host",
    "write",
    "view",
    "rows",
    "reshape",
}

Case = tuple[str, Callable[..., Any], dict[str, Any], tuple[float, ...]]
CASES: dict[str, Callable[[np.random.Generator], Iterator[Case]]] = {}


def case(name: str) -> Callable[..., Any]:
    """Register the maker of an op's cases: (label, bind, arrays, arguments of the step)."""

    def keep(make: Callable[[np.random.Generator], Iterator[Case]]) -> Any:
        CASES[name] = make
        return make

    return keep


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(np.float32)


def with_nan(array: Any) -> Any:
    """Return a copy whose first and last number are NaN."""
    spoilt = array.copy()
    spoilt.reshape(-1)[[0, -1]] = np.nan
    return spoilt


def ops() -> list[str]:
    """Return the Protocol's ops that bind a step, but for those of other files here."""
    functions = inspect.getmembers(Backend, inspect.isfunction)
    names = {name for name, _ in functions if not name.startswith("_")}
    return sorted(names - NOT_STEPS - ELSEWHERE)


@pytest.mark.parametrize("op", ops())
def test_op_equals_its_numpy_twin(op: str, both: Callable[..., None]) -> None:
    assert op in CASES, f"{op}: the Protocol has an op that no case covers"
    rng = np.random.default_rng(7)

    for label, bind, arrays, scalars in CASES[op](rng):
        try:
            both(bind, arrays, *scalars)
        except AssertionError as error:
            raise AssertionError(f"{op} {label}: {error}") from error


@pytest.mark.parametrize("op", ops())
def test_nan_is_among_the_inputs(op: str) -> None:
    if op == "fill":
        return  # reads nothing
    met = False
    for _, _, arrays, _ in CASES[op](np.random.default_rng(7)):
        given = (array for array in arrays.values() if array is not None)
        met |= any(array.dtype.kind == "f" and np.isnan(array).any() for array in given)

    assert met, f"{op}: no case has NaN in an input"


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
elementwise("plus", "a", "b", "y")
elementwise("multiply", "x", "y")
elementwise("blend", "x", "y", fixed=(0.25,))
elementwise("fill", "y", fixed=(1.5,))
elementwise("clip_value", "g", fixed=(0.5,))
elementwise("penalty", "p", "g", fixed=(0.1, 0.2))


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


product("matmul_tn", "bd", "be", "de")
product("matmul_nt", "be", "de", "bd")


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


def masks(rng: np.random.Generator, rows: int, n: int) -> Any:
    mask = (rng.random((rows, n)) < 0.6).astype(np.uint8)
    mask[:, 0] = 1
    return mask


def regression(op: str, *fixed: float, targets: str = "numbers") -> None:
    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        def bind(be: Any, y: Any, target: Any, weight: Any, dy: Any, loss: Any) -> Any:
            return getattr(be, op)(y, target, weight, *fixed, dy, loss)

        for rows, n in ROWS[:-1] if op == "quantile_huber" else ROWS:
            y, target = 2 * floats(rng, rows, n), floats(rng, rows, n)
            if targets == "shares":
                target = rng.dirichlet(np.ones(n), rows).astype(np.float32)
            arrays = {"y": y, "target": target, "weight": rng.random(rows).astype(np.float32)}
            arrays |= {"dy": floats(rng, rows, n), "loss": floats(rng, rows)}
            yield f"{rows}x{n}", bind, arrays, ()
            yield f"{rows}x{n} unweighted", bind, arrays | {"weight": None}, ()
            yield f"{rows}x{n} NaN", bind, arrays | {"y": with_nan(y)}, ()


regression("squared_error")
regression("huber", 0.7)
regression("soft_cross_entropy", targets="shares")
regression("binary_cross_entropy", targets="shares")
regression("quantile_huber", 0.5)


@case("softmax_cross_entropy")
def softmax_cross_entropy(rng: np.random.Generator) -> Iterator[Case]:
    for smoothing in (0.0, 0.1):

        def bind(be: Any, y: Any, label: Any, mask: Any, weight: Any, dy: Any, loss: Any) -> Any:
            return be.softmax_cross_entropy(y, label, mask, weight, smoothing, dy, loss)  # noqa: B023

        for rows, n in ROWS:
            y = 5 * floats(rng, rows, n)
            mask = masks(rng, rows, n)
            label = mask.argmax(1).astype(np.int32)
            arrays = {"y": y, "label": label, "mask": None, "weight": None}
            arrays |= {"dy": floats(rng, rows, n), "loss": floats(rng, rows)}
            weight = rng.random(rows).astype(np.float32)
            yield f"{rows}x{n}", bind, arrays, ()
            yield f"{rows}x{n} masked", bind, arrays | {"mask": mask, "weight": weight}, ()
            yield f"{rows}x{n} NaN", bind, arrays | {"y": with_nan(y)}, ()


@case("categorical_projection")
def categorical_projection(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, p: Any, atoms: Any, out: Any) -> Any:
        return be.categorical_projection(p, atoms, -10.0, 10.0, out)

    for rows, z in ((1, 2), (5, 51), (65, 16)):
        p = rng.dirichlet(np.ones(z), rows).astype(np.float32)
        arrays = {"p": p, "atoms": 8 * floats(rng, rows, z), "out": floats(rng, rows, z)}
        yield f"{rows}x{z}", bind, arrays, ()
        yield f"{rows}x{z} NaN", bind, arrays | {"p": with_nan(p)}, ()


@case("pick")
def pick(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, table: Any, label: Any, out: Any) -> Any:
        return be.pick(table, label, out)

    for rows in SIZES:
        label = rng.integers(0, 7, rows).astype(np.int32)
        table = with_nan(floats(rng, 7))
        yield f"{rows}", bind, {"table": table, "label": label, "out": floats(rng, rows)}, ()


BRANCHES = ((1, (2,)), (3, (5,)), (64, (3, 2, 4)), (65, (17,)), (127, (2, 2)))


def dueling(op: str) -> None:
    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        for rows, branches in BRANCHES:
            wide, narrow = sum(branches) + 1, sum(branches)

            def bind(be: Any, x: Any, mask: Any, y: Any, branches: Any = branches) -> Any:
                return getattr(be, op)(x, mask, branches, y)

            n_in, n_out = (wide, narrow) if op == "dueling" else (narrow, wide)
            x, y = floats(rng, rows, n_in), floats(rng, rows, n_out)
            mask = masks(rng, rows, narrow)
            yield f"{rows} {branches}", bind, {"x": x, "mask": None, "y": y}, ()
            yield f"{rows} {branches} masked", bind, {"x": x, "mask": mask, "y": y}, ()
            if len(branches) == 1:
                yield f"{rows} NaN", bind, {"x": with_nan(x), "mask": mask, "y": y}, ()


dueling("dueling")
dueling("dueling_backward")


@case("td_target")
def td_target(rng: np.random.Generator) -> Iterator[Case]:
    for rows, branches in BRANCHES:

        def bind(be: Any, branches: Any = branches, **a: Any) -> Any:
            args = (a[k] for k in ("reward", "discount", "target"))
            return be.td_target(a["value"], a["select"], a["mask"], branches, *args)

        width = sum(branches)
        value, select = floats(rng, rows, width), floats(rng, rows, width)
        arrays = {"value": value, "select": select, "mask": None}
        arrays |= {name: floats(rng, rows) for name in ("reward", "discount", "target")}
        yield f"{rows} {branches}", bind, arrays, ()
        yield f"{rows} {branches} masked", bind, arrays | {"mask": masks(rng, rows, width)}, ()
        yield f"{rows} {branches} NaN", bind, arrays | {"select": with_nan(select)}, ()


@case("td_loss")
def td_loss(rng: np.random.Generator) -> Iterator[Case]:
    for rows, branches in BRANCHES:
        for huber in (None, 0.8):

            def bind(be: Any, branches: Any = branches, huber: Any = huber, **a: Any) -> Any:
                given = (a[k] for k in ("q", "action", "target", "weight"))
                outs = (a[k] for k in ("dq", "td", "loss"))
                return be.td_loss(*given, branches, huber, *outs)

            q = floats(rng, rows, sum(branches))
            action = np.stack([rng.integers(0, n, rows) for n in branches], 1).astype(np.int32)
            arrays = {"q": q, "action": action, "target": 2 * floats(rng, rows), "weight": None}
            arrays |= {"dq": floats(rng, *q.shape), "td": floats(rng, *action.shape)}
            arrays["loss"] = floats(rng, 1)
            weight = rng.random(rows).astype(np.float32)
            yield f"{rows} {branches}", bind, arrays, ()
            yield f"{rows} {branches} weighted", bind, arrays | {"weight": weight}, ()
            spoilt = arrays | {"target": with_nan(arrays["target"])}
            yield f"{rows} {branches} NaN", bind, spoilt, ()


@case("td_step")
def td_step(rng: np.random.Generator) -> Iterator[Case]:
    for rows, branches in BRANCHES:
        for huber in (None, 0.8):

            def bind(be: Any, branches: Any = branches, huber: Any = huber, **a: Any) -> Any:
                ahead = (a[k] for k in ("value", "select", "mask"))
                taken = (a[k] for k in ("q", "action", "weight"))
                outs = (a[k] for k in ("target", "dq", "td", "loss"))
                scalars = (a["reward"], a["discount"])
                return be.td_step(*ahead, branches, *scalars, *taken, huber, *outs)

            width = sum(branches)
            value, select, q, dq = (floats(rng, rows, width) for _ in range(4))
            arrays = {"value": value, "select": select, "q": q, "dq": dq, "mask": None}
            arrays |= {name: floats(rng, rows) for name in ("reward", "target")}
            arrays["discount"] = rng.choice([0, 0.97, 0.99], rows).astype(np.float32)
            action = np.stack([rng.integers(0, n, rows) for n in branches], 1).astype(np.int32)
            arrays |= {"action": action, "td": floats(rng, *action.shape), "loss": floats(rng, 1)}
            arrays["weight"] = None
            weight = rng.random(rows).astype(np.float32)
            legal = {"mask": masks(rng, rows, width), "weight": weight}
            yield f"{rows} {branches} {huber}", bind, arrays, ()
            yield f"{rows} {branches} {huber} plain", bind, arrays | {"select": value}, ()
            yield f"{rows} {branches} {huber} masked, weighted", bind, arrays | legal, ()
            yield f"{rows} {branches} NaN", bind, arrays | {"select": with_nan(select)}, ()
            yield f"{rows} {branches} NaN q", bind, arrays | {"q": with_nan(q)}, ()


@case("norm")
def norm(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, g: Any, out: Any) -> Any:
        return be.norm(g, out)

    for n in (*SIZES, 100_003):
        g = floats(rng, n)
        yield f"n={n}", bind, {"g": g, "out": floats(rng, 1)}, ()
        yield f"n={n} NaN", bind, {"g": with_nan(g), "out": floats(rng, 1)}, ()


@case("trace")
def trace(rng: np.random.Generator) -> Iterator[Case]:
    def bind(be: Any, g: Any, z: Any, out: Any) -> Any:
        return be.trace(g, z, out)

    for n in (*SIZES, 100_003):
        g, z = floats(rng, n), floats(rng, n)
        yield f"n={n}", bind, {"g": g, "z": z, "out": floats(rng, 1)}, (0.8,)
        yield f"n={n} NaN", bind, {"g": g, "z": with_nan(z), "out": floats(rng, 1)}, (0.0,)


@case("clip_norm")
def clip_norm(rng: np.random.Generator) -> Iterator[Case]:
    for limit in (0.5, 1e4):

        def bind(be: Any, g: Any, out: Any, limit: float = limit) -> Any:
            return be.clip_norm(g, limit, out)

        for n in (*SIZES, 100_003):
            g = floats(rng, n)
            yield f"n={n} {limit}", bind, {"g": g, "out": floats(rng, 1)}, ()
            yield f"n={n} {limit} NaN", bind, {"g": with_nan(g), "out": floats(rng, 1)}, ()


def descent(op: str, moments: str, *scalars: float, fixed: tuple[Any, ...] = ()) -> None:
    old = CASES.get(op)

    @case(op)
    def make(rng: np.random.Generator) -> Iterator[Case]:
        if old is not None:
            yield from old(rng)

        def bind(be: Any, **a: Any) -> Any:
            return getattr(be, op)(a["p"], a["g"], *(a[name] for name in moments), *fixed)

        for n in SIZES:
            arrays = {"p": floats(rng, n), "g": floats(rng, n)}
            arrays |= {name: floats(rng, n) ** 2 for name in moments}
            if op == "rmsprop" and len(moments) == 2:
                arrays["m"] *= 0.1
                arrays["v"] += 1
            yield f"n={n} {scalars}", bind, arrays, scalars
            yield f"n={n} {scalars} NaN", bind, arrays | {"g": with_nan(arrays["g"])}, scalars


descent("sgd", "", 0.1, 0.0)
descent("sgd", "", 0.1, 0.01)
descent("momentum", "m", 0.1, 0.9, 0.01, fixed=(False,))
descent("momentum", "m", 0.1, 0.9, 0.0, fixed=(True,))
descent("rmsprop", "v", 0.1, 0.99, 1e-8, 0.01, fixed=(None,))
descent("rmsprop", "vm", 0.1, 0.99, 1e-8, 0.0)
descent("adagrad", "v", 0.1, 1e-8, 0.01)
descent("adadelta", "vu", 1.0, 0.9, 1e-6, 0.01)
descent("adam", "mv", 0.9, 0.999, 1e-3, 1e-8, 0.01, 0.99, True)
descent("adam", "mv", 0.9, 0.999, 1e-3, 1e-8, 0.0, 1.0, False)
