#!/usr/bin/env python3
"""Frames and rows a second that the daemon answers, how long a frame takes, and beside what.

    python scripts/bench_serving.py [SUITE …] [--quick] [--seconds S] [--rounds N] [--json]

Suites, all by default (see docs/LATENCY.md for what they ask and how):
    frames    a closed loop through 64-128-128-6 beside an unbatched msgpack loop and a uvloop echo
    kmeans    the nearest of 100 centroids beside scikit-learn on gRPC and NumPy on grpc.aio
    forward   the same network in a bare loop: our engine and torch, no server at all
    open      fixed rates; latency from the time that a frame was due
    learning  16 games at 60 frames a second, learning on and off in turns; then a closed loop
    workers   one and two serving processes, two load generators, loads from 1 x 1 to 16 x 1,024
    carriers  the same loads over TCP and over WebSocket, in turns: 1 x 1, 64 x 1 and 64 x 16
    durability  rows that are kept, by what an agent promises of them: os, 1s, always
    idle      memory of 1,024 silent connections, and whether each still gets its answer

Every load comes from a process of its own (`serving_load.py`). Peers take turns within a round; the
table holds medians over rounds. Servers' CPU is read from /proc: where the generator is the limit,
it still tells what a request costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from serving_peers import CENTROIDS

HERE = Path(__file__).resolve().parent
LAYERS = [{"dense": 128}, "relu", {"dense": 128}, "relu"]
TICKS = os.sysconf("SC_CLK_TCK")
AGENTS: dict[str, Any] = {
    "net": {"learner": "none", "model": {"layers": LAYERS}},
    "kmeans": {"learner": "none", "model": {"layers": []}},
    "learns": {
        "learner": "dqn",
        "model": {"layers": LAYERS},
        "pace": {"mode": "free", "learn_start": 1000, "train_every": 1, "updates": 4},
        "checkpoint": {"every_seconds": None},
    },
}
AGENTS["lives"] = {"learner": "dqn"}  # as nobody configured it
DURABILITIES = ("os", "1s", "always")
for _name in DURABILITIES:  # rows are kept, and never suffice for an update
    AGENTS[f"keeps-{_name}"] = AGENTS["learns"] | {"pace": {"learn_start": 100_000}}
    AGENTS[f"keeps-{_name}"] |= {"durability": _name}


class Server(AbstractContextManager):
    """A server process under measurement; leaving the context ends it."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line.rsplit(":", 1)[1])

    def children(self, learn: bool) -> list[int]:
        """Its child processes: the learners, or the others, which serve."""
        command = ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        lines = [line for line in listed.splitlines() if ("agentd.learner" in line) == learn]
        return [int(line.split()[0]) for line in lines]

    def family(self) -> list[int]:
        """The server's process and its serving children (a learner is none of them)."""
        return [self.process.pid, *self.children(learn=False)]

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        total = 0.0
        for pid in self.family():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
        return total

    def rss_kib(self, pids: list[int] | None = None) -> int:
        """Resident memory of processes, by default of those that serve."""
        status = [Path(f"/proc/{pid}/status").read_text() for pid in pids or self.family()]
        lines = [line for text in status for line in text.splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def __exit__(self, *fault: object) -> None:
        self.process.terminate()
        self.process.wait(30)


def seed_kmeans(data_dir: Path) -> None:
    """Nearest centroid as one affine map: the largest of 2 c·x - |c|² is the smallest distance."""
    from agentd.engine.layers import Dense
    from agentd.engine.network import Network
    from agentd.engine.network.weights import split
    from agentd.store import write_checkpoint, write_file

    network = Network(Dense(len(CENTROIDS)), input_shape=(2,))
    flat = np.concatenate([(2 * CENTROIDS.T).reshape(-1), -(CENTROIDS**2).sum(axis=1)])
    folder = data_dir / "agents" / "kmeans" / "checkpoints"
    folder.mkdir(parents=True)
    weights = split(network, flat.astype(np.float32))
    write_file(folder.parent / "config.yaml", json.dumps(AGENTS["kmeans"]).encode())
    write_checkpoint(folder, 1, {"learner": "none"}, weights, {}, keep=1)


@contextmanager
def agentd(*flags: str) -> Iterator[Server]:
    """A daemon with the agents of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "serve.yaml"
        config.write_text(json.dumps({"agents": AGENTS}))
        data_dir = Path(folder) / "data"
        seed_kmeans(data_dir)
        command = [sys.executable, "-m", "agentd", "serve", str(config), "--port", "0", "--no-http"]
        with Server("agentd", [*command, "--data-dir", str(data_dir), "-q", *flags]) as server:
            yield server


def peer(kind: str, rows: int = 1) -> Server:
    """One of `serving_peers.py`."""
    command = [sys.executable, str(HERE / "serving_peers.py"), kind, "--rows", str(rows)]
    return Server(kind, command)


def make_loads(server: Server, generators: int, spec: dict[str, Any]) -> list[subprocess.Popen]:
    """Processes whose players are connected to a server and wait for "go" on their input."""
    spec |= {"port": server.port, "blank": server.name == "echo"}
    spec["grpc"] = server.name in ("sklearn", "aio")
    spec["connections"] = max(1, spec["connections"] // generators)
    command = [sys.executable, str(HERE / "serving_load.py"), json.dumps(spec)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(generators)]
    for process in processes:
        if process.stdout.readline().strip() != "ready":
            raise SystemExit(f"no load on {server.name}: {spec}")
    return processes


def drive(server: Server, generators: int = 1, **spec: Any) -> dict:
    """One load of ``generators`` processes on a server; what they measured, and its CPU."""
    processes = make_loads(server, generators, spec)
    before, memory = server.cpu(), server.rss_kib()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    parts = [json.loads(process.communicate()[0]) for process in processes]
    out = dict(parts[0])
    for key in ("frames", "frames_per_second", "rows_per_second", "errors", "over_16_7_ms"):
        out[key] = sum(part[key] for part in parts)
    for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms"):
        out[key] = max(part[key] for part in parts)
    cpu = server.cpu() - before
    out["server_cpu_s_per_1000"] = round(1e3 * cpu / max(1, out["frames"]), 5)
    out["server_cpu_share"] = round(cpu / out["elapsed"], 3)
    out["generator_cpu_share"] = round(max(part["cpu"] / part["elapsed"] for part in parts), 3)
    out["rss_mib"] = round(memory / 1024, 1)
    return out


def median(runs: list[dict]) -> dict:
    """Medians of every number over runs; errors and histograms are sums."""
    out: dict[str, Any] = {}
    for key, first in runs[0].items():
        if isinstance(first, list):
            longest = max(len(run[key]) for run in runs)
            padded = [run[key] + [0] * (longest - len(run[key])) for run in runs]
            out[key] = [sum(column) for column in zip(*padded, strict=True)]
        elif key in ("errors", "over_16_7_ms"):
            out[key] = sum(run[key] for run in runs)
        else:
            out[key] = statistics.median(run[key] for run in runs)
    return out


def take_turns(rounds: int, makers: dict[str, Callable[[], dict]]) -> dict[str, dict]:
    """Run every maker once a round, in turn; medians by name."""
    runs: dict[str, list[dict]] = {name: [] for name in makers}
    for _ in range(rounds):
        for name, make in makers.items():
            runs[name].append(make())
    return {name: median(found) for name, found in runs.items()}


def show(title: str, found: dict[str, dict], against: str | None = None) -> None:
    print(f"\n{title}")
    for name, r in found.items():
        ratio = ""
        if against in found and name != against:
            ratio = f"  x{r['frames_per_second'] / found[against]['frames_per_second']:.2f}"
        print(
            f"  {name:10} {r['frames_per_second']:>9,.0f} frames/s {r['rows_per_second']:>10,.0f}"
            f" rows/s  p50 {r['p50_ms']:8.3f}  p99 {r['p99_ms']:8.3f}  p99.9 {r['p999_ms']:8.3f} ms"
            f"  cpu/1000 {1e3 * r['server_cpu_s_per_1000']:7.2f} ms"
            f"  load gen. {r['generator_cpu_share']:.0%}  errors {r['errors']}{ratio}"
        )
    sys.stdout.flush()


def frames(args: argparse.Namespace) -> dict:
    """Closed loops over connections and rows; the echo is the ceiling."""
    out = {}
    for rows in args.rows:
        with ExitStack() as stack:
            servers = [stack.enter_context(agentd())]
            servers += [stack.enter_context(peer(kind, rows)) for kind in ("msgpack", "echo")]
            for connections in args.connections:
                spec = {"agent": "net", "rows": rows, "connections": connections}
                spec["seconds"] = args.seconds
                makers = {s.name: lambda s=s, spec=spec: drive(s, **spec) for s in servers}
                found = take_turns(args.rounds, makers)
                out[f"{connections}x{rows}"] = found
                if not args.json:
                    show(f"{connections} connections x {rows} rows, 64-128-128-6", found, "echo")
    return out


def kmeans(args: argparse.Namespace) -> dict:
    """One-row requests for the nearest of 100 centroids."""
    out = {}
    with ExitStack() as stack:
        servers = [stack.enter_context(agentd())]
        servers += [stack.enter_context(peer(kind)) for kind in ("sklearn", "aio")]
        for connections in args.connections:
            spec = {"agent": "kmeans", "rows": 1, "connections": connections}
            spec["seconds"] = args.seconds
            makers = {s.name: lambda s=s, spec=spec: drive(s, **spec) for s in servers}
            found = take_turns(args.rounds, makers)
            out[f"{connections}"] = found
            if not args.json:
                show(f"nearest of 100 centroids, {connections} connections", found, "sklearn")
    return out


def forward(args: argparse.Namespace) -> dict:
    """Rows a second of a bare forward loop on one core, ours and torch's, by rows of a call."""
    import torch

    from agentd.engine.layers import Dense, Relu
    from agentd.engine.network import Network, Pass
    from agentd.engine.numpy_backend import NumPyBackend

    torch.set_num_threads(1)
    net = Network(Dense(128), Relu(), Dense(128), Relu(), Dense(6), input_shape=(64,))
    backend = NumPyBackend()
    params = backend.asarray(net.init(np.random.default_rng(0)))
    ours = Pass(net, backend, 2048)
    parts = [torch.nn.Linear(a, b) for a, b in ((64, 128), (128, 128), (128, 6))]
    relu = torch.nn.ReLU()
    theirs = torch.nn.Sequential(parts[0], relu, parts[1], relu, parts[2])
    out = {}
    for rows in (1, 16, 256, 1024, 2048):
        x = np.random.default_rng(0).standard_normal((rows, 64), dtype=np.float32)
        tensor = torch.from_numpy(x)
        with torch.inference_mode():
            speeds = {
                "engine": rate(lambda x=x: ours.forward(params, x), rows, args.seconds),
                "torch": rate(lambda t=tensor: theirs(t), rows, args.seconds),
            }
        out[f"{rows}"] = speeds
        if not args.json:
            text = "  ".join(f"{name} {value:>11,.0f} rows/s" for name, value in speeds.items())
            print(f"forward alone, {rows:>4} rows a call: {text}", flush=True)
    return out


def rate(call: Callable[[], object], rows: int, seconds: float) -> float:
    """The best of many short stretches, in rows a second: what nobody else's work disturbed."""
    call()
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < 0.01:
            call()
            calls += 1
        best = max(best, rows * calls / (time.perf_counter() - started))
    return round(best)


def open_loop(args: argparse.Namespace) -> dict:
    """16 connections at fixed rates: latency from the time that a frame was due."""
    out = {}
    with agentd() as server:
        for rate_wanted in (960, 3840, 7680):
            spec = {"agent": "net", "rows": 1, "connections": 16, "rate": rate_wanted}
            spec["seconds"] = args.seconds
            found = take_turns(args.rounds, {"agentd": lambda spec=spec: drive(server, **spec)})
            out[f"{rate_wanted}"] = found
            if not args.json:
                show(f"open loop, 16 connections, {rate_wanted} frames/s", found)
    return out


def learning(args: argparse.Namespace) -> dict:
    """The same load with the learner at full tilt and frozen, in turns."""
    from agentd.client import Client

    out = {}
    with agentd() as server:
        spec = {"agent": "learns", "rows": 1, "role": "train", "connections": 16}
        spec["seconds"] = args.seconds
        drive(server, **(spec | {"seconds": 1.0}))  # past learn_start
        for name, rate_wanted in (("16 games at 60 frames/s", 960), ("closed loop, 16", None)):

            def frozen(on: bool, rate_wanted: int | None = rate_wanted) -> dict:
                with Client.connect(f"127.0.0.1:{server.port}", role="admin") as admin:
                    admin.freeze("learns", on)
                    before = admin.stats("learns").agents["learns"]["updates"] or 0
                    found = drive(server, **spec, rate=rate_wanted)
                    after = admin.stats("learns").agents["learns"]["updates"] or 0
                return found | {"updates": after - before}

            makers = {"frozen": lambda f=frozen: f(True), "learning": lambda f=frozen: f(False)}
            found = take_turns(args.rounds, makers)
            out[name] = found
            if not args.json:
                show(name, found, "frozen")
                r = found["learning"]
                print(f"  {r['updates']:.0f} updates; {r['over_16_7_ms']} frames over 16.7 ms")
    return out


def workers(args: argparse.Namespace) -> dict:
    """One serving process and two: small loads, and frames so large that servers are the limit."""
    loads = [*((n, 1) for n in (1, 2, 16, 64, 256, 1024)), (64, 16), (16, 256), (16, 1024)]
    out = {}
    with agentd() as one, agentd("--workers", "2") as two:
        for connections, rows in loads:
            spec = {"agent": "net", "rows": rows, "connections": connections}
            spec |= {"seconds": args.seconds, "generators": min(2, connections)}
            turn = {"one": one, "two": two}
            makers = {n: lambda s=server, spec=spec: drive(s, **spec) for n, server in turn.items()}
            found = take_turns(args.rounds, makers)
            out[f"{connections}x{rows}"] = found
            if not args.json:
                show(f"one and two serving processes, {connections} x {rows} rows", found, "one")
    return out


def carriers(args: argparse.Namespace) -> dict:
    """TCP and WebSocket on one daemon."""
    out = {}
    with agentd() as server:
        for connections, rows in ((1, 1), (64, 1), (64, 16)):
            spec = {"agent": "net", "rows": rows, "connections": connections}
            spec["seconds"] = args.seconds
            ways = {"tcp": spec, "websocket": spec | {"web": True}}
            makers = {name: lambda spec=spec: drive(server, **spec) for name, spec in ways.items()}
            found = take_turns(args.rounds, makers)
            out[f"{connections}x{rows}"] = found
            if not args.json:
                show(f"two carriers, {connections} connections x {rows} rows", found, "tcp")
    return out


def durability(args: argparse.Namespace) -> dict:
    """Games whose rows are kept: what it costs to promise more of them, on this disk."""
    out = {}
    with agentd() as server:
        for connections, wanted in ((1, None), (16, None), (64, None), (16, 960)):
            spec = {"rows": 1, "role": "train", "connections": connections, "rate": wanted}
            spec["seconds"] = args.seconds
            agents = {name: spec | {"agent": f"keeps-{name}"} for name in DURABILITIES}
            makers = {
                name: lambda each=each: drive(server, **each) for name, each in agents.items()
            }
            found = take_turns(args.rounds, makers)
            load = "closed loop" if wanted is None else f"{wanted} frames/s"
            out[f"{connections} {load}"] = found
            if not args.json:
                show(f"durability, {connections} games, {load}", found, "os")
    return out


def idle(args: argparse.Namespace) -> dict:
    """Resident memory before and while many connections are silent; then each asks once."""
    count, seconds = (256, 3.0) if args.quick else (1024, 60.0)
    with agentd() as server:
        drive(server, agent="net", rows=1, connections=1, seconds=0.5)
        before = server.rss_kib()
        spec = {"agent": "net", "rows": 1, "connections": count, "seconds": seconds, "idle": True}
        found = drive(server, **spec)
    out = {
        "connections": count,
        "held_s": seconds,
        "kib_per_connection": round((1024 * found["rss_mib"] - before) / count, 2),
        "answered": found["frames"] + count,
        "errors": found["errors"],
    }
    if not args.json:
        print(
            f"\n{count} idle connections held {seconds:.0f} s:"
            f" {out['kib_per_connection']} KiB each, errors {out['errors']}"
        )
    return out


SUITES = {
    "frames": frames,
    "kmeans": kmeans,
    "forward": forward,
    "open": open_loop,
    "learning": learning,
    "workers": workers,
    "carriers": carriers,
    "durability": durability,
    "idle": idle,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=" | ".join(SUITES))
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 2, 16, 64, 256, 1024])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a minute: few loads, short")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if unknown := set(args.suites) - set(SUITES):
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    if args.quick:
        args.seconds, args.rounds, args.connections, args.rows = 0.5, 1, [1, 64], [1, 16]
    result: dict[str, Any] = {name: SUITES[name](args) for name in args.suites or SUITES}
    result["setting"] = {
        "seconds": args.seconds,
        "rounds": args.rounds,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    if args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
