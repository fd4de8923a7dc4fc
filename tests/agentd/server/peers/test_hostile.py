"""Promises N1, N3, N4, N5, E1, E2: nobody crashes, grows or slows the server for the others."""

import asyncio
import json
import os
import random
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest

from agentd.protocol import messages as m
from agentd.protocol.codec import encode

FIRST, MID, TERMINATED = 0, 1, 2
NIL = bytes(4)
DATA = Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[5] / "shared" / "data"))


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def corpus() -> list[bytes]:
    """Bodies of the msgpack test suite, each in a frame."""
    path = DATA / "corpora" / "msgpack" / "msgpack-test-suite.json"
    if not path.exists():
        return []
    groups = json.loads(path.read_text())
    bodies = [
        bytes.fromhex(text.replace("-", ""))
        for group in groups.values()
        for case in group
        for text in case["msgpack"]
    ]
    return [len(b).to_bytes(4, "little") + b for b in bodies if b]


def mutations(count: int, rng: random.Random) -> list[bytes]:
    """Valid frames with bytes changed, dropped, doubled, or cut short."""
    valid = [
        encode(
            m.Step(seq=1, stream=bytes(4), kind=bytes(1), reward=bytes(4), obs={"x": bytes(16)})
        ),
        encode(m.Teach(seq=1, obs={"x": bytes(16)}, target=bytes(4))),
        encode(m.Ping(t=1)),
        encode(m.Stats()),
        encode(m.Goodbye(reason="client_done")),
    ]
    out = []
    for _ in range(count):
        frame = bytearray(rng.choice(valid))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(frame))
            match rng.randrange(4):
                case 0:
                    frame[at] = rng.randrange(256)
                case 1:
                    del frame[at]
                case 2:
                    frame[at:at] = frame[at : at + rng.randrange(8)]
                case 3:
                    frame[at:] = rng.randbytes(rng.randrange(12))
            if not frame:
                frame = bytearray(b"\0")
        out.append(bytes(frame))
    return out


async def good_game(peer, stop: asyncio.Event) -> list[float]:
    """A client that plays along; returns its latencies in seconds and fails on any error."""
    await peer.hello(agent="good")
    kind, waits = FIRST, []
    while not stop.is_set():
        start = time.perf_counter()
        answer = await peer.step([kind] * 4)
        waits.append(time.perf_counter() - start)
        assert isinstance(answer, m.ActReply), answer
        kind = MID
        await asyncio.sleep(0.002)
    return waits


async def throw(house, frame: bytes, greet: bool) -> None:
    """One hostile connection: perhaps a hello, then the frame, then listen until it is over."""
    reader, writer = await asyncio.open_connection(house.host, house.port)
    hello = {
        "protocol": (1, 1),
        "client": "evil",
        "agent": "evil",
        "role": "train",
        "observation": {"x": {"dtype": "float32", "shape": [4]}},
        "action": {"kind": "discrete", "n": 3},
        "streams": 1,
        "run": bytes(16),
    }
    try:
        if greet:
            writer.write(encode(m.Hello(**hello)))
        writer.write(frame)
        writer.write_eof()
        async with asyncio.timeout(10):
            while await reader.read(65536):
                pass
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


async def test_malformed_frames_neither_crash_nor_grow_the_server(serve):
    house = await serve()
    stop = asyncio.Event()
    playing = asyncio.ensure_future(good_game(await house.peer(), stop))
    rng = random.Random(1)
    frames = corpus() + mutations(1_200, rng)
    await asyncio.gather(*(throw(house, frame, greet=True) for frame in frames[:100]))
    await asyncio.sleep(0.1)
    memory, files = resident_bytes(), open_files()

    for start in range(100, len(frames), 50):
        part = frames[start : start + 50]
        await asyncio.gather(*(throw(house, f, greet=i % 4 > 0) for i, f in enumerate(part)))
    await asyncio.sleep(0.2)

    assert resident_bytes() - memory < 16 << 20
    assert open_files() <= files
    assert len(house.server.connections) == 1
    stop.set()
    assert len(await playing) > 20


@pytest.mark.parametrize("size", [16 * 1024 + 1, 2**31, 2**32 - 1])
async def test_an_oversized_frame_is_refused_from_its_header(serve, size):
    peer = await (await serve()).peer()
    memory = resident_bytes()
    start = time.perf_counter()
    peer.writer.write(size.to_bytes(4, "little"))

    error = await peer.hear()

    assert error.code == "FRAME_TOO_LARGE"
    assert await peer.hear() == m.Goodbye(reason="limit")
    assert await peer.hear() is None
    assert time.perf_counter() - start < 5
    assert resident_bytes() - memory < 1 << 20


async def test_dribblers_are_cut_on_the_deadline_and_hurt_nobody(serve):
    house = await serve(hello_timeout_s=0.8)
    stop = asyncio.Event()
    playing = asyncio.ensure_future(good_game(await house.peer(), stop))
    writers = [(await asyncio.open_connection(house.host, house.port))[1] for _ in range(300)]
    for byte in b"\x20\0\0\0" + b"\x81" * 31:  # ten seconds for all but the last byte of a hello
        for writer in writers:
            if not writer.is_closing():
                writer.write(bytes([byte]))
        await asyncio.sleep(0.3)
        if len(house.server.connections) == 1:
            break
    left = len(house.server.connections)
    stop.set()
    waits = sorted(await playing)
    for writer in writers:
        writer.transport.abort()

    assert left == 1
    assert waits[int(0.99 * len(waits))] < 0.25


async def test_many_clients_lose_and_cross_no_reply(serve):
    house = await serve()
    clients, frames = 150, 6
    lone = await house.peer()
    await lone.hello(role="play", explain=True)
    rng = np.random.default_rng(4)
    states = rng.standard_normal((clients, 1, 4)).astype(np.float32)
    want = []
    for at, state in enumerate(states):
        answer = await lone.step([MID if at else FIRST], state)
        want.append(np.frombuffer(answer.q, "<f4"))

    async def client(at: int) -> None:
        peer = await house.peer()
        await peer.hello(role="play", explain=True)
        for frame in range(frames):
            answer = await peer.step([MID if frame else FIRST], states[at])
            assert answer.seq == frame + 1
            np.testing.assert_allclose(np.frombuffer(answer.q, "<f4"), want[at], atol=1e-5)

    await asyncio.gather(*(client(at) for at in range(clients)))

    assert house.server.registry.loaded["a"].counters.frames == clients * (frames + 1)


async def test_vanishing_clients_poison_nothing(serve):
    """E1: FIN, RST and silence at random moments; the ring holds the acknowledged rows, cut."""
    house = await serve({"learner": "dqn", "pace": {"learn_start": 10_000}}, resume_s=0.3)
    rng = random.Random(2)
    acknowledged = 0
    for _ in range(60):
        peer = await house.peer()
        await peer.hello(run=os.urandom(16))
        for frame in range(rng.randint(1, 4)):
            assert isinstance(await peer.step([MID if frame else FIRST] * 2), m.ActReply)
            acknowledged += 2
        if rng.random() < 0.5:
            peer.writer.transport.abort()  # RST or FIN, as the kernel sees fit
        else:
            peer.writer.write_eof()
    agent = house.server.registry.loaded["a"]
    async with asyncio.timeout(5):
        while agent.sessions:
            await asyncio.sleep(0.05)

    ring = agent.learning.ring
    kind, following = ring.columns["kind"], ring.columns["next"]

    assert ring.head == acknowledged
    assert (kind[: ring.head] < TERMINATED).all()
    for row in range(ring.head):
        assert following[row] == -1 or kind[following[row]] == MID
    assert not agent.states.open.any()


async def test_numbers_that_are_none_are_refused_by_name_and_never_learned(serve):
    """E2: every 10th frame carries NaN or Inf."""
    house = await serve({"learner": "dqn", "pace": {"learn_start": 10_000}})
    peer = await house.peer()
    await peer.hello()
    rng = np.random.default_rng(0)
    refused = taken = 0
    for frame in range(200):
        obs, reward = rng.standard_normal((4, 4)), np.zeros(4)
        bad = frame % 10 == 9
        if bad and frame % 20 == 9:
            obs[2, 1] = [np.nan, np.inf][frame % 3 % 2]
        elif bad:
            reward[3] = -np.inf
        answer = await peer.step([MID if taken else FIRST] * 4, obs, reward)
        if bad:
            assert (answer.code, answer.field) == (
                "NOT_FINITE",
                "obs.x" if frame % 20 == 9 else "reward",
            )
            refused += 1
        else:
            assert isinstance(answer, m.ActReply)
            taken += 1
    agent = house.server.registry.loaded["a"]
    ring = agent.learning.ring
    floats = np.ascontiguousarray(ring.columns["obs"][: ring.head]).view(np.float32)

    assert (refused, ring.head) == (20, 4 * taken)
    assert agent.counters.refused_frames == 20
    assert np.isfinite(floats).all()
    assert np.isfinite(ring.columns["reward"][: ring.head]).all()


async def test_a_bomb_costs_little_of_the_loop(serve):
    """N2: nested arrays, trees and huge headers; a neighbour waits no longer than 50 ms."""
    house = await serve()
    stop = asyncio.Event()
    playing = asyncio.ensure_future(good_game(await house.peer(), stop))
    bombs = [
        b"\x91" * 16_000,
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa4type\xdd\xff\xff\xff\xff",
        msgpack.packb({"type": "step", "obs": [[]] * 5_000}),
        msgpack.packb({"type": "create", "agent": "x", "config": {str(i): [] for i in range(999)}}),
        b"\x81\xa4type" + b"\xc4\xff" + bytes(255),
    ]
    await asyncio.sleep(0.2)
    for bomb in bombs * 3:
        await throw(house, len(bomb).to_bytes(4, "little") + bomb, greet=True)
    stop.set()
    waits = sorted(await playing)

    assert waits[int(0.99 * len(waits))] < 0.05
