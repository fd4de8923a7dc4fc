"""The load that `bench_serving.py` puts on a server, from a process of its own.

    python scripts/serving_load.py '{"port": 7331, "agent": "net", "connections": 64, …}'

It connects, asks a lone connection for the right answer to every state of its pool, prints
``ready``, begins when a line comes on stdin, drains (every request gets its answer before anything
closes) and prints one line of JSON. A lost, crossed or mixed-up answer is an error; answers are
kept as they came and looked at after the run, so that the generator costs as little as it can: it
is plain sockets and epoll.

Closed loop: each connection sends when its last request is answered. Open loop (``rate`` frames a
second over all connections): requests leave when they are due, answered or not, and their latency
counts from then on. With ``web`` the same frames travel over WebSocket.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import time
from collections import deque
from typing import Any

import msgpack
import msgspec
import numpy as np
from serving_figures import POOL, SHAPES, report, states
from serving_peers import drive_grpc

MOST = 1 << 14  # bytes of one read
IN, OUT = select.EPOLLIN, select.EPOLLOUT
ACT = b"\x84\xa4type\xa3act"  # how every answer begins


class Act(msgspec.Struct, tag_field="type", tag="act"):
    seq: int
    action: bytes
    version: int


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


class Player:
    """One connection, non-blocking once it is welcomed.

    ``answers`` holds every answer as it came, for ``Load.verify``: answer i belongs to the frame
    of seq i + 1, whose state is entry ``(first + i) % POOL`` of the pool. Those of earlier turns,
    ``base`` of them, are gone.
    """

    def __init__(self, load: Load, number: int, port: int) -> None:
        self.load = load
        self.first = number % POOL
        self.seq = self.base = 0
        self.answers: list[bytes] = []
        self.due: deque[float] = deque()  # when what is unanswered was sent, or should have been
        self.rest = self.unsent = b""  # a beginning that has come, an end that waits to be sent
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.upgrade()
        self.socket.sendall(self.framed(hello(load.agent, load.rows, load.role)))

    def upgrade(self) -> None:
        """Nothing: frames of R2 need no words before them."""

    def framed(self, frame: bytes) -> bytes:
        """A frame of R2 as it travels."""
        return frame

    def sole(self, data: bytes) -> bytes | None:
        """The answer that a chunk is, as nearly every chunk is just one."""
        if len(data) == 4 + int.from_bytes(data[:4], "little") and data.startswith(ACT, 4):
            return data
        return None

    def is_whole(self, data: bytes) -> bool:
        """Whether the first message has come whole."""
        return len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:4], "little")

    def await_welcome(self) -> None:
        data = b""
        while not self.is_whole(data):
            data += (more := self.socket.recv(MOST))
            if not more:
                raise SystemExit(f"the server closed instead of a welcome: {data!r}")
        if b"welcome" not in data:
            raise SystemExit(f"no welcome: {data!r}")
        self.socket.setblocking(False)

    def send(self, due: float) -> None:
        """Send the next frame, which was due then."""
        at, self.seq = self.seq, self.seq + 1
        self.due.append(due)
        self.write(self.framed(self.load.pool.frame(self.seq, (self.first + at) % POOL)))

    def write(self, data: bytes) -> None:
        """Write what the socket takes; the rest goes when it takes more."""
        try:
            sent = 0 if self.unsent else self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.unsent += data[sent:]
            self.load.epoll.modify(self.socket, IN | OUT)

    def write_more(self) -> None:
        data, self.unsent = self.unsent, b""
        self.load.epoll.modify(self.socket, IN)
        self.write(data)

    def cut(self, data: bytes) -> list[bytes]:
        """The answers that are whole now; any other message is seen to."""
        data, found = self.rest + data, []
        while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "little")):
            if data.startswith(ACT, 4):
                found.append(data[:end])
            else:
                self.take_other(msgpack.unpackb(data[4:end]))
            data = data[end:]
        self.rest = data
        return found

    def take_other(self, body: dict) -> None:
        if body["type"] == "ping":
            self.write(self.framed(frame({"type": "pong", "t": body["t"]})))
        else:
            self.load.errors += 1
            print(body, file=sys.stderr)

    def leave(self) -> None:
        """Say goodbye and wait until the server has closed. Raises OSError when it does not."""
        self.socket.settimeout(10)
        self.socket.sendall(self.framed(frame({"type": "goodbye", "reason": "client_done"})))
        while data := self.socket.recv(MOST):
            self.part(data)
        self.socket.close()

    def part(self, data: bytes) -> None:
        """Nothing: the server closes by itself."""


class WebPlayer(Player):
    """The same over WebSocket. Its mask is 0: the server pays for it, the generator does not."""

    def upgrade(self) -> None:
        head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        self.socket.sendall(head.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += (more := self.socket.recv(MOST))
            if not more:
                raise SystemExit(f"no WebSocket: {answer!r}")

    def framed(self, frame: bytes) -> bytes:
        size = len(frame) - 4
        if size < 126:
            return b"".join((b"\x82", bytes((0x80 | size,)), bytes(4), frame[4:]))
        width = b"\xfe" + size.to_bytes(2) if size < 65536 else b"\xff" + size.to_bytes(8)
        return b"".join((b"\x82", width, bytes(4), frame[4:]))

    def sole(self, data: bytes) -> bytes | None:
        if len(data) == 2 + data[1] and data.startswith(ACT, 2):
            return b"\0\0" + data  # what stands before the body counts no more
        return None

    def is_whole(self, data: bytes) -> bool:
        if len(data) < 4:
            return False
        start = {126: 4, 127: 10}.get(data[1], 2)
        return len(data) >= start + (data[1] if start == 2 else int.from_bytes(data[2:start]))

    def cut(self, data: bytes) -> list[bytes]:
        data, found = self.rest + data, []
        while len(data) >= 2:
            start = {126: 4, 127: 10}.get(data[1], 2)
            size = data[1] if start == 2 else int.from_bytes(data[2:start])
            if len(data) < start + size:
                break
            body, data = data[start : start + size], data[start + size :]
            if body.startswith(ACT):
                found.append(bytes(4) + body)
            else:
                self.take_other(msgpack.unpackb(body))
        self.rest = data
        return found

    def part(self, data: bytes) -> None:
        if b"\x88\x0d\x03\xe8client_done" in data:
            self.socket.sendall(b"\x88\x82\0\0\0\0\x03\xe8")


class Load:
    """Many players, their latencies and errors. Nothing is decoded while the clock runs."""

    def __init__(self, spec: dict[str, Any], pool: Pool) -> None:
        self.agent, self.rows, self.role = spec["agent"], spec["rows"], spec.get("role", "play")
        self.seconds, self.rate = spec["seconds"], spec.get("rate")
        self.checked = self.role == "play"  # whoever trains explores: no answer is the right one
        self.pool = pool
        self.errors = self.frames = 0
        self.latencies: list[float] = []
        self.epoll = select.epoll()
        player = WebPlayer if spec.get("web") else Player
        self.players = [player(self, n, spec["port"]) for n in range(spec["connections"])]
        self.by_fd = {player.socket.fileno(): player for player in self.players}
        for player in self.players:
            player.await_welcome()
            self.epoll.register(player.socket, IN)

    def take(self, events: list[tuple[int, int]], again: bool) -> None:
        """Take what has come; with ``again`` whoever is answered sends the next frame."""
        clock, latencies = time.perf_counter, self.latencies
        for fd, what in events:
            player = self.by_fd[fd]
            if what & OUT:
                player.write_more()
            if what == OUT:
                continue
            data = player.socket.recv(MOST)
            now = clock()
            if not player.rest and data and (sole := player.sole(data)) is not None:
                answers = [sole]
            elif data:
                answers = player.cut(data)
            else:
                raise SystemExit(f"the server closed connection {player.first}")
            for answer in answers:
                player.answers.append(answer)
                latencies.append(now - player.due.popleft())
                if again:
                    player.send(now)

    def play(self) -> None:
        self.started = time.perf_counter()
        if self.rate:
            self._open_loop(self.rate)
        else:
            self._closed_loop()
        self.elapsed = time.perf_counter() - self.started
        self.frames = len(self.latencies)
        self.drain()
        if self.rate:
            self.frames = len(self.latencies)
        del self.latencies[self.frames :]

    def _closed_loop(self) -> None:
        end = self.started + self.seconds
        for player in self.players:
            player.send(time.perf_counter())
        while time.perf_counter() < end:
            self.take(self.epoll.poll(0.1), again=True)

    def _open_loop(self, rate: float) -> None:
        """Send frame i at i / rate seconds, connections taking turns, however late we are."""
        sent, count = 0, int(rate * self.seconds)
        while sent < count:
            now = time.perf_counter() - self.started
            while sent < count and sent / rate <= now:
                player = self.players[sent % len(self.players)]
                player.send(self.started + sent / rate)
                sent += 1
            wait = sent / rate - (time.perf_counter() - self.started)
            select.select([self.epoll], [], [], max(0.0, wait))  # epoll itself counts milliseconds
            self.take(self.epoll.poll(0), again=False)

    def rest(self) -> None:
        """Be silent but for the heartbeat; then everyone asks once."""
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            self.take(self.epoll.poll(0.5), again=False)
        self.elapsed = self.seconds
        for player in self.players:
            player.send(time.perf_counter())
        self.drain()

    def drain(self) -> None:
        """Wait for every answer that is due; what has not come after 30 s is an error."""
        end = time.perf_counter() + 30
        while left := sum(len(player.due) for player in self.players):
            self.take(self.epoll.poll(0.1), again=False)
            if time.perf_counter() > end:
                self.errors += left
                break

    def verify(self) -> None:
        """Look at every answer: of the right frame, and what a lone connection got."""
        for player in self.players:
            for at, answer in enumerate(player.answers, player.base):
                state = (player.first + at) % POOL
                right = self.pool.answers[state]
                try:
                    act = _acts.decode(memoryview(answer)[4:])
                except msgspec.ValidationError:
                    self.errors += 1
                    continue
                if act.seq != at + 1 or (self.checked and right and act.action != right):
                    self.errors += 1
                if not right and self.checked:
                    self.pool.answers[state] = act.action

    def forget(self) -> None:
        """Begin a new turn on the same connections."""
        self.errors, self.latencies = 0, []
        for player in self.players:
            player.base += len(player.answers)
            player.answers = []

    def close(self) -> None:
        for player in self.players:
            player.leave()
        self.epoll.close()


def main(spec: dict[str, Any]) -> dict:
    gc.disable()  # a collection would be taken for latency
    pool = Pool(spec["agent"], spec["rows"])
    if spec.get("role", "play") == "play" and not spec.get("blank"):
        lone = Load(spec | {"connections": 1, "seconds": 0.2, "rate": None}, pool)
        lone.play()
        lone.verify()
        lone.close()
    load = Load(spec, pool)
    print("ready", flush=True)
    sys.stdin.readline()
    for left in reversed(range(spec.get("turns", 1))):
        before = time.process_time()
        if spec.get("idle"):
            load.rest()
        else:
            load.play()
        cpu = time.process_time() - before
        load.verify()
        out = report(load.latencies, load.frames, load.rows, load.elapsed, load.errors)
        if left:
            print(json.dumps(out | {"cpu": cpu}), flush=True)
            load.forget()
    load.close()
    return out | {"cpu": cpu}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(drive_grpc(given) if given.get("grpc") else main(given)), flush=True)
