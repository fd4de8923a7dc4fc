"""The load that `bench_serving.py` puts on a server, from a process of its own.

    python scripts/serving_load.py '{"port": 7331, "agent": "net", "connections": 64, …}'

It connects, asks a lone connection for the right answer to every state of its pool, prints
``ready``, begins when a line comes on stdin, drains (every request gets its answer before anything
closes) and prints one line of JSON. A lost, crossed or mixed-up answer is an error.

Closed loop: each connection sends when its last request is answered. Open loop (``rate`` frames a
second over all connections): requests leave when they are due, answered or not, and their latency
counts from then on.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import deque
from typing import Any

import msgpack
import msgspec
import numpy as np
import uvloop

POOL = 64
SHAPES = {"net": (64, 6), "kmeans": (2, 100), "learns": (64, 6)}  # features, actions


class Act(msgspec.Struct, tag_field="type", tag="act"):
    seq: int
    action: bytes
    version: int


class Other(msgspec.Struct, tag_field="type", tag="other"):
    pass


_acts = msgspec.msgpack.Decoder(Act)


def frame(body: dict) -> bytes:
    """One frame: length and msgpack map."""
    data = msgpack.packb(body)
    return len(data).to_bytes(4, "little") + data


def hello(agent: str, rows: int, role: str) -> bytes:
    features, actions = SHAPES[agent]
    return frame(
        {
            "type": "hello",
            "protocol": [1, 1],
            "client": "bench",
            "agent": agent,
            "role": role,
            "observation": {"x": {"dtype": "float32", "shape": [features]}},
            "action": {"kind": "discrete", "n": actions},
            "streams": rows,
            "run": os.urandom(16),
        }
    )


def states(agent: str, rows: int) -> list[bytes]:
    """The pool's states, the same in every process: (rows, features) float32 each."""
    rng, features = np.random.default_rng(0), SHAPES[agent][0]
    return [rng.standard_normal((rows, features), dtype=np.float32).tobytes() for _ in range(POOL)]


class Pool:
    """Step frames of random states, ready but for the seq, and the actions they must get."""

    HEAD = b"\x86\xa4type\xa4step\xa3seq"

    def __init__(self, agent: str, rows: int) -> None:
        self.mid = [self._tail(rows, obs, 1) for obs in states(agent, rows)]
        self.first = [self._tail(rows, obs, 0) for obs in states(agent, rows)]
        self.answers: list[bytes] = [b""] * POOL

    @staticmethod
    def _tail(rows: int, obs: bytes, kind: int) -> bytes:
        body = {
            "stream": np.arange(rows, dtype="<u4").tobytes(),
            "kind": bytes([kind]) * rows,
            "reward": bytes(4 * rows),
            "obs": {"x": obs},
        }
        return msgpack.packb(body)[1:]  # its four keys follow type and seq: a map of six

    def frame(self, seq: int, at: int) -> bytes:
        tail = (self.mid if seq > 1 else self.first)[at]
        number = msgpack.packb(seq)
        size = len(self.HEAD) + len(number) + len(tail)
        return b"".join((size.to_bytes(4, "little"), self.HEAD, number, tail))


class Player(asyncio.Protocol):
    """One connection; ``due`` holds pool entry and time of sending of what is unanswered."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.at = number % POOL
        self.buffer = b""
        self.seq = self.answered = 0
        self.due: deque[tuple[int, float]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(hello(self.load.agent, self.load.rows, self.load.role))

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "little")):
            self.take(data[4:end])
            data = data[end:]
        self.buffer = data

    def take(self, body: bytes) -> None:
        try:
            act = _acts.decode(body)
        except msgspec.ValidationError:
            self.take_other(msgpack.unpackb(body))
            return
        at, sent = self.due.popleft()
        self.answered += 1
        self.load.count(self, act, at, time.perf_counter() - sent)

    def take_other(self, body: dict) -> None:
        kind = body["type"]
        if kind == "welcome":
            self.load.welcome()
        elif kind == "ping":
            self.transport.write(frame({"type": "pong", "t": body["t"]}))
        elif kind == "error":
            self.load.errors += 1
            print(body, file=sys.stderr)

    def send(self, sent: float) -> None:
        self.at = (self.at + 1) % POOL
        self.seq += 1
        self.due.append((self.at, sent))
        self.transport.write(self.load.pool.frame(self.seq, self.at))

    def leave(self) -> None:
        self.transport.write(frame({"type": "goodbye", "reason": "client_done"}))

    def connection_lost(self, fault: Exception | None) -> None:
        self.load.lost()


class Load:
    """Many players, their latencies and errors."""

    def __init__(self, spec: dict[str, Any], pool: Pool) -> None:
        self.agent, self.rows, self.role = spec["agent"], spec["rows"], spec.get("role", "play")
        self.connections, self.seconds = spec["connections"], spec["seconds"]
        self.rate = spec.get("rate")
        self.checked = self.role == "play"  # whoever trains explores: no answer is the right one
        self.pool = pool
        self.over = False
        self.errors = self.frames = self.welcomed = self.gone = self.answered = 0
        self.latencies: list[float] = []
        self.players = [Player(self, number) for number in range(self.connections)]

    async def connect(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self.all_in, self.all_out = loop.create_future(), loop.create_future()
        for player in self.players:
            await loop.create_connection(lambda p=player: p, "127.0.0.1", port)
        await self.all_in

    def welcome(self) -> None:
        self.welcomed += 1
        if self.welcomed == self.connections:
            self.all_in.set_result(None)

    async def play(self) -> None:
        self.started = time.perf_counter()
        if self.rate:
            await self._open_loop(self.rate)
        else:
            for player in self.players:
                player.send(time.perf_counter())
            await asyncio.sleep(self.seconds)
        self.over = True
        self.elapsed = time.perf_counter() - self.started
        await self.drain()

    async def drain(self) -> None:
        """Wait for every answer that is due; what has not come after 30 s is an error."""
        end = time.perf_counter() + 30
        while left := sum(len(player.due) for player in self.players):
            await asyncio.sleep(0.002)
            if time.perf_counter() > end:
                self.errors += left
                break

    async def _open_loop(self, rate: float) -> None:
        """Send frame i at i / rate seconds, connections taking turns, however late the loop is."""
        sent = 0
        while (now := time.perf_counter() - self.started) < self.seconds:
            while sent / rate <= now:
                player = self.players[sent % self.connections]
                player.send(self.started + sent / rate)
                sent += 1
            await asyncio.sleep(max(0.0, sent / rate - (time.perf_counter() - self.started)))

    def count(self, player: Player, act: Act, at: int, seconds: float) -> None:
        right = self.pool.answers[at]
        if act.seq != player.answered or (self.checked and right and act.action != right):
            self.errors += 1
        if not right and self.checked:
            self.pool.answers[at] = act.action
        if not self.over or self.rate:
            self.frames += 1
            self.latencies.append(seconds)
        if not self.over and not self.rate:
            player.send(time.perf_counter())

    def lost(self) -> None:
        self.gone += 1
        self.errors += not self.over
        if self.gone == self.connections:
            self.all_out.set_result(None)

    async def close(self) -> None:
        self.over = True
        for player in self.players:
            player.leave()
        await self.all_out


def report(latencies: list[float], frames: int, rows: int, elapsed: float, errors: int) -> dict:
    """Rates, exact quantiles, a histogram of powers of two from 1 µs on, and this process's CPU."""
    times = np.sort(np.array(latencies)) if latencies else np.full(1, np.nan)
    used = resource.getrusage(resource.RUSAGE_SELF)
    buckets = np.bincount(np.log2(times * 1e6 + 1).astype(int)) if latencies else []
    return {
        "frames": frames,
        "frames_per_second": round(frames / elapsed, 1),
        "rows_per_second": round(frames * rows / elapsed),
        **{
            f"p{name}_ms": round(1e3 * float(times[min(len(times) - 1, int(q * len(times)))]), 4)
            for name, q in (("50", 0.5), ("99", 0.99), ("999", 0.999))
        },
        "max_ms": round(1e3 * float(times[-1]), 4),
        "over_16_7_ms": int((times > 1 / 60).sum()),
        "errors": errors,
        "elapsed": elapsed,
        "cpu": used.ru_utime + used.ru_stime,
        "histogram_log2_us": [int(n) for n in buckets],
    }


async def main(spec: dict[str, Any]) -> dict:
    pool = Pool(spec["agent"], spec["rows"])
    if spec.get("role", "play") == "play" and not spec.get("blank"):
        lone = Load(spec | {"connections": 1, "seconds": 0.2, "rate": None}, pool)
        await lone.connect(spec["port"])
        await lone.play()
        await lone.close()
    load = Load(spec, pool)
    await load.connect(spec["port"])
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    before = time.process_time()
    if spec.get("idle"):
        await asyncio.sleep(spec["seconds"])
        load.elapsed = spec["seconds"]
        for player in load.players:  # after the silence everyone still gets an answer
            player.send(time.perf_counter())
        load.over = True
        await load.drain()
    else:
        await load.play()
    cpu = time.process_time() - before
    out = report(load.latencies, load.frames, load.rows, load.elapsed, load.errors)
    await load.close()
    return out | {"cpu": cpu}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if given.get("grpc"):
        from serving_peers import drive_grpc

        result = asyncio.run(drive_grpc(given))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(main(given))
    print(json.dumps(result), flush=True)
