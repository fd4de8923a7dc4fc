"""Promises N1 and N3: hostile frames crash, grow and delay nothing while a good client plays."""

import os
import random
import struct
import time
from pathlib import Path
from typing import Any

import msgpack

FIRST, MID = 0, 1
FRAMES = 10_000
pack = msgpack.packb


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def valid_bodies(client: Any) -> list[bytes]:
    """One body of many kinds, for a session that is open or about to be."""
    hello = {
        "type": "hello",
        "protocol": [1, 1],
        "client": "x",
        "role": "play",
        "run": bytes(16),
        "agent": "hostile",
        "observation": {"x": {"dtype": "float32", "shape": [2]}},
        "action": {"kind": "discrete", "n": 3},
        "streams": 4,
    }
    client.seq = 0
    step = {"type": "step"} | client.rows([FIRST] * 4, mask=bytes([1] * 12))
    return [
        pack(hello),
        pack(step),
        pack({"type": "teach", "seq": 1, "obs": step["obs"], "target": bytes(16)}),
        pack({"type": "create", "agent": "c", "config": {"model": {"layers": [{"dense": 8}]}}}),
        pack({"type": "stats", "agent": "plain"}),
        pack({"type": "ping", "t": 1.5}),
        pack({"type": "goodbye", "reason": "client_done"}),
    ]


def mutate(rng: random.Random, body: bytes) -> bytes:
    """Change, cut, double or insert a few bytes; the header stays true or lies."""
    data = bytearray(body)
    for _ in range(rng.choice([0, 1, 1, 2, 4, 8])):
        at = rng.randrange(len(data) + 1)
        move = rng.randrange(4)
        if move == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif move == 1:
            data[at:at] = bytes([rng.choice([0x91, 0xC1, 0xC6, 0xDD, 0xDF, 0xFF, 0x00])])
        elif move == 2 and at < len(data):
            del data[at : at + rng.randrange(1, 5)]
        else:
            data[at:at] = data[at : at + 8]
    size = len(data) if rng.random() < 0.9 else rng.choice([0, len(data) + 1, 2**31, 2**32 - 1])
    return struct.pack("<I", size) + bytes(data)


def test_n1_thousands_of_mutated_frames_hurt_nobody(serve: Any, deadline: Any) -> None:
    daemon = serve("limits.hello_timeout_s=30", "limits.resume_s=0.3", "limits.heartbeat_s=60")
    good, rng = daemon.client(), random.Random(11)
    good.greet("hostile", role="play")
    good.act([FIRST])
    pid = daemon.process.pid

    def attack(count: int) -> None:
        for at in range(count):
            bad = daemon.client()
            bodies = valid_bodies(bad)
            if at % 3:
                bad.greet("hostile", role="play")
            bad.socket.settimeout(0.02)  # an unfinished frame is never answered
            try:
                bad.socket.sendall(mutate(rng, rng.choice(bodies[bool(at % 3) :])))
                if at % 5 == 0:
                    bad.receive(pings=True)
            except (OSError, AssertionError):
                pass
            finally:
                daemon.clients.remove(bad)
                bad.close()
            if at % 10 == 0:
                good.act([MID])

    def calm() -> bool:
        stats = good.ask("stats")["server"]
        return bool(stats["connections"] == 1)

    attack(FRAMES // 3)
    deadline(calm, 20)
    before, files = resident_mib(pid), open_files(pid)
    attack(FRAMES - FRAMES // 3)
    deadline(calm, 20)

    good.act([MID])
    assert resident_mib(pid) - before <= 16
    assert open_files(pid) <= files
    assert "Traceback" not in daemon.log()
    daemon.stop()


def test_n3_lying_headers_cost_neither_time_nor_memory(serve: Any) -> None:
    daemon = serve()
    good = daemon.client()
    good.greet("big", role="play")
    good.act([FIRST])
    before = resident_mib(daemon.process.pid)
    spent = []
    for size in (8 * 2**20 + 1, 2**31, 2**32 - 1) * 10:
        bad = daemon.client()
        bad.greet("big", role="play")
        start = time.monotonic()
        bad.socket.sendall(struct.pack("<I", size))
        bad.expect_end("FRAME_TOO_LARGE", "limit", "length")
        spent.append(time.monotonic() - start)
    spent.sort()
    assert spent[len(spent) // 2] < 0.1
    assert resident_mib(daemon.process.pid) - before < 4
    good.act([MID])
    daemon.stop()
