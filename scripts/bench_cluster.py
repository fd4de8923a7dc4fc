#!/usr/bin/env python3
"""What a Ray cluster costs, on nodes simulated on this machine, and a model of a real one.

    python scripts/bench_cluster.py [SUITE …] [--nodes 2] [--rounds 3] [--seconds 60]
        [--dump FILE] [--json]

    prepare    `chess prepare` of --dump by as many processes here and on nodes of one CPU each
    tasks      a map of tasks that sleep: the share of the ideal speed that is reached
    broadcast  one process puts an array, actors on the nodes fetch it: milliseconds until all have
    serve      two daemons on two nodes, one learner: how they learn, who dies and what it costs
    members    `train --members N`: seconds of a run here, with one member and with --nodes members
    rounds     what an average of several members' parameters and moments costs, beside their steps
    model      a calculation for 8 and 32 real nodes, with its assumptions; needs no Ray

Several nodes on one machine share its cores: the figures say what Ray costs, not how fast a cluster
is. Rounds of the two sides of a comparison take turns; what is told is the median.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.agentd.cluster.simulated import (  # noqa: E402
    ENVIRONMENT,
    LEAN_HEAD,
    Nodes,
    node_options,
    start_lean,
)

STORE_BYTES = 400 * 2**20
Rows = list[dict[str, Any]]


@contextmanager
def simulated(nodes: int) -> Iterator[Nodes]:
    """A cluster of ``nodes`` nodes of one CPU each on this machine."""
    from ray.cluster_utils import Cluster

    own = node_options(1, object_store_memory=STORE_BYTES)
    cluster = Cluster(initialize_head=True, head_node_args=own | LEAN_HEAD)
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**own)
        yield Nodes(cluster)
    finally:
        cluster.shutdown()


def bench_prepare(args: argparse.Namespace, address: str) -> Rows:
    """The same dump by processes and by nodes, in turns; the shards must be the same."""
    sides = {
        "processes": ("--workers", str(args.nodes)),
        "nodes": ("--ray", address),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    digests: dict[str, set[str]] = {name: set() for name in sides}
    with tempfile.TemporaryDirectory() as name:
        for number in range(args.rounds):
            for side, words in sides.items():
                out = Path(name) / f"{side}-{number}"
                found = _prepare(args, out, words)
                seconds[side].append(found["seconds"])
                digests[side].add(_digest(out))
    middle = {side: statistics.median(values) for side, values in seconds.items()}
    return [
        {
            "suite": "prepare",
            "workers": args.nodes,
            "processes_s": round(middle["processes"], 2),
            "nodes_s": round(middle["nodes"], 2),
            "overhead": round(middle["nodes"] / middle["processes"] - 1, 3),
            "same_shards": len(set.union(*digests.values())) == 1,
        }
    ]


def _prepare(args: argparse.Namespace, out: Path, words: tuple[str, ...]) -> dict[str, Any]:
    command = [sys.executable, "-m", "agentd", "chess", "prepare", str(args.dump)]
    command += ["--out", str(out), "--reader", args.reader, "--part-bytes", str(args.part_bytes)]
    done = subprocess.run([*command, "--json", "-q", *words], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("shard-*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def bench_tasks(args: argparse.Namespace, cluster: Any) -> Rows:
    """Tasks that sleep: the time that the map takes beside what it would take at no cost."""
    from agentd.cluster.ordered import map_ordered

    rows = []
    for ms in (20, 100, 500):
        count = max(args.nodes * 4, min(args.nodes * 40, int(4000 / ms) * args.nodes))
        seconds = []
        for _ in range(args.rounds):
            began = time.perf_counter()
            for _ in map_ordered(cluster, time.sleep, [ms / 1e3] * count):
                pass
            seconds.append(time.perf_counter() - began)
        ideal = count * ms / 1e3 / args.nodes
        share = round(ideal / statistics.median(seconds), 3)
        rows.append({"suite": "tasks", "task_ms": ms, "tasks": count, "share_of_ideal": share})
    return rows


def bench_broadcast(args: argparse.Namespace, cluster: Any) -> Rows:
    """An array to one actor a node: milliseconds from the put until every actor has it."""
    ray = cluster.ray

    class Receiver:
        def take(self, array: Any) -> float:
            return float(array[-1])

    spread = ray.remote(Receiver).options(num_cpus=0, scheduling_strategy="SPREAD")
    actors = [spread.remote() for _ in range(args.nodes)]
    rows = []
    for size in (50_000, 4_000_000, 12_000_000):
        array, found = np.zeros(size // 4, np.float32), []
        for number in range(max(10, 10 * args.rounds)):
            array[-1] = number
            began = time.perf_counter()
            shared = ray.put(array)
            assert ray.get([actor.take.remote(shared) for actor in actors])[0] == number
            found.append((time.perf_counter() - began) * 1e3)
        cuts = statistics.quantiles(found, n=20)
        row = {"suite": "broadcast", "bytes": size, "receivers": len(actors)}
        rows.append(row | {"p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1)})
    return rows


def bench_rounds(args: argparse.Namespace, cluster: Any) -> Rows:
    """Members whose steps take no time: what a round costs, by the parameters that it averages."""
    from agentd.cluster.averaging import RayCrew, average

    rows = []
    for parameters in (25_000, 1_000_000, 3_000_000):
        arrays = {
            name: np.zeros(parameters, np.float32)
            for name in ("params", "optimizer.m", "optimizer.v")
        }
        crew = RayCrew(cluster, [None] * args.nodes, _Echo)
        found = []
        for _ in range(3 + 3 * args.rounds):
            began = time.perf_counter()
            arrays = average(crew.round(arrays))
            found.append((time.perf_counter() - began) * 1e3)
        row = {"suite": "rounds", "parameters": parameters, "members": args.nodes}
        rows.append(row | {"round_ms": round(statistics.median(found[2:]), 1)})
        del crew
    return rows


class _Echo:
    """A member that takes no step."""

    def __init__(self, plan: Any) -> None:
        pass

    def round(self, state: Any) -> Any:
        return {name: array + 1 for name, array in state.items()}


def bench_members(args: argparse.Namespace, address: str) -> Rows:
    """One supervised run: here, by one member and by several; one member must be the same run."""
    from safetensors.numpy import load_file

    rng = np.random.default_rng(1)
    rows: Rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = rng.normal(size=(20_000, 32)).round(4)
        label = (x[:, :8] @ rng.normal(size=8) > 0).astype(int)
        names = ",".join([*(f"x{column}" for column in range(32)), "class"])
        lines = [",".join([*map(str, row), "ab"[k]]) for row, k in zip(x, label, strict=True)]
        (folder / "d.csv").write_text("\n".join([names, *lines]) + "\n")
        (folder / "m.yaml").write_text("layers: [{dense: 256}, relu]\nbatch: 100\nepochs: 4\n")
        weights = {}
        for members in (0, 1, args.nodes):
            more = () if not members else ("--ray", address, "--members", str(members))
            began = time.perf_counter()
            found = _fit(folder, f"run-{members}", more)
            seconds = round(time.perf_counter() - began, 1)
            (newest,) = sorted((folder / f"run-{members}" / "checkpoints").iterdir())[-1:]
            weights[members] = load_file(newest / "weights.safetensors")
            row = {"suite": "members", "members": members, "seconds": seconds}
            rows.append(row | {"steps": found["steps"], "loss": round(found["train_loss"], 4)})
        here, one = weights[0], weights[1]
        rows[1]["same_as_here"] = all(np.array_equal(here[key], one[key]) for key in here | one)
    return rows


def _fit(folder: Path, out: str, more: tuple[str, ...]) -> dict[str, Any]:
    command = [sys.executable, "-m", "agentd", "train", "m.yaml", "--train", "d.csv"]
    command += ["--out", out, "--json", "-q", *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=folder)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bench_model(args: argparse.Namespace) -> Rows:
    """A calculation, no measurement: what 1, 8 and 32 real nodes do, by ASSUMPTIONS."""
    rows: Rows = []
    for nodes in (1, 8, 32):
        rows += _model_files(nodes)
        rows += _model_serving(nodes)
    return rows


def _model_files(nodes: int) -> Rows:
    """Hours for a year of lichess; the share of a training's time that is learning."""
    year = {"text_gb": 2400.0, "rows_gb": 2900.0}
    rust, python = 11e6, 1.0e6  # bytes of text a core parses in a second
    joined, cores = 350e6, 16  # bytes of rows that the driver joins in a second; cores of a node
    join_h = year["rows_gb"] * 1e9 / joined / 3600
    rows: Rows = []
    for reader, speed in (("rust", rust), ("python-chess", python)):
        parse_h = year["text_gb"] * 1e9 / (speed * cores * nodes) / 3600
        row = {"suite": "model", "nodes": nodes, "cores": cores, "reader": reader}
        rows.append(row | {"parse_h": round(parse_h, 1), "join_h": round(join_h, 1)})
    for every in (1, 16, 64):
        step_ms = 75.0  # chess-base's step
        moved_ms = 2 * 36e6 * nodes / LINK * 1e3 if nodes > 1 else 0.0
        share = step_ms * every / (step_ms * every + moved_ms)
        row = {"suite": "model", "nodes": nodes, "average_every": every}
        rows.append(row | {"share_of_time_learning": round(share, 3)})
    return rows


def _model_serving(daemons: int) -> Rows:
    """What one learner has to take and to give for so many daemons."""
    rows_per_s = daemons * 64 * 60  # a daemon's games, and frames a second of each
    loads = {
        "rows_taking_share": rows_per_s / 90e3,  # of what one actor takes a second, as measured
        "rows_link_share": rows_per_s * 400 / LINK,
        "weights_90kB_link_share": daemons * 90e3 / 0.05 / LINK,
        "weights_4MB_link_share": daemons * 4e6 / 0.25 / LINK,
    }
    row = {"suite": "model", "daemons": daemons, "rows_per_s": rows_per_s}
    return [row | {name: round(share, 3) for name, share in loads.items()}]


LINK = 1.25e8  # bytes a second of 1 Gbit/s
ASSUMPTIONS = """\
model: 16 cores a node and 1 Gbit/s to the driver. A year is 2,400 GB of text and 2,900 GB of rows;
a core parses 11 MB/s (rust) or 1 MB/s (python-chess); parsing and joining overlap, so the longer of
the two counts; the driver joins 350 MB/s on storage that keeps up. A member's state is 36 MB
(3 M parameters and two moments), sent to each and fetched from each over the driver's one link. A
daemon has 64 games of 60 frames a second and rows of 400 bytes; the learner's actor takes 90,000
such rows a second (Ray 2.60 on a busy 2-core machine). Above 1 the learner falls behind: rows wait
in the rings and in the end are written over, or weights come less often."""


def main() -> None:
    suites = ("prepare", "tasks", "broadcast", "serve", "members", "rounds", "model")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="of " + ", ".join(suites))
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dump", type=Path, help="for prepare; packed by pzstd")
    parser.add_argument("--seconds", type=float, default=60.0, help="of learning, for serve")
    parser.add_argument("--reader", default="rust")
    parser.add_argument("--part-bytes", type=int, default=2**19)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.suites) - set(suites):
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(suites)}")
    asked = args.suites or [name for name in suites if name != "prepare" or args.dump]
    if "prepare" in asked and args.dump is None:
        parser.error("prepare wants --dump FILE")
    rows = bench_model(args) if "model" in asked else []
    if set(asked) - {"model"}:
        rows = _on_cluster(args, asked) + rows
    if args.json:
        setting = {"cores": os.cpu_count(), "nodes": "simulated on one machine"}
        print(json.dumps({"rows": rows, "setting": setting}))
        return
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items()))
    if "model" in asked:
        print(ASSUMPTIONS)


def _on_cluster(args: argparse.Namespace, asked: list[str]) -> Rows:
    os.environ.update(ENVIRONMENT)
    start_lean()
    rows: Rows = []
    with simulated(args.nodes) as nodes:
        if "prepare" in asked:
            rows += bench_prepare(args, nodes.address)
        if "members" in asked:
            rows += bench_members(args, nodes.address)
        measures = {"tasks": bench_tasks, "broadcast": bench_broadcast, "rounds": bench_rounds}
        if chosen := [measures[name] for name in measures if name in asked]:
            from agentd.cluster.session import connect

            with connect(nodes.address) as cluster:
                for measure in chosen:
                    rows += measure(args, cluster)
    if "serve" in asked:
        from cluster_serving import bench_serve

        with simulated(1) as nodes:
            rows += bench_serve(args.seconds, nodes)
    return rows


if __name__ == "__main__":
    main()
