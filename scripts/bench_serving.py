#!/usr/bin/env python3
"""Rows and frames a second that the daemon answers, and how long a frame takes.

    python scripts/bench_serving.py [--connections 64] [--rows 16] [--seconds 5] [--json]

A closed loop: every connection sends its next frame when the last one is answered. The load comes
from a process of its own. Each frame is drawn from a pool of random states whose right answers were
asked beforehand on a lone connection, so a lost, crossed or mixed-up reply is counted as an error.
The ceiling is a uvloop echo server that sends back bytes of the same sizes. Learning is off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)  # each library picks the kernels for this processor

import msgpack
import numpy as np
import uvloop

ROOT = Path(__file__).resolve().parent.parent
FEATURES, ACTIONS, POOL = 64, 6, 64
MODEL = [{"dense": 128}, "relu", {"dense": 128}, "relu"]


def frame(body: dict) -> bytes:
    """One frame: length and msgpack map."""
    data = msgpack.packb(body)
    return len(data).to_bytes(4, "little") + data


def hello(rows: int) -> bytes:
    return frame(
        {
            "type": "hello",
            "protocol": [1, 1],
            "client": "bench",
            "agent": "bench",
            "role": "play",
            "observation": {"x": {"dtype": "float32", "shape": [FEATURES]}},
            "action": {"kind": "discrete", "n": ACTIONS},
            "streams": rows,
            "run": os.urandom(16),
        }
    )


class Pool:
    """Frames of random states, ready but for the seq, and the actions they must get."""

    def __init__(self, rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.first = [self._frame(rng, rows, kind=0) for _ in range(POOL)]
        self.mid = [(None, None)] * POOL
        rng = np.random.default_rng(seed)
        self.mid = [self._frame(rng, rows, kind=1) for _ in range(POOL)]
        self.answers: list[bytes] = [b""] * POOL

    @staticmethod
    def _frame(rng: np.random.Generator, rows: int, kind: int) -> tuple[bytes, bytes]:
        body = {
            "stream": np.arange(rows, dtype="<u4").tobytes(),
            "kind": bytes([kind]) * rows,
            "reward": bytes(4 * rows),
            "obs": {"x": rng.standard_normal((rows, FEATURES), dtype=np.float32).tobytes()},
        }
        head = b"\x86\xa4type\xa4step\xa3seq"
        tail = msgpack.packb(body)[1:]  # its four keys follow the two above: a map of six
        return head, tail


class Player(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number = load, number
        self.buffer = bytearray()
        self.seq = 0
        self.sent = 0.0
        self.at = number % POOL

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(hello(self.load.rows))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 4:
            size = int.from_bytes(self.buffer[:4], "little")
            if len(self.buffer) < 4 + size:
                return
            body = msgpack.unpackb(self.buffer[4 : 4 + size])
            del self.buffer[: 4 + size]
            self.take(body)

    def take(self, body: dict) -> None:
        kind = body["type"]
        if kind == "welcome":
            self.load.ready()
        elif kind == "act":
            now = time.perf_counter()
            self.load.count(self, body, now - self.sent)
            if not self.load.over:
                self.send()
            else:
                self.transport.write(frame({"type": "goodbye", "reason": "client_done"}))
        elif kind == "ping":
            self.transport.write(frame({"type": "pong", "t": body["t"]}))
        elif kind == "error":
            self.load.errors += 1
            print(body, file=sys.stderr)

    def send(self) -> None:
        self.at = (self.at + 1) % POOL
        head, tail = (self.load.pool.mid if self.seq else self.load.pool.first)[self.at]
        self.seq += 1
        number = msgpack.packb(self.seq)
        size = len(head) + len(number) + len(tail)
        self.sent = time.perf_counter()
        self.transport.write(size.to_bytes(4, "little") + head + number + tail)

    def connection_lost(self, fault: Exception | None) -> None:
        self.load.lost(self)


class Load:
    """Many players, their latencies and errors."""

    def __init__(self, rows: int, connections: int, seconds: float, pool: Pool) -> None:
        self.rows, self.connections, self.seconds, self.pool = rows, connections, seconds, pool
        self.over = False
        self.errors = self.frames = self.welcomed = 0
        self.latencies: list[float] = []
        self.players: list[Player] = []
        self.gone = 0

    def ready(self) -> None:
        self.welcomed += 1
        if self.welcomed == self.connections:
            self.started = time.perf_counter()
            loop = asyncio.get_running_loop()
            loop.call_later(self.seconds, self.stop)
            for player in self.players:
                player.send()

    def stop(self) -> None:
        self.over = True
        self.elapsed = time.perf_counter() - self.started

    def count(self, player: Player, body: dict, seconds: float) -> None:
        if body["seq"] != player.seq or (
            self.pool.answers[player.at] and body["action"] != self.pool.answers[player.at]
        ):
            self.errors += 1
        if not self.over:
            self.frames += 1
            self.latencies.append(seconds)
        if not self.pool.answers[player.at]:
            self.pool.answers[player.at] = body["action"]

    def lost(self, player: Player) -> None:
        self.gone += 1
        if not self.over:
            self.errors += 1
        if self.gone == self.connections:
            self.done.set_result(None)

    async def run(self, host: str, port: int) -> dict:
        loop = asyncio.get_running_loop()
        self.done = loop.create_future()
        for number in range(self.connections):
            self.players.append(Player(self, number))
        for player in self.players:
            await loop.create_connection(lambda p=player: p, host, port)
        await self.done
        return self.report()

    def report(self) -> dict:
        times = sorted(self.latencies)
        pick = lambda q: round(1e3 * times[min(len(times) - 1, int(q * len(times)))], 3)  # noqa: E731
        return {
            "frames_per_second": round(self.frames / self.elapsed),
            "rows_per_second": round(self.frames * self.rows / self.elapsed),
            "p50_ms": pick(0.5),
            "p99_ms": pick(0.99),
            "p999_ms": pick(0.999),
            "errors": self.errors,
        }


class Echo(asyncio.Protocol):
    """Answers every frame with bytes as many as the daemon's answer has; looks at nothing else."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seq = 0

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 4:
            size = int.from_bytes(self.buffer[:4], "little")
            if len(self.buffer) < 4 + size:
                return
            first = self.buffer[4:20]
            del self.buffer[: 4 + size]
            if b"hello" in first:
                self.transport.write(frame({"type": "welcome"}))
            elif b"goodbye" in first:
                self.transport.close()
            else:
                self.seq += 1
                self.transport.write(
                    frame({"type": "act", "seq": self.seq, "action": bytes(4 * self.rows)})
                )


async def serve_echo(rows: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Echo(rows), "127.0.0.1", 0)
    print("listening on {}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


def start(command: list[str]) -> tuple[subprocess.Popen, int]:
    """A server process and its port."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    line = process.stdout.readline()
    return process, int(line.rsplit(":", 1)[1])


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    process.wait(20)


def drive(port: int, rows: int, connections: int, seconds: float, pool: Pool) -> dict:
    """One closed-loop run against a port of this machine."""
    load = Load(rows, connections, seconds, pool)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load.run("127.0.0.1", port))


def measure(args: argparse.Namespace) -> dict:
    """Daemon and echo, interleaved ``--rounds`` times; medians."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "serve.yaml"
        agent = {"learner": "none", "model": {"layers": MODEL}}
        config.write_text(json.dumps({"agents": {"bench": agent}}))
        serve = [sys.executable, "-m", "agentd", "serve", str(config), "--port", "0"]
        daemon, port = start([*serve, "--no-http", "--data-dir", f"{folder}/data", "-q"])
        echo, echo_port = start([sys.executable, __file__, "--echo", "--rows", str(args.rows)])
        try:
            pool = Pool(args.rows, seed=0)
            drive(port, args.rows, 1, 0.5, pool)  # a lone connection fills in the right answers
            ours, ceiling = [], []
            for _ in range(args.rounds):
                ours.append(drive(port, args.rows, args.connections, args.seconds, pool))
                blank = Pool(args.rows, seed=0)
                ceiling.append(drive(echo_port, args.rows, args.connections, args.seconds, blank))
        finally:
            stop(daemon)
            stop(echo)
    return {"agentd": _median(ours), "echo": _median(ceiling)}


def _median(runs: list[dict]) -> dict:
    out = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    out["errors"] = sum(run["errors"] for run in runs)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--echo", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.echo:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_echo(args.rows))
        return
    result = measure(args)
    result["ratio"] = round(
        result["agentd"]["frames_per_second"] / result["echo"]["frames_per_second"], 3
    )
    result["setting"] = {
        "connections": args.connections,
        "rows": args.rows,
        "network": f"{FEATURES}-128-128-{ACTIONS}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.connections} connections x {args.rows} rows, {result['setting']['network']}")
    for name in ("agentd", "echo"):
        r = result[name]
        print(
            f"{name:8} {r['frames_per_second']:>9,.0f} frames/s"
            f" {r['rows_per_second']:>11,.0f} rows/s"
            f"  p50 {r['p50_ms']:.2f} ms  p99 {r['p99_ms']:.2f} ms  errors {r['errors']}"
        )
    print(f"ratio to the echo ceiling: {result['ratio']}")


if __name__ == "__main__":
    main()
