"""What a GPU must show beside torch on the same GPU; ``bench_opencl.py`` runs it on one.

Each line is the median of alternating runs, ours and torch's, from call to finish: a learner's
update includes the batch's way from the host on both sides. Where torch has no CUDA its half is
missing. ``shows`` takes smaller sizes, so that the lines themselves can be tried on any device.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from agentd.engine.layers import Dense, Relu
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.network import Network
from agentd.engine.opencl_backend import OpenCLBackend, tensor_cores
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.rows import FIRST, MID, RowFormat, Rows, TensorFormat

Run = Callable[[], object]
LAYERS = (120, 84)
BATCH = 128
ADAM = (0.9, 0.999, 1e-3, 1e-8, 0.0, 1.0, True)


def shows(
    backend: OpenCLBackend,
    seconds: float,
    copied: float,
    side: int = 4096,
    vector: int = 50_000_000,
    torch_device: str = "cuda",
) -> dict[str, dict[str, float]]:
    """Return for each line the wanted ratio, the ratio found, and milliseconds of both sides.

    ``copied`` is the device's copy bandwidth in GB/s. A ratio is torch's time over ours, for Adam
    our bandwidth over the copy's.
    """
    torch = _torch(torch_device)
    found = {}
    for name, wanted, ours, theirs in _lines(backend, torch, torch_device, side):
        runs = {"ours": ours} if theirs is None else {"ours": ours, "torch": theirs}
        times = _alternate(runs, seconds)
        line = {"wanted": wanted, **{f"{k}_ms": t * 1e3 for k, t in times.items()}}
        if "torch" in times:
            line["ratio"] = times["torch"] / times["ours"]
        found[name] = line
    p, g, m, v = (backend.zeros((vector,)) for _ in range(4))
    step = backend.adam(p, g, m, v)
    spent = _alternate({"ours": _whole(backend, lambda: step(*ADAM))}, seconds)["ours"]
    rate = 28 * vector / spent / 1e9
    found[f"adam {vector}, of the copy"] = {
        "wanted": 0.90,
        "ours_ms": spent * 1e3,
        "ratio": rate / copied,
    }
    return found


def lines_of(found: dict[str, dict[str, float]]) -> list[str]:
    """Return the lines as text."""
    told = []
    for name, line in found.items():
        times = "  ".join(f"{k[:-3]} {line[k]:.3f} ms" for k in line if k.endswith("_ms"))
        ratio = f"{line['ratio']:.2f}" if "ratio" in line else "no torch on this GPU"
        told.append(f"{name:<34}{ratio} (wanted {line['wanted']:.2f})  {times}")
    return told


def _lines(be: OpenCLBackend, torch: Any, where: str, side: int) -> Any:
    """Yield (name, wanted ratio, our run, torch's run or None)."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((side, side)).astype(np.float32) for _ in range(2))
    a, b, y = be.asarray(x), be.asarray(w), be.zeros((side, side))
    theirs = None
    if torch:
        torch.backends.cuda.matmul.allow_tf32 = False
        tx, tw = (torch.tensor(array, device=where) for array in (x, w))
        theirs = _synchronised(torch, where, lambda: tx @ tw)
    yield f"sgemm fp32 {side}^3", 0.70, _whole(be, be.affine(a, b, None, y)), theirs
    for mode in ("tf32x3", "tf32", "bf16"):
        runtime = be.runtime
        if not tensor_cores.works(be, mode):
            continue
        options, _ = tensor_cores.MODES[mode]
        step = tensor_cores.bind(runtime, side, side, side, a, b, 0, y, 0, y, options=options)
        if torch and mode == "bf16":
            hx, hw = tx.bfloat16(), tw.bfloat16()
            theirs = _synchronised(torch, where, lambda hx=hx, hw=hw: hx @ hw)
        yield f"{mode} mma {side}^3", 0.30 if mode == "bf16" else 0.70, _whole(be, step), theirs
    yield _cross_entropy(be, torch, where)
    ours = learner(be)
    yield "dqn update 4-120-84-2", 3.0, ours, torch and torch_learner(torch, where)


def _cross_entropy(be: OpenCLBackend, torch: Any, where: str) -> tuple[str, float, Run, Run | None]:
    rng, (rows, classes) = np.random.default_rng(1), (1024, 1858)
    y = rng.standard_normal((rows, classes)).astype(np.float32)
    label = rng.integers(0, classes, rows)
    dy, loss = be.zeros((rows, classes)), be.zeros((rows,))
    ours = be.softmax_cross_entropy(
        be.asarray(y), be.asarray(label.astype(np.int32)), None, None, 0.0, dy, loss
    )
    theirs = None
    if torch:
        ty = torch.tensor(y, device=where, requires_grad=True)
        tl = torch.tensor(label, device=where)

        def both() -> None:
            ty.grad = None
            torch.nn.functional.cross_entropy(ty, tl).backward()

        theirs = _synchronised(torch, where, both)
    return f"softmax xent {rows}x{classes}", 1.0, _whole(be, ours), theirs


def learner(be: Any, rows: int = 4096) -> Run:
    """Return a deep Q-learner's update from a ring of ``rows`` made-up rows."""
    rng = np.random.default_rng(2)
    format = RowFormat((TensorFormat("x", np.dtype("<f4"), (4,), 0, 16),), (2,))
    ring = Rows(
        format=format,
        obs=rng.standard_normal((rows, 4)).astype(np.float32).view(np.uint8),
        mask_bits=np.zeros((rows, 1), np.uint8),
        action=rng.integers(0, 2, (rows, 1)).astype(np.int32),
        reward=rng.standard_normal(rows).astype(np.float32),
        kind=np.where(np.arange(rows) == 0, FIRST, MID).astype(np.uint8),
        next=np.append(np.arange(1, rows), -1),
        explored=np.zeros(rows, np.uint8),
        stream=np.zeros(rows, np.uint32),
        version=np.zeros(rows, np.uint64),
    )
    hidden = [layer for n in LAYERS for layer in (Dense(n), Relu())]
    net = Network(*hidden, Dense(2), input_shape=(4,))
    rule = make_optimizer(OptimizerSpec(lr=1e-3), be, net.n_trainable)
    player = DqnLearner(net, be, rule, format, DqnConfig(batch=BATCH), seed=0)
    return lambda: player.update(ring, 0, rows, 8)


def torch_learner(torch: Any, where: str) -> Run:
    """Return the same update in torch, eager with its fused Adam, the batch drawn beforehand."""
    sizes = (4, *LAYERS, 2)

    def make() -> Any:
        pairs = pairwise(sizes)
        layers = [part for a, b in pairs for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        return torch.nn.Sequential(*layers[:-1]).to(where)

    online, target = make(), make()
    rule = torch.optim.Adam(online.parameters(), lr=1e-3, fused=True)
    batch = torch.randn(2 * BATCH, 4), torch.randint(2, (BATCH, 1)), torch.randn(BATCH)

    def step() -> None:
        x, action, reward = (part.to(where, non_blocking=True) for part in batch)
        with torch.no_grad():
            best = online(x[BATCH:]).argmax(1, keepdim=True)
            goal = reward + 0.99 * target(x[BATCH:]).gather(1, best)[:, 0]
        q = online(x[:BATCH]).gather(1, action)[:, 0]
        loss = torch.nn.functional.smooth_l1_loss(q, goal)
        rule.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(online.parameters(), 10.0)
        rule.step()
        loss.item()

    return step


def _torch(where: str) -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch if where == "cpu" or torch.cuda.is_available() else None


def _whole(be: OpenCLBackend, run: Run) -> Run:
    return lambda: (run(), be.runtime.finish())


def _synchronised(torch: Any, where: str, run: Run) -> Run:
    return run if where == "cpu" else lambda: (run(), torch.cuda.synchronize())


def _alternate(runs: dict[str, Run], seconds: float) -> dict[str, float]:
    """Return each run's median seconds; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(), run()
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or not times["ours"]:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(spent) for name, spent in times.items()}
