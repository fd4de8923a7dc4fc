#!/usr/bin/env python3
"""Activation memory beside PyTorch: bytes kept for backward, peaks, and the price in time.

    python scripts/bench_memory.py [--batch 256] [--rounds 7] [--widths 512,2048,...] [--json]

A chain of dense layers with relu is trained in both, from the same weights on the same rows.
PyTorch saves everything, or checkpoints segments (`torch.utils.checkpoint`), or saves by policies
of its own (selective activation checkpointing). Its bytes are those of the tensors that autograd
packs and of the products that a policy saves, input, output and parameters left out; ours are those
of the plan, which the tests prove to be the bytes in memory. Each of PyTorch's ways stands beside
ours of equal recomputation. Then ten budgets: the peak of our activations and their gradients, of
NumPy in all (`tracemalloc`), and a step's time beside the full pass: the median of CPU seconds of
steps that take turns, which other processes disturb little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import threadpoolctl
import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
)

from agentd.engine.checkpointing import MemorySpec, plan_memory
from agentd.engine.layers import Dense, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.numpy_backend import NumPyBackend

WIDTHS = (512, 2048) * 6
BUDGETS = [i / 9 for i in range(10)]
aten = torch.ops.aten


class Chain:
    """One network, its rows and first weights, for both contestants."""

    def __init__(self, widths: tuple[int, ...], batch: int) -> None:
        self.widths, self.batch = widths, batch
        layers = [part for width in widths for part in (Dense(width), Relu())][:-1]
        self.net = Network(*layers, input_shape=(512,))
        rng = np.random.default_rng(0)
        self.weights = self.net.init(rng)
        self.x = rng.standard_normal((batch, 512)).astype(np.float32)
        self.dy = rng.standard_normal((batch, widths[-1])).astype(np.float32) / batch

    def ours(self, memory: MemorySpec | None) -> tuple[Callable[[], object], Any, Pass]:
        """Return a step (forward and backward), its gradient, and the pass."""
        backend = NumPyBackend()
        params, gradient = backend.asarray(self.weights), backend.zeros((self.net.n_params,))
        run = Pass(self.net, backend, self.batch, training=True, memory=memory)

        def step() -> None:
            run.forward(params, self.x)
            run.backward(gradient, self.dy)

        return step, gradient, run

    def theirs(self) -> Any:
        """Return PyTorch's module with the same weights, a block for each dense layer."""
        blocks, at = [], 0
        for i, width in enumerate(self.widths):
            before = 512 if i == 0 else self.widths[i - 1]
            linear = torch.nn.Linear(before, width)
            end = at + before * width
            weights = torch.from_numpy(self.weights[at:end].reshape(before, width).T.copy())
            bias = torch.from_numpy(self.weights[end : end + width].copy())
            linear.weight.data, linear.bias.data = weights, bias
            at = end + width
            last = i == len(self.widths) - 1
            blocks.append(linear if last else torch.nn.Sequential(linear, torch.nn.ReLU()))
        return torch.nn.Sequential(*blocks)


class Packed:
    """Counts the bytes of distinct tensors that autograd saves, parameters and input left out."""

    def __init__(self, known: list[Any]) -> None:
        self.bytes = 0
        self._seen = {tensor.untyped_storage().data_ptr() for tensor in known}
        self._kept: list[Any] = []

    def pack(self, tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._kept.append(tensor)  # so that nothing else gets its address
            self.bytes += storage.nbytes()
        return tensor


def their_ways(module: Any, chain: Chain) -> dict[str, tuple[Callable[[Any], Any], list[int]]]:
    """Return each way of PyTorch's: its forward, and the layers that it computes twice."""
    count = len(module)

    def selective(x: Any, again: set[int]) -> Any:
        made = [0]

        def policy(context: Any, op: Any, *given: Any, **named: Any) -> Any:
            if op != aten.addmm.default:
                return CheckpointPolicy.PREFER_RECOMPUTE
            i = made[0] % count
            made[0] += 1
            must = CheckpointPolicy.MUST_RECOMPUTE
            return must if i in again else CheckpointPolicy.MUST_SAVE

        contexts = partial(create_selective_checkpoint_contexts, policy)
        return checkpoint(module, x, use_reentrant=False, context_fn=contexts)

    ways: dict[str, tuple[Callable[[Any], Any], list[int]]] = {"all saved": (module, [])}
    for segments in (2, 3, 4, 6):
        size = count // segments
        twice = [i for s in range(segments - 1) for i in range(s * size, (s + 1) * size)]
        cut = partial(checkpoint_sequential, module, segments, use_reentrant=False)
        ways[f"checkpoint, {segments} segments"] = (cut, twice)
    wide = {i for i in range(count - 1) if chain.widths[i] == max(chain.widths)}
    ways["selective, wide recomputed"] = (partial(selective, again=wide), sorted(wide))
    every = set(range(count))
    ways["selective, all recomputed"] = (partial(selective, again=every), sorted(every))
    return ways


def kept_by_policy(chain: Chain, twice: list[int]) -> int:
    """Bytes of the products that a selective policy saves, which autograd's hooks do not see."""
    kept = [w for i, w in enumerate(chain.widths[:-1]) if i not in twice]
    return 4 * chain.batch * sum(kept)


def beside_torch(chain: Chain) -> list[dict[str, Any]]:
    """Each of PyTorch's ways, and what ours keeps for no more recomputation."""
    module, rows = chain.theirs(), []
    ladder = plan_memory(chain.net, chain.batch, MemorySpec(bound="saved"))
    flops = [cost.flops for cost in ladder.costs]
    x, dy = torch.from_numpy(chain.x), torch.from_numpy(chain.dy)
    known = [x, *module.parameters(), *module.state_dict().values()]
    for name, (forward, twice) in their_ways(module, chain).items():
        module.zero_grad()
        packed = Packed(known)
        with torch.autograd.graph.saved_tensors_hooks(packed.pack, lambda tensor: tensor):
            y = forward(x)
        y.backward(dy)
        theirs = np.concatenate(
            [p.grad.t().reshape(-1).numpy() for p in module.parameters() if p.grad is not None]
        )
        spent = sum(flops[i] for i in twice)
        hidden = kept_by_policy(chain, twice) if name.startswith("selective") else 0
        budget = min(b / 200 for b in range(201) if ladder.at(b / 200).replayed <= spent)
        step, gradient, run = chain.ours(MemorySpec(budget=budget, bound="saved"))
        step()
        plan = run.memory or ladder.at(1.0)
        rows.append(
            {
                "torch": name,
                "torch_kept": packed.bytes + hidden,
                "torch_replayed": spent,
                "ours_kept": plan.saved,
                "ours_replayed": plan.replayed,
                "budget": budget,
                "difference": float(np.abs(gradient - theirs).max() / np.abs(theirs).max()),
            }
        )
    return rows


def over_budgets(chain: Chain, rounds: int) -> list[dict[str, Any]]:
    """Ten budgets: bit equality with the full pass, peaks, and CPU seconds beside it."""
    whole, right, _ = chain.ours(None)
    whole()
    full = traced(chain, None)
    ladder = plan_memory(chain.net, chain.batch, MemorySpec())
    rows = []
    for budget in BUDGETS:
        spec = MemorySpec(budget=budget)
        step, gradient, run = chain.ours(spec)
        step()
        ratios = []
        for _ in range(rounds):
            ours, theirs = cpu_seconds(step), cpu_seconds(whole)
            ratios.append(ours / theirs)
        plan = run.memory or ladder.at(1.0)
        arena = plan.peak if run.memory else ladder.plain_bytes
        held = traced(chain, spec)
        rows.append(
            {
                "budget": budget,
                "equal": bool(np.array_equal(gradient, right)),
                "arena": arena,
                "arena_share": arena / ladder.plain_bytes,
                "traced": held,
                "traced_share": held / full,
                "kept": plan.saved,
                "replayed": plan.replayed,
                "time": statistics.median(ratios),
            }
        )
    return rows


def traced(chain: Chain, spec: MemorySpec | None) -> int:
    """Return the most bytes that NumPy holds for a step, beside parameters and gradient."""
    tracemalloc.start()
    step, gradient, _ = chain.ours(spec)
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - 2 * gradient.nbytes


def cpu_seconds(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def text(found: dict[str, Any]) -> str:
    head = ("kept", "again", "ours", "again", "difference")
    lines = [f"{'PyTorch':<28}" + "".join(f" {name:>10}" for name in head)]
    for row in found["torch"]:
        sizes = [row["torch_kept"], row["ours_kept"]]
        flops = [row["torch_replayed"], row["ours_replayed"]]
        both = "".join(
            f" {kept / 1e6:>7.2f} MB {spent / 1e9:>8.2f} G"
            for kept, spent in zip(sizes, flops, strict=True)
        )
        lines.append(f"{row['torch']:<28}{both} {row['difference']:>10.1e}")
    head = ("budget", "equal", "arena", "share", "NumPy", "share", "time")
    lines += ["", "".join(f" {name:>9}" for name in head)]
    for row in found["budgets"]:
        sizes = "".join(
            f" {row[key] / 1e6:>6.2f} MB {row[f'{key}_share']:>9.1%}" for key in ("arena", "traced")
        )
        lines.append(f" {row['budget']:>9.2f} {row['equal']!s:>9}{sizes} {row['time']:>9.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of steps that are timed")
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    threadpoolctl.threadpool_limits(1, user_api="blas")
    torch.set_num_threads(1)
    chain = Chain(tuple(map(int, options.widths.split(","))), options.batch)
    found = {"torch": beside_torch(chain), "budgets": over_budgets(chain, options.rounds)}
    print(json.dumps(found) if options.json else text(found))


if __name__ == "__main__":
    main()
