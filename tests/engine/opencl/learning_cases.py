"""Cases of what learns: losses, targets, values, gradients, optimizers."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from op_cases import CASES, ROWS, SIZES, Case, case, floats, masks, with_nan

from agentd.engine.backend import TdStep


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


@case("dirichlet_loss")
def dirichlet_loss(rng: np.random.Generator) -> Iterator[Case]:
    for form in ("log", "digamma", "squared"):

        def bind(be: Any, form: Any = form, **a: Any) -> Any:
            given = (a[k] for k in ("evidence", "label", "weight", "pull", "dy", "loss"))
            return be.dirichlet_loss(form, *given)

        for rows, n in ROWS[1:]:
            evidence = np.exp(4 * floats(rng, rows, n)).clip(0, 22_000)
            arrays = {"evidence": evidence, "label": rng.integers(0, n, rows).astype(np.int32)}
            arrays |= {"weight": rng.random(rows).astype(np.float32), "dy": floats(rng, rows, n)}
            arrays |= {"pull": np.array([0.3], np.float32), "loss": floats(rng, rows)}
            yield f"{form} {rows}x{n}", bind, arrays, ()
            yield f"{form} {rows}x{n} unweighted", bind, arrays | {"weight": None}, ()
            yield f"{form} {rows}x{n} NaN", bind, arrays | {"evidence": with_nan(evidence)}, ()


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

            def bind(
                be: Any,
                branches: Any = branches,
                huber: Any = huber,
                shared: bool = False,
                **a: Any,
            ) -> Any:
                given = (a[k] for k in ("q", "action", "target", "weight"))
                outs = (a[k] for k in ("dq", "td", "loss"))
                return be.td_loss(*given, branches, huber, *outs, shared)

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
            yield f"{rows} {branches} mean error", partial(bind, shared=True), arrays, ()


@case("margin_loss")
def margin_loss(rng: np.random.Generator) -> Iterator[Case]:
    for rows, branches in BRANCHES:

        def bind(be: Any, branches: Any = branches, **a: Any) -> Any:
            given = (a[k] for k in ("q", "action", "mask", "weight"))
            return be.margin_loss(*given, branches, a["margin"], a["dq"], a["loss"])

        q = floats(rng, rows, sum(branches))
        action = np.stack([rng.integers(0, n, rows) for n in branches], 1).astype(np.int32)
        arrays = {"q": q, "action": action, "mask": None, "dq": floats(rng, *q.shape)}
        arrays |= {"weight": rng.choice([0, 1.5], rows).astype(np.float32)}
        arrays |= {"margin": np.array([0.3], np.float32), "loss": floats(rng, rows)}
        yield f"{rows} {branches}", bind, arrays, ()
        yield f"{rows} {branches} masked", bind, arrays | {"mask": masks(rng, *q.shape)}, ()
        yield f"{rows} {branches} NaN", bind, arrays | {"q": with_nan(q)}, ()


@case("td_step")
def td_step(rng: np.random.Generator) -> Iterator[Case]:
    for rows, branches in BRANCHES:
        for huber in (None, 0.8):

            def bind(be: Any, branches: Any = branches, huber: Any = huber, **a: Any) -> Any:
                return be.td_step(TdStep(branches=branches, huber=huber, **a))

            width = sum(branches)
            value, select, y, dy = (floats(rng, rows, width) for _ in range(4))
            arrays = {"value": value, "select": select, "y": y, "dy": dy, "mask": None}
            arrays |= {name: floats(rng, rows) for name in ("reward", "target")}
            arrays["discount"] = rng.choice([0, 0.97, 0.99], rows).astype(np.float32)
            action = np.stack([rng.integers(0, n, rows) for n in branches], 1).astype(np.int32)
            arrays |= {"action": action, "error": floats(rng, *action.shape)}
            arrays |= {"loss": floats(rng, 1), "weight": None}
            weight = rng.random(rows).astype(np.float32)
            legal = {"mask": masks(rng, rows, width), "weight": weight}
            yield f"{rows} {branches} {huber}", bind, arrays, ()
            yield f"{rows} {branches} {huber} plain", bind, arrays | {"select": value}, ()
            yield f"{rows} {branches} {huber} masked, weighted", bind, arrays | legal, ()
            yield f"{rows} {branches} NaN", bind, arrays | {"select": with_nan(select)}, ()
            yield f"{rows} {branches} NaN q", bind, arrays | {"y": with_nan(y)}, ()


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

    tiny = np.float32(1e-30)
    for n in (*SIZES, 100_003):
        g, z = floats(rng, n), floats(rng, n)
        yield f"n={n}", bind, {"g": g, "z": z, "out": floats(rng, 1)}, (0.8,)
        yield f"n={n} tiny", bind, {"g": g * tiny, "z": z * tiny, "out": floats(rng, 1)}, (0.8,)
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
