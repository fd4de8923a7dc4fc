#!/usr/bin/env python3
"""How fast the kernels are on an OpenCL device: GFLOP/s and GB/s beside its ceilings.

    python scripts/bench_opencl.py [--device opencl] [--seconds 0.3] [--only WORD] [--save] [--json]
                                   [--mnist FOLDER]

Kernels: the best of repeated runs, from enqueue to finish, launch included. Ceilings are measured
on the same device: arithmetic by a loop of independent multiply-adds, memory by the better of
two streams (read one array, write one): 4 MiB, in a CPU's caches, and 128 MiB, beyond them.
Training steps are compared with the NumPy backend (one BLAS thread) and, where it is installed,
with torch on the CPU (one thread too): the median of all runs, which take turns in blocks of
20: each finds the caches as it left them, but for the first run of a block, which counts too.
``--mnist`` adds whole epochs of 784-300-150-64-10 at batch 256 on both backends, loader and all, in
turns, with the loss and accuracy of each. ``--save`` writes the
result to scripts/results/opencl-<device>-<date>.json. Nothing here needs a GPU; on one,
the same command also measures every line of ``bench_gpu.py`` beside torch on that GPU.

Where steps take turns on a busy machine, the median tells of the machine: PoCL shares a step out
to a thread per core and waits for the last of them, so one other process costs a whole time slice
now and then. The least time is what the step itself needs; both are printed, and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # each library picks the kernels for this processor
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from agentd.engine.backend import Backend, Window
from agentd.engine.data import find_normalizer, load_data
from agentd.engine.layers import Dense, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.opencl_backend import OpenCLBackend
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.training.trainer import Trainer

Run = Callable[[], object]
RESULTS = Path(__file__).parent / "results"
BLOCK = 20  # runs of one kind before the next one's turn
ADAM = (0.9, 0.999, 1e-3, 1e-8, 0.0, 1.0, True)
PEAK = """
__kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void peak(__global float *y, const int rounds) {
    float16 a[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i] = (float16)(get_global_id(0) + i);
    for (int r = 0; r < rounds; ++r)
#pragma unroll
        for (int i = 0; i < 8; ++i) a[i] = mad(a[i], (float16)(0.999f), (float16)(0.5f));
    float16 sum = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += a[i];
    y[get_global_id(0)] = sum.s0 + sum.s7 + sum.sf;
}
"""
MNIST = "784-300-150-64-10"
NETS = {MNIST: (784, 300, 150, 64, 10), "4-120-84-2": (4, 120, 84, 2)}


def best(run: Run, finish: Run, seconds: float) -> float:
    """Return the shortest time of ``run`` with ``finish`` after it, in seconds."""
    run(), finish()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run(), finish()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def ceilings(backend: OpenCLBackend, seconds: float) -> dict[str, float]:
    """Return the device's GFLOP/s and GB/s as plain kernels reach them."""
    import pyopencl as cl

    runtime = backend.runtime
    local, rounds = (64, 200) if runtime.is_gpu else (1, 20_000)
    items = local * runtime.units * 16
    kernel = cl.Kernel(runtime.programs.build("peak", PEAK, (f"-DLOCAL={local}",)), "peak")
    kernel.set_args(backend.zeros((items,)).buffer, np.int32(rounds))

    def peak() -> object:
        return cl.enqueue_nd_range_kernel(runtime.queue, kernel, (items,), (local,))

    flops = items * rounds * 8 * 16 * 2 / best(peak, runtime.finish, seconds)
    found = {"gflops": flops / 1e9}
    for name, size in (("cached", 1 << 20), ("memory", 1 << 25)):
        x, y = backend.zeros((size,)), backend.zeros((size,))
        copied = 2 * x.nbytes / best(backend.activation("relu", x, y), runtime.finish, seconds)
        found[f"gbytes_{name}"] = copied / 1e9
    return found | {"gbytes": max(found["gbytes_cached"], found["gbytes_memory"])}


def kernels(be: OpenCLBackend) -> Iterator[tuple[str, Run, float, float]]:
    """Yield (name, run, floating-point operations, bytes moved)."""
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> Any:
        return be.asarray(rng.standard_normal(shape).astype(np.float32))

    sizes = [(1024, 1024, 1024), (256, 784, 300), (128, 120, 84)]
    if be.runtime.is_gpu:
        sizes.insert(0, (4096, 4096, 4096))
    for m, k, n in sizes:
        x, w, y, b = floats(m, k), floats(k, n), floats(m, n), floats(n)
        moved, work = 4.0 * (m * k + k * n + m * n), 2.0 * m * k * n
        yield f"gemm nn {m}x{k}x{n}", be.affine(x, w, b, y, "relu"), work, moved
        yield f"gemm tn {k}x{m}x{n}", be.matmul_tn(x, y, w), work, moved
        yield f"gemm nt {m}x{n}x{k}", be.matmul_nt(y, w, x), work, moved
    for m in (1, 8):
        x, w, y, b = floats(m, 1024), floats(1024, 1024), floats(m, 1024), floats(1024)
        yield f"skinny {m}x1024x1024", be.affine(x, w, b, y), 2.0 * m * 1024**2, 4.0 * 1024**2
    yield from convolutions(be)
    vectors = [1 << 20] + ([50_000_000] if be.runtime.is_gpu else [])
    for size in vectors:
        p, g, m_, v = (floats(size) for _ in range(4))
        adam = be.adam(p, g, m_, v)
        yield f"adam {size}", lambda adam=adam: adam(*ADAM), 12.0 * size, 28.0 * size
    ring, slot = be.zeros((4096, 7056), "uint8"), rng.integers(0, 4096, 128).astype(np.int32)
    gather = be.gather_rows(ring, be.asarray(slot), be.zeros((128, 7056)))
    yield "gather 128 of 4096x7056 bytes", gather, 0.0, 5.0 * 128 * 7056
    out, size = be.zeros((1,)), vectors[0]
    yield f"norm {size}", be.norm(g, out), 2.0 * size, 4.0 * size
    yield f"clip_norm {size}", be.clip_norm(g, 1e-3, out), 3.0 * size, 12.0 * size
    yield f"relu {size}", be.activation("relu", p, g), 1.0 * size, 8.0 * size
    yield f"tanh {size}", be.activation("tanh", p, g), 1.0 * size, 8.0 * size
    rows, classes = 1024, 1858
    y, dy, loss = floats(rows, classes), floats(rows, classes), floats(rows)
    label = be.asarray(rng.integers(0, classes, rows).astype(np.int32))
    soft = be.softmax_cross_entropy(y, label, None, None, 0.0, dy, loss)
    yield f"softmax xent {rows}x{classes}", soft, 8.0 * rows * classes, 16.0 * rows * classes
    yield f"sum_rows {rows}x{classes}", be.sum_rows(y, floats(classes)), 0.0, 4.0 * rows * classes


def convolutions(be: OpenCLBackend) -> Iterator[tuple[str, Run, float, float]]:
    """Yield forward convolutions, the input gathered tile by tile and unfolded in memory."""
    for batch, side, channels, filters, kernel in ((256, 28, 1, 16, 5), (64, 10, 16, 32, 3)):
        window = Window(side, side, channels, (kernel, kernel), padding=(kernel // 2,) * 2)
        rows, k = batch * side * side, window.taps
        x, w = be.zeros((batch, side, side, channels)), be.zeros((k, filters))
        b, y, columns = be.zeros((filters,)), be.zeros((rows, filters)), be.zeros((rows, k))
        unfold, product = be.im2col(x, window, columns), be.affine(columns, w, b, y, "relu")
        work, moved = 2.0 * rows * k * filters, 4.0 * (x.size + y.size)
        name = f"{batch}x{side}x{side}x{channels} {kernel}x{kernel} {filters}"
        yield f"conv {name}", be.conv(x, w, b, window, y, "relu"), work, moved
        yield f"conv unfolded {name}", lambda u=unfold, p=product: (u(), p()), work, moved


def network(sizes: tuple[int, ...]) -> Network:
    layers = [layer for n in sizes[1:-1] for layer in (Dense(n), Relu())]
    return Network(*layers, Dense(sizes[-1]), input_shape=(sizes[0],))


def trainer(be: Backend, sizes: tuple[int, ...], batch: int) -> Run:
    """Return a training step: copy a batch in, forward, softmax loss, backward, Adam, read."""
    net = network(sizes)
    rng = np.random.default_rng(0)
    p, g = be.asarray(net.init(rng)), be.zeros((net.n_params,))
    run, rule = (
        Pass(net, be, batch, training=True),
        make_optimizer(OptimizerSpec(), be, net.n_params),
    )
    x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
    label = be.asarray(rng.integers(0, sizes[-1], batch).astype(np.int32))
    y, dy, loss = run.output(p, batch), run.output_gradient(p, batch), be.zeros((batch,))
    cost = be.softmax_cross_entropy(y, label, None, None, 0.0, dy, loss)

    def step() -> None:
        run.forward(p, x)
        cost()
        run.backward(g, dy)
        rule.step(p, g)
        be.to_host(loss)

    return step


def torch_trainer(sizes: tuple[int, ...], batch: int) -> Run | None:
    """Return the same step in torch, eager with its fused Adam; None where torch is absent."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    pairs = pairwise(sizes)
    layers = [part for a, b in pairs for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    net = torch.nn.Sequential(*layers[:-1])
    rule = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    x, label = torch.randn(batch, sizes[0]), torch.randint(sizes[-1], (batch,))

    def step() -> None:
        rule.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), label)
        loss.backward()
        rule.step()
        loss.item()

    return step


def plain_adam(size: int) -> Run:
    """Return Adam in plain NumPy, one pass a line with ``out=`` nowhere: the naive twin."""
    p, g, m, v = np.random.default_rng(0).random((4, size), np.float32)

    def step() -> None:
        nonlocal m, v, p
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        p = p - 1e-3 * m / (np.sqrt(v) + 1e-8)

    return step


def compare(runs: dict[str, Run], seconds: float) -> dict[str, float]:
    """Return median and least seconds of each run; they take turns, so noise meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(3):
            run()
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end:
        for name, run in runs.items():
            for _ in range(BLOCK):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    found = {name: statistics.median(spent) for name, spent in times.items()}
    return found | {f"{name}, least": min(spent) for name, spent in times.items()}


def epochs(backends: dict[str, Backend], folder: Path, rounds: int = 3) -> dict[str, Any]:
    """Return seconds, loss and accuracy of each epoch of MNIST, the backends' epochs in turns."""
    data = load_data(folder)
    normalizer, sizes = find_normalizer(data, "auto"), NETS[MNIST]
    found: dict[str, Any] = {}
    trainers: dict[str, Trainer] = {}
    for name, backend in backends.items():
        given: dict[str, Any] = {
            "normalizer": normalizer,
            "backend": backend,
            "clock": time.perf_counter,
        }
        trainers[name] = Trainer(network(sizes), batch=256, **given)
        found[name] = {"seconds": [], "loss": [], "accuracy": []}
    for epoch in range(rounds):
        for name, trainer in trainers.items():
            (report,) = trainer.fit(data, epochs=epoch + 1)
            found[name]["seconds"].append(report.seconds)
            found[name]["loss"].append(report.train_loss)
            found[name]["accuracy"].append(report.train_accuracy)
    return found


def measure(device: str, seconds: float, only: str) -> dict[str, Any]:
    be = OpenCLBackend(device)
    chip, top = be.runtime.device, ceilings(be, seconds)
    result: dict[str, Any] = {
        "device": chip.name.strip(),
        "platform": chip.platform.version.strip(),
        "driver": chip.driver_version.strip(),
        "units": be.runtime.units,
        "gpu": be.runtime.is_gpu,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "ceilings": top,
        "kernels": {},
        "steps": {},
    }
    for name, run, work, moved in kernels(be):
        if only in name:
            spent = best(run, be.runtime.finish, seconds)
            rates = {"us": spent * 1e6, "gflops": work / spent / 1e9, "gbytes": moved / spent / 1e9}
            result["kernels"][name] = rates
    if only in "adam":
        p, g, m, v = (be.zeros((1 << 20,)) for _ in range(4))
        fused, host = be.adam(p, g, m, v), NumPyBackend()
        blocked = host.adam(*(host.zeros((1 << 20,)) for _ in range(4)))
        runs: dict[str, Run] = {
            "opencl": lambda: (fused(*ADAM), be.runtime.finish()),
            "numpy blocked": lambda: blocked(*ADAM),
            "numpy plain": plain_adam(1 << 20),
        }
        result["steps"]["adam 1M"] = compare(runs, seconds)
    for name, sizes in NETS.items():
        if only in name:
            batch = 256 if sizes[0] > 100 else 128
            runs = {
                d: trainer(b, sizes, batch) for d, b in (("opencl", be), ("numpy", NumPyBackend()))
            }
            if theirs := torch_trainer(sizes, batch):
                runs["torch cpu"] = theirs
            result["steps"][f"train {name} batch {batch}"] = compare(runs, seconds)
    if be.runtime.is_gpu and only in "gpu":
        from bench_gpu import shows

        result["gpu_lines"] = shows(be, seconds, top["gbytes_memory"])
    after = ceilings(be, seconds)  # on a shared machine the first look may have been disturbed
    result["ceilings"] = {name: max(value, after[name]) for name, value in top.items()}
    return result


def table(result: dict[str, Any]) -> str:
    top = result["ceilings"]
    lines = [
        f"{result['device']} · {result['platform']} · {result['date']} · load {result['load']:.1f}"
    ]
    lines.append(f"{'ceiling':<28}{'':>10}{top['gflops']:>10.1f} GFLOP/s{top['gbytes']:>9.1f} GB/s")
    lines[-1] += f" ({top['gbytes_cached']:.1f} in 4 MiB, {top['gbytes_memory']:.1f} in 128 MiB)"
    for name, row in result["kernels"].items():
        share = max(row["gflops"] / top["gflops"], row["gbytes"] / top["gbytes"])
        rates = f"{row['us']:>8.0f}us{row['gflops']:>10.1f} GFLOP/s{row['gbytes']:>9.1f} GB/s"
        lines.append(f"{name:<28}{rates}  {share:>4.0%}")
    for name, row in result["steps"].items():
        lines.append(f"{name:<34}" + "  ".join(f"{k} {s * 1e3:.3f} ms" for k, s in row.items()))
        others = [k for k in row if k != "opencl" and "least" not in k]
        told = (
            f"{k}/opencl {row[k] / row['opencl']:.2f} (least"
            f" {row[f'{k}, least'] / row['opencl, least']:.2f})"
            for k in others
        )
        lines.append(" " * 34 + "  ".join(told))
    for name, row in result.get("mnist", {}).items():
        times = " ".join(f"{s:.2f}" for s in row["seconds"])
        loss, accuracy = row["loss"][-1], row["accuracy"][-1]
        told = f"mnist epochs, batch 256, {name}"
        lines.append(f"{told:<34}{times} s  at last: loss {loss:.5f}, accuracy {accuracy:.4f}")
    if "mnist" in result:
        ours, theirs = (
            statistics.median(result["mnist"][k]["seconds"]) for k in ("opencl", "numpy")
        )
        lines.append(" " * 34 + f"opencl/numpy {ours / theirs:.2f} (medians)")
    if "gpu_lines" in result:
        from bench_gpu import lines_of

        lines += lines_of(result["gpu_lines"])
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="opencl")
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--only", default="")
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's IDX files")
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    result = measure(chosen.device, chosen.seconds, chosen.only)
    if chosen.mnist:
        backends: dict[str, Backend] = {
            "opencl": OpenCLBackend(chosen.device),
            "numpy": NumPyBackend(),
        }
        result["mnist"] = epochs(backends, chosen.mnist)
    print(json.dumps(result, indent=1) if chosen.json else table(result))
    if chosen.save:
        RESULTS.mkdir(exist_ok=True)
        name = re.sub(r"[^a-z0-9]+", "-", result["device"].lower()).strip("-")
        path = RESULTS / f"opencl-{name}-{result['date'][:10]}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
