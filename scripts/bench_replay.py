#!/usr/bin/env python3
"""What prioritised replay costs: drawing and updating 256 of 1,000,000 rows; whole updates with it.

    python scripts/bench_replay.py [--rows 1000000] [--batch 256] [--pairs 15] [--json]

The peers are binary sum trees in Python: one walk down for each draw and one walk up for each
update, as in most single-file agents (``loop``), and the same tree with all draws of a batch walked
down together in NumPy, updates still one by one (``half``). Neither finds which rows may start a
transition or computes importance weights; ours does both in the time that is measured. They take
turns; medians of the pairs' ratios. Then whole updates of a 4-128-128-2 network, batch 128, with
each improvement, against the plain one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # each library picks the kernels for this processor

import numpy as np
import threadpoolctl

from agentd.engine.layers import Dense, Dueling, LayerSpec, NoisyDense, Relu
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.learners.heads import CategoricalConfig
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.optim import make_optimizer
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.priorities import PrioritizedSampler, PriorityConfig
from agentd.engine.replay.rows import MID, RowFormat, Rows, TensorFormat
from agentd.engine.replay.sampling import sampler_rng

STREAMS = 8


class LoopTree:
    """The sum tree of a single-file agent: a list of 2^k - 1 nodes, walked in Python."""

    def __init__(self, leaves: int) -> None:
        self.size = 1 << (leaves - 1).bit_length()
        self.nodes = [0.0] * (2 * self.size)

    def set(self, leaf: int, weight: float) -> None:
        node = leaf + self.size
        self.nodes[node] = weight
        while node > 1:
            node //= 2
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find(self, at: float) -> int:
        node = 1
        while node < self.size:
            node *= 2
            if at >= self.nodes[node]:
                at -= self.nodes[node]
                node += 1
        return node - self.size


class HalfTree:
    """The same nodes in an array: a batch is walked down together, updated one by one."""

    def __init__(self, leaves: int) -> None:
        self.size = 1 << (leaves - 1).bit_length()
        self.nodes = np.zeros(2 * self.size)

    def set(self, leaf: int, weight: float) -> None:
        node = leaf + self.size
        self.nodes[node] = weight
        while node > 1:
            node //= 2
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find_all(self, at: Any) -> Any:
        node = np.ones(len(at), np.int64)
        while node[0] < self.size:
            left = self.nodes[2 * node]
            right = at >= left
            at = np.where(right, at - left, at)
            node = 2 * node + right
        return node - self.size


def make_rows(capacity: int) -> Rows:
    """Return a full ring of endless episodes of STREAMS streams in turn."""
    rng = np.random.default_rng(0)
    format = RowFormat((TensorFormat("x", np.dtype("<f4"), (4,), 0, 16),), (2,))
    return Rows(
        format=format,
        obs=rng.standard_normal((capacity, 4)).astype(np.float32).view(np.uint8),
        mask_bits=np.zeros((capacity, 1), np.uint8),
        action=rng.integers(0, 2, (capacity, 1)).astype(np.int32),
        reward=rng.random(capacity).astype(np.float32),
        kind=np.full(capacity, MID, np.uint8),
        next=np.arange(capacity) + STREAMS,
        explored=np.zeros(capacity, np.uint8),
        stream=np.zeros(capacity, np.uint32),
        version=np.zeros(capacity, np.uint64),
    )


def trees(rows: int, batch: int) -> dict[str, Callable[[], object]]:
    """Return one draw and update of a batch, for each contestant."""
    ring, rng = make_rows(rows), np.random.default_rng(1)
    errors = rng.random((64, batch))
    start = (rng.random(rows) + 1e-6) ** 0.6
    ours = PrioritizedSampler(batch, PriorityConfig(), sampler_rng(0))
    ours.draw(ring, 0, rows)
    ours._tree.restore(start)
    loop, half = LoopTree(rows), HalfTree(rows)
    for tree in (loop, half):
        nodes = np.zeros(2 * tree.size)
        nodes[tree.size : tree.size + rows] = start
        for node in range(tree.size.bit_length() - 2, -1, -1):
            level = slice(1 << node, 2 << node)
            nodes[level] = nodes[2 << node : 4 << node].reshape(-1, 2).sum(axis=1)
        tree.nodes = nodes.tolist() if isinstance(tree, LoopTree) else nodes
    turn = iter(range(10**9))

    def places(total: float) -> Any:
        return (np.arange(batch) + rng.random(batch)) * (total / batch)

    def run_ours() -> None:
        ours.draw(ring, 0, rows)
        ours.update(errors[next(turn) % 64])

    def run_loop() -> None:
        found = [loop.find(at) for at in places(loop.nodes[1]).tolist()]
        for leaf, weight in zip(found, (errors[next(turn) % 64] ** 0.6).tolist(), strict=True):
            loop.set(leaf, weight)

    def run_half() -> None:
        found = half.find_all(places(half.nodes[1])).tolist()
        for leaf, weight in zip(found, (errors[next(turn) % 64] ** 0.6).tolist(), strict=True):
            half.set(leaf, weight)

    return {"ours": run_ours, "loop": run_loop, "half": run_half}


def updates() -> dict[str, Callable[[], object]]:
    """Return one update of the learner, plain and with each improvement."""
    ring = make_rows(100_000)
    c51 = CategoricalConfig(low=0.0, high=100.0)
    cases: dict[str, tuple[DqnConfig, bool, bool]] = {
        "plain": (DqnConfig(), False, False),
        "priorities": (DqnConfig(prioritized=True), False, False),
        "dueling": (DqnConfig(), False, True),
        "noisy": (DqnConfig(), True, False),
        "C51": (DqnConfig(distribution="categorical", categorical=c51), False, False),
        "QR-DQN": (DqnConfig(distribution="quantile"), False, False),
        "all with C51": (
            DqnConfig(distribution="categorical", categorical=c51, prioritized=True),
            True,
            True,
        ),
    }
    return {name: _update(ring, *case) for name, case in cases.items()}


def _update(ring: Rows, config: DqnConfig, noisy: bool, dueling: bool) -> Callable[[], object]:
    atoms, backend = config.head().atoms, NumPyBackend()
    dense: Callable[[int], LayerSpec] = NoisyDense if noisy else Dense
    head = Dueling(2, atoms=atoms, sigma=0.5 if noisy else None) if dueling else dense(2 * atoms)
    network = Network(dense(128), Relu(), dense(128), Relu(), head, input_shape=(4,))
    rule = make_optimizer(OptimizerSpec(), backend, network.n_trainable)
    learner = DqnLearner(network, backend, rule, ring.format, config, 0)
    left = [0]

    def run() -> None:
        left[0] = left[0] - 1 if left[0] > 1 else 32
        learner.update(ring, 0, ring.capacity, left[0])

    return run


def measure(
    runs: dict[str, Callable[[], object]], pairs: int, calls: int
) -> dict[str, list[float]]:
    """Return seconds a call of each contestant, slice by slice, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(pairs):
        for name, run in runs.items():
            began = time.perf_counter()
            for _ in range(calls):
                run()
            times[name].append((time.perf_counter() - began) / calls)
    return times


def report(times: dict[str, list[float]], base: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "median_s": statistics.median(found),
            "times_of_base": statistics.median(
                a / b for a, b in zip(found, times[base], strict=True)
            ),
        }
        for name, found in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    with threadpoolctl.threadpool_limits(1):
        tree = report(measure(trees(options.rows, options.batch), options.pairs, 5), "ours")
        update = report(measure(updates(), options.pairs, 32), "plain")
    if options.json:
        print(json.dumps({"tree": tree, "update": update, "load": os.getloadavg()[0]}))
        return
    print(f"numpy={np.__version__} load={os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(f"draw and update {options.batch} of {options.rows:,} rows")
    for title, table in (("", tree), ("one update, batch 128", update)):
        print(title)
        for row in table:
            times = f"{1e3 * row['median_s']:9.3f} ms {row['times_of_base']:8.2f}x"
            print(f"  {row['name']:<14} {times}")


if __name__ == "__main__":
    main()
