"""The servers that `bench_serving.py` measures beside the daemon, each at its best settings.

    python scripts/serving_peers.py echo|msgpack|sklearn|aio [--rows N]

echo     uvloop: sends back an answer of the right size without looking at the numbers: the ceiling
msgpack  uvloop and msgpack: the same frames and the same network, each frame by itself
sklearn  scikit-learn's KMeans.predict behind grpc's thread pool
aio      nearest centroid in NumPy behind grpc.aio

The gRPC messages are the bare float32 bytes in and int32 bytes out: no protobuf is parsed, which is
less work than the usual set-up does. Prints ``listening on 127.0.0.1:PORT``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from concurrent import futures
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgpack
import numpy as np
from serving_figures import report, states

CENTROIDS = np.random.default_rng(7).standard_normal((100, 2)).astype(np.float32)
METHOD = "/bench.KMeans/Nearest"


def network_weights() -> list[tuple[np.ndarray, np.ndarray]]:
    """Layers (w, b) of a 64-128-128-6 network."""
    rng, sizes = np.random.default_rng(3), (64, 128, 128, 6)
    shapes = itertools.pairwise(sizes)
    return [
        (
            (rng.standard_normal((n, m)) / np.sqrt(n)).astype(np.float32),
            rng.standard_normal(m).astype(np.float32),
        )
        for n, m in shapes
    ]


def nearest(rows: np.ndarray) -> np.ndarray:
    """The nearest centroid of (N, 2) rows, (N,) int32, as an affine map and an argmax."""
    score = rows @ (2 * CENTROIDS.T) - (CENTROIDS**2).sum(axis=1)
    return score.argmax(axis=1).astype(np.int32)


class Framed(asyncio.Protocol):
    """Cuts the stream into frames; subclasses answer the body of a step."""

    def __init__(self, rows: int) -> None:
        self.rows, self.seq = rows, 0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "little")):
            self.take(data[4:end])
            data = data[end:]
        self.buffer = data

    def take(self, body: bytes) -> None:
        first = body[:20]
        if b"hello" in first:
            self.say({"type": "welcome"})
        elif b"goodbye" in first:
            self.transport.close()
        else:
            self.seq += 1
            self.say({"type": "act", "seq": self.seq, "action": self.answer(body), "version": 0})

    def say(self, message: dict[str, Any]) -> None:
        data = msgpack.packb(message)
        self.transport.write(len(data).to_bytes(4, "little") + data)

    def answer(self, body: bytes) -> bytes:
        return bytes(4 * self.rows)


class Unbatched(Framed):
    """Every frame is decoded and put through the network by itself."""

    layers = network_weights()

    def answer(self, body: bytes) -> bytes:
        step = msgpack.unpackb(body)
        x = np.frombuffer(step["obs"]["x"], np.float32).reshape(-1, 64)
        for w, b in self.layers[:-1]:
            x = x @ w
            x += b
            np.maximum(x, 0, out=x)
        w, b = self.layers[-1]
        return (x @ w + b).argmax(axis=1).astype(np.int32).tobytes()


async def serve_frames(kind: type[Framed], rows: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: kind(rows), "127.0.0.1", 0, backlog=2048)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def announce(port: int) -> None:
    print(f"listening on 127.0.0.1:{port}", flush=True)


def handlers(behaviour: Any) -> Any:
    import grpc

    method = grpc.unary_unary_rpc_method_handler(behaviour)
    return grpc.method_handlers_generic_handler("bench.KMeans", {"Nearest": method})


def serve_sklearn() -> None:
    import grpc
    from sklearn.cluster import KMeans

    model = KMeans(100, n_init=1, init=CENTROIDS, max_iter=1).fit(CENTROIDS)
    model.cluster_centers_ = CENTROIDS.copy()

    def predict(request: bytes, context: Any) -> bytes:
        rows = np.frombuffer(request, np.float32).reshape(-1, 2)
        return model.predict(rows).astype(np.int32, copy=False).tobytes()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((handlers(predict),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    announce(port)
    server.wait_for_termination()


async def serve_aio() -> None:
    import grpc

    async def find(request: bytes, context: Any) -> bytes:
        return nearest(np.frombuffer(request, np.float32).reshape(-1, 2)).tobytes()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(find),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce(port)
    await server.wait_for_termination()


FEW = 4  # channels up to which threads with blocking stubs get more out of gRPC than grpc.aio


def drive_grpc(spec: dict[str, Any]) -> dict:
    """The closed loop of `serving_load` for a gRPC server: one channel a connection."""
    pool = states("kmeans", spec["rows"])
    rows = [np.frombuffer(state, np.float32).reshape(-1, 2) for state in pool]
    answers = [nearest(each).tobytes() for each in rows]
    latencies: list[float] = []
    if spec["connections"] <= FEW:
        errors, elapsed, cpu = _drive_blocking(spec, pool, answers, latencies)
    else:
        errors, elapsed, cpu = asyncio.run(_drive_aio(spec, pool, answers, latencies))
    return report(latencies, len(latencies), spec["rows"], elapsed, errors) | {"cpu": cpu}


Measured = tuple[int, float, float]
"""Errors, seconds, seconds of processor time."""


def _drive_blocking(
    spec: dict[str, Any], pool: list[bytes], answers: list[bytes], latencies: list[float]
) -> Measured:
    import grpc

    channels = [grpc.insecure_channel(*_target(spec)) for _ in range(spec["connections"])]
    calls = [channel.unary_unary(METHOD) for channel in channels]
    for call in calls:
        call(pool[0], wait_for_ready=True)
    print("ready", flush=True)
    sys.stdin.readline()
    before, started = time.process_time(), time.perf_counter()

    def play(call: Any, at: int) -> int:
        errors = 0
        while (sent := time.perf_counter()) - started < spec["seconds"]:
            at = (at + 1) % len(pool)
            try:
                errors += call(pool[at]) != answers[at]
            except grpc.RpcError:
                errors += 1
            latencies.append(time.perf_counter() - sent)
        return errors

    with futures.ThreadPoolExecutor(len(calls)) as threads:
        errors = sum(threads.map(play, calls, range(len(calls))))
    measured = errors, time.perf_counter() - started, time.process_time() - before
    for channel in channels:
        channel.close()
    return measured


async def _drive_aio(
    spec: dict[str, Any], pool: list[bytes], answers: list[bytes], latencies: list[float]
) -> Measured:
    import grpc

    channels = [grpc.aio.insecure_channel(*_target(spec)) for _ in range(spec["connections"])]
    calls = [channel.unary_unary(METHOD) for channel in channels]
    for call in calls:
        await call(pool[0], wait_for_ready=True)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    errors, before, started = 0, time.process_time(), time.perf_counter()

    async def play(call: Any, at: int) -> None:
        nonlocal errors
        while (sent := time.perf_counter()) - started < spec["seconds"]:
            at = (at + 1) % len(pool)
            try:
                errors += await call(pool[at]) != answers[at]
            except grpc.RpcError:
                errors += 1
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(play(call, at) for at, call in enumerate(calls)))
    measured = errors, time.perf_counter() - started, time.process_time() - before
    await asyncio.gather(*(channel.close() for channel in channels))
    return measured


def _target(spec: dict[str, Any]) -> tuple[str, list[tuple[str, int]]]:
    return f"127.0.0.1:{spec['port']}", [("grpc.use_local_subchannel_pool", 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("echo", "msgpack", "sklearn", "aio"))
    parser.add_argument("--rows", type=int, default=1)
    args = parser.parse_args()
    if args.kind == "sklearn":
        serve_sklearn()
    elif args.kind == "aio":
        asyncio.run(serve_aio())
    else:
        import uvloop

        kind = Framed if args.kind == "echo" else Unbatched
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_frames(kind, args.rows))


if __name__ == "__main__":
    main()
