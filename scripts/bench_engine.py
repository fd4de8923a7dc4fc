#!/usr/bin/env python3
"""How fast the engine is beside PyTorch: training steps, inference, and Adam.

    python scripts/bench_engine.py [--pairs 15] [--seconds 0.15] [--only NAME] [--json] [--avx2]

Each row does the same work in both: the same shapes, float32, mean loss, Adam; PyTorch runs eagerly
with its fused Adam. Both sides first choose between one and two threads by a short trial. Then they
take turns, ours and theirs, in ``pairs`` slices of ``seconds`` each; a row reports the medians and
the median of the pairs' ratios (above 1 means ours is faster). A step includes copying its batch
out of a data set in memory, at random rows, where the row is about training on data.

With ``--avx2`` a processor that has AVX-512 works as one without: OpenBLAS, NumPy, the kernel of
Adam, PyTorch, MKL and oneDNN are all limited to AVX2.

A second table has dense nets of widths 16 to 1,024 with one BLAS thread, with two, and with as many
as the engine chooses by a short trial (`--only threads` for it alone).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # each library picks the kernels for this processor
if "--avx2" in sys.argv:
    os.environ |= {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    }

import numpy as np
import threadpoolctl
import torch
from torch.nn import functional

from agentd.engine.layers import Conv2d, Dense, Flatten, LayerSpec, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.numpy_backend.gemm import choose_threads
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec

Run = Callable[[], object]
ROWS = 8_192  # of the data set that batches are drawn from


@dataclass(frozen=True)
class Case:
    """One row of the table: what must be reached, and the two contestants' makers."""

    name: str
    goal: float
    ours: Callable[[], Run]
    theirs: Callable[[], Run]


def dense_layers(sizes: tuple[int, ...]) -> list[LayerSpec]:
    hidden = [layer for size in sizes[1:-1] for layer in (Dense(size), Relu())]
    return [*hidden, Dense(sizes[-1])]


def train_ours(layers: list[LayerSpec], shape: tuple[int, ...], batch: int, classes: bool) -> Run:
    """Return one training step on random rows of a data set."""
    backend, rng = NumPyBackend(), np.random.default_rng(0)
    net = Network(*layers, input_shape=shape)
    params, gradient = backend.asarray(net.init(rng)), backend.zeros((net.n_params,))
    run = Pass(net, backend, batch, training=True)
    x, y = run.input(params, batch), run.output(params, batch)
    dy, loss = run.output_gradient(params, batch), backend.empty((batch,))
    images = rng.standard_normal((ROWS, *shape)).astype(np.float32)
    if classes:
        labels = rng.integers(0, y.shape[1], ROWS).astype(np.int32)
        target = backend.empty((batch,), "int32")
        criterion = backend.softmax_cross_entropy(y, target, None, None, 0.0, dy, loss)
    else:
        labels = rng.standard_normal((ROWS, y.shape[1])).astype(np.float32)
        target = backend.empty(y.shape)
        criterion = backend.squared_error(y, target, None, dy, loss)
    optimizer = make_optimizer(OptimizerSpec(), backend, net.n_trainable)

    def step() -> None:
        rows = rng.integers(0, ROWS, batch)
        images.take(rows, 0, x, "clip")
        labels.take(rows, 0, target, "clip")
        run.forward(params, x)
        criterion()
        run.backward(gradient, dy)
        optimizer.step(params, gradient)

    return step


def train_theirs(net: Any, shape: tuple[int, ...], batch: int, classes: bool) -> Run:
    """Return one training step on random rows of a data set, in eager PyTorch."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((ROWS, *shape)).astype(np.float32))
    width = net(images[:1]).shape[1]
    if classes:
        labels = torch.from_numpy(rng.integers(0, width, ROWS))
    else:
        labels = torch.from_numpy(rng.standard_normal((ROWS, width)).astype(np.float32))
    criterion = functional.cross_entropy if classes else functional.mse_loss
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def step() -> None:
        rows = torch.from_numpy(rng.integers(0, ROWS, batch))
        optimizer.zero_grad()
        criterion(net(images[rows]), labels[rows]).backward()
        optimizer.step()

    return step


def torch_dense(sizes: tuple[int, ...]) -> Any:
    pairs = itertools.pairwise(sizes)
    layers = [part for a, b in pairs for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    return torch.nn.Sequential(*layers[:-1])


def train(sizes: tuple[int, ...], batch: int, goal: float, classes: bool = True) -> Case:
    return Case(
        f"train {'-'.join(map(str, sizes))}, batch {batch}",
        goal,
        lambda: train_ours(dense_layers(sizes), sizes[:1], batch, classes),
        lambda: train_theirs(torch_dense(sizes), sizes[:1], batch, classes),
    )


def infer(sizes: tuple[int, ...], goal: float) -> Case:
    def ours() -> Run:
        backend, rng = NumPyBackend(), np.random.default_rng(0)
        net = Network(*dense_layers(sizes), input_shape=sizes[:1])
        params, run = backend.asarray(net.init(rng)), Pass(net, backend, 1)
        x = rng.standard_normal((1, sizes[0])).astype(np.float32)
        return lambda: run.forward(params, x)

    def theirs() -> Run:
        net, x = torch_dense(sizes), torch.randn(1, sizes[0])

        def forward() -> None:
            with torch.inference_mode():
                net(x)

        return forward

    return Case(f"infer {'-'.join(map(str, sizes))}, batch 1", goal, ours, theirs)


def convolution(goal: float) -> Case:
    shape, batch = (10, 10, 4), 32
    layers: list[LayerSpec] = [Conv2d(16, 3), Relu(), Flatten(), Dense(128), Relu(), Dense(6)]

    def theirs() -> Run:
        net = torch.nn.Sequential(
            torch.nn.Conv2d(4, 16, 3),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(1024, 128),
            torch.nn.ReLU(),
            torch.nn.Linear(128, 6),
        )
        return train_theirs(net, (4, 10, 10), batch, False)

    name = "train conv 16x3x3 on 10x10x4 - dense 128 - 6, batch 32"
    return Case(name, goal, lambda: train_ours(layers, shape, batch, False), theirs)


def adam(size: int, goal: float) -> Case:
    def ours() -> Run:
        backend, rng = NumPyBackend(), np.random.default_rng(0)
        p, g = (backend.asarray(rng.standard_normal(size).astype(np.float32)) for _ in range(2))
        optimizer = make_optimizer(OptimizerSpec(), backend, size)
        return lambda: optimizer.step(p, g)

    def theirs() -> Run:
        p = torch.nn.Parameter(torch.randn(size))
        p.grad = torch.randn(size)
        return torch.optim.Adam([p], fused=True).step

    return Case(f"Adam step on {size:,} parameters", goal, ours, theirs)


CASES = (
    train((4, 120, 84, 2), 128, 2.0, classes=False),
    infer((8, 256, 256, 4), 2.0),
    train((784, 300, 150, 64, 10), 32, 1.3),
    train((784, 300, 150, 64, 10), 256, 1.0),
    train((784, 1024, 1024, 10), 512, 0.95),
    convolution(1.0),
    adam(1_000_000, 0.8),
)


WIDTHS = (16, 32, 64, 128, 256, 512, 1024)


def thread_rows(pairs: int, budget: float) -> list[dict[str, Any]]:
    """Return, for each width, a step's time with one thread, with two, and as the engine chooses.

    They take turns. ``chosen_s`` is the time with the number that `choose_threads` found; ``cost``
    is the median of that time beside one thread's.
    """
    rows = []
    for width in WIDTHS:
        layers = dense_layers((width, width, width, 10))
        make = partial(train_ours, layers, (width,), 64, True)
        most = min(2, os.cpu_count() or 1)
        chosen, runs = choose_threads(make, most), {}
        for count in range(1, most + 1):
            limit(count)
            runs[count] = make()
        calls = max(3, round(budget / seconds_per_call(runs[most], 5)))
        times: dict[int, list[float]] = {count: [] for count in runs}
        for pair in range(pairs):
            for count in sorted(times, reverse=bool(pair % 2)):
                limit(count)
                runs[count]()
                times[count].append(seconds_per_call(runs[count], calls))
        costs = [a / b for a, b in zip(times[chosen], times[1], strict=True)]
        medians = {count: statistics.median(found) for count, found in times.items()}
        rows.append(
            {
                "width": width,
                "one_s": medians[1],
                "two_s": medians.get(2),
                "chosen": chosen,
                "chosen_s": medians[chosen],
                "cost": statistics.median(costs),
            }
        )
    return rows


def thread_table(rows: list[dict[str, Any]]) -> str:
    """The rows for a person; one thread's time is 1."""
    lines = [f"{'width, batch 64':<16} {'one':>12} {'two':>12} {'chosen':>7} {'beside one':>10}"]
    for row in rows:
        one, two = (f"{(row[key] or 0) * 1e6:,.1f} µs" for key in ("one_s", "two_s"))
        tail = f"{row['chosen']:>7} {row['cost']:>10.2f}"
        lines.append(f"{row['width']:<16} {one:>12} {two:>12} {tail}")
    return "\n".join(lines)


def limit(threads: int) -> None:
    threadpoolctl.threadpool_limits(threads, user_api="blas")
    torch.set_num_threads(threads)


def seconds_per_call(run: Run, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def best_threads(run: Run, budget: float) -> tuple[int, int]:
    """Return the better number of threads, and how many calls then fill ``budget`` seconds."""
    trials: dict[int, float] = {}
    for threads in range(1, 1 + min(2, os.cpu_count() or 1)):
        limit(threads)
        seconds_per_call(run, 5)
        rough = seconds_per_call(run, 5)
        calls = max(5, round(budget / 3 / rough))
        trials[threads] = statistics.median(seconds_per_call(run, calls) for _ in range(3))
    best = min(trials, key=trials.__getitem__)
    return best, max(3, round(budget / trials[best]))


def measure(case: Case, pairs: int, budget: float) -> dict[str, Any]:
    """Return a row: medians in seconds, the median ratio and its quartiles."""
    contestants = (case.ours(), case.theirs())
    plans = [best_threads(run, budget) for run in contestants]
    times: list[list[float]] = [[], []]
    for pair in range(pairs):
        for i in (0, 1) if pair % 2 == 0 else (1, 0):
            threads, calls = plans[i]
            limit(threads)
            contestants[i]()
            times[i].append(seconds_per_call(contestants[i], calls))
    ratios = [b / a for a, b in zip(*times, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "case": case.name,
        "goal": case.goal,
        "ratio": middle,
        "quartiles": [low, high],
        "ours_s": statistics.median(times[0]),
        "torch_s": statistics.median(times[1]),
        "threads": [plans[0][0], plans[1][0]],
        "pairs": pairs,
    }


def table(rows: list[dict[str, Any]]) -> str:
    head = f"{'case':<54} {'ours':>10} {'torch':>10} {'ratio':>6} {'quartiles':>12} {'goal':>5}"
    lines = [head, "-" * len(head)]
    for row in rows:
        ours, theirs = (f"{row[key] * 1e6:,.1f} µs" for key in ("ours_s", "torch_s"))
        spread = "-".join(f"{q:.2f}" for q in row["quartiles"])
        short = (
            "" if row["ratio"] >= row["goal"] else f"  short by {row['goal'] - row['ratio']:.2f}"
        )
        lines.append(
            f"{row['case']:<54} {ours:>10} {theirs:>10} {row['ratio']:>6.2f} {spread:>12} "
            f"{row['goal']:>5.2f}{short}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=15, help="slices of each side")
    parser.add_argument("--seconds", type=float, default=0.15, help="length of a slice")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--avx2", action="store_true", help="without AVX-512, on both sides")
    options = parser.parse_args()
    if options.avx2:  # the environment was set before the libraries were loaded
        from agentd.engine.opencl_backend import pocl

        pocl._INLINED = pocl._INLINED.replace("#line 1", "#undef __AVX512F__\n#line 1")
    rows = [measure(c, options.pairs, options.seconds) for c in CASES if options.only in c.name]
    threads = []
    if options.only in "threads":
        threads = thread_rows(options.pairs, options.seconds)
    facts = {
        "numpy": np.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if options.json:
        print(json.dumps({"machine": facts, "rows": rows, "threads": threads}))
    else:
        print(" ".join(f"{key}={value}" for key, value in facts.items()), file=sys.stderr)
        print(table(rows))
        if threads:
            print("", thread_table(threads), sep="\n")


if __name__ == "__main__":
    main()
