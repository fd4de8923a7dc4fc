"""The whole path: games play, rows become updates, and no kill loses or doubles anything."""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, Client
from agentd.errors import StorageError
from agentd.games import make
from agentd.protocol import messages as m
from agentd.store import read_checkpoint

PACED = {
    "learner": "dqn",
    "seed": 7,
    "model": {"layers": [{"dense": 16}, "relu"]},
    "dqn": {"batch": 16, "target": {"every": 50}},
    "replay": {"capacity": 2_000},
    "pace": {"mode": "paced", "learn_start": 100, "train_every": 10, "updates": 4},
    "exploration": {"start": 1.0, "end": 0.1, "steps": 2_000},
    "checkpoint": {"every_seconds": None, "every_updates": 100},
}
ALL = PACED | {
    "model": {"layers": [{"dense": 16}, "relu"], "dueling": True},
    "dqn": {
        **PACED["dqn"],
        "n_step": 3,
        "prioritized": True,
        "distribution": "categorical",
        "noisy": True,
        "frame_stack": 3,
        "normalize_observations": True,
    },
    "reward": {"normalize": True},
    "exploration": {"kind": "noisy"},
}
FREE = PACED | {"pace": {"mode": "free", "learn_start": 50, "train_every": 4, "updates": 1}}


def play(client: Client, steps: int, seed: int, at=lambda step: None) -> None:
    """Play CartPole on one stream for so many environment steps; ``at`` is told each step."""
    game = make("cartpole", streams=1, seed=seed)
    frame = game.reset()
    for step in range(steps):
        act = client.step(frame.obs, frame.reward, frame.kind, frame.stream)
        frame = game.step(act.actions[frame.kind < TERMINATED])
        at(step)


def connect(address, agent="cart", role="train", **options) -> Client:
    spec = make("cartpole", streams=1, seed=0).spec
    return Client.connect(address, agent, spec.observation, spec.actions, role=role, **options)


def fingerprint(data_dir, agent="cart") -> str:
    """The hash of everything that the newest checkpoint holds: weights, target, moments, RNG."""
    checkpoint = read_checkpoint(data_dir / "agents" / agent / "checkpoints")
    found = hashlib.sha256()
    for arrays in (checkpoint.weights, checkpoint.state):
        for name in sorted(arrays):
            found.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()


STREAMING = {
    "pqn": {
        "pqn": {"minibatches": 2},
        "pace": {"mode": "paced", "learn_start": 20, "train_every": 20, "updates": 6},
    },
    "stream_q": {
        "pace": {"mode": "paced", "learn_start": 20, "train_every": 20, "updates": 20},
    },
}


async def train_paced(
    serve, data_dir, steps: int, kill_at: int | None = None, config=PACED
) -> tuple[str, dict]:
    house = await serve(config, data_dir=data_dir)
    address = f"{house.host}:{house.port}"

    def kill(step: int) -> None:
        if step == kill_at:
            pid = house.server.registry.loaded["cart"].learning.handle.pid
            os.kill(pid, signal.SIGKILL)

    def run() -> dict:
        with connect(address) as client:
            play(client, steps, seed=3, at=kill)
            learning = house.server.registry.loaded["cart"].learning
            while learning.handle.stats()["due"] != learning.handle.pace.reached(learning.head):
                time.sleep(0.02)  # the learner is up to one period behind the game
            client.save("cart")
            return client.stats("cart").agents["cart"]

    stats = await asyncio.to_thread(run)
    await house.down()
    return fingerprint(data_dir), stats


@pytest.mark.slow
@pytest.mark.timeout(600)  # on a busy machine it took five minutes
async def test_paced_the_same_seed_gives_the_same_weights_and_a_killed_learner_changes_nothing(
    serve, tmp_path
):
    steps = 600

    once, stats = await train_paced(serve, tmp_path / "once", steps)
    again, _ = await train_paced(serve, tmp_path / "again", steps)
    killed, after = await train_paced(serve, tmp_path / "killed", steps, kill_at=410)

    assert stats["updates"] > 190
    assert once == again
    assert after["learner_restarts"] == 1
    assert once == killed


@pytest.mark.parametrize("learner", STREAMING)
async def test_streaming_learners_repeat_themselves_through_a_kill(serve, tmp_path, learner):
    config = PACED | {"learner": learner, "checkpoint": {"every_updates": 50}}
    config |= {"exploration": {"kind": "boltzmann", "steps": 500}} | STREAMING[learner]

    whole, stats = await train_paced(serve, tmp_path / "whole", 400, config=config)
    killed, after = await train_paced(serve, tmp_path / "killed", 400, 230, config)

    assert after["learner_restarts"] == 1
    assert whole == killed
    period = config["pace"]["updates"]  # one period behind, as everyone who is paced
    assert 0 < stats["policy_lag"] <= stats["policy_lag_max"] <= 2 * period
    assert stats["stale"] == 0


@pytest.mark.slow
async def test_with_every_improvement_a_killed_learner_changes_nothing(serve, tmp_path):
    config = ALL | {"checkpoint": {"every_updates": 40}}
    once, stats = await train_paced(serve, tmp_path / "once", 350, config=config)
    killed, after = await train_paced(serve, tmp_path / "killed", 350, 250, config=config)

    assert stats["updates"] > 80
    assert after["learner_restarts"] == 1
    assert once == killed


async def test_a_killed_learner_costs_no_game_a_frame_and_learning_goes_on(serve):
    house = await serve(FREE)
    peers = [await house.peer() for _ in range(16)]
    for peer in peers:
        await peer.hello()
        assert isinstance(await peer.step([FIRST] * 4), m.ActReply)
    handle = house.server.registry.loaded["a"].learning.handle
    await handle.ready()
    rng = np.random.default_rng(0)
    over = False

    async def game(peer) -> int:
        frames = 0
        while not over:
            answer = await peer.step([MID] * 4, rng.standard_normal((4, 4)), np.ones(4))
            assert isinstance(answer, m.ActReply), answer
            frames += 1
        return frames

    async def murder() -> None:
        nonlocal over
        async with asyncio.timeout(30):
            while handle.stats()["updates"] < 20 or np.isnan(handle.stats()["updates"]):
                await asyncio.sleep(0.05)
            os.kill(handle.pid, signal.SIGKILL)
            while handle.restarts == 0:
                await asyncio.sleep(0.01)
            await handle.ready()
            reached = handle.stats()["updates"]
            while not handle.stats()["updates"] > reached + 20:
                await asyncio.sleep(0.05)
        over = True

    async with asyncio.TaskGroup() as tasks:
        games = [tasks.create_task(game(peer)) for peer in peers]
        tasks.create_task(murder())

    assert all(task.result() > 0 for task in games)


async def test_a_full_disk_stops_no_action_and_joins_nothing_across_the_gap(serve, monkeypatch):
    house = await serve(FREE)
    peer = await house.peer()
    await peer.hello()
    await peer.step([FIRST] * 4)
    agent = house.server.registry.loaded["a"]
    ring, file = agent.learning.ring, agent.learning.ring._file

    def refuse(end: int) -> None:
        raise StorageError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(file, "reserve", refuse)
        assert isinstance(await peer.step([MID] * 4), m.ActReply)
        assert agent.stats()["degraded"]
    assert isinstance(await peer.step([MID] * 4), m.ActReply)
    assert isinstance(await peer.step([MID] * 4), m.ActReply)

    assert ring.head == 12
    assert ring.columns["next"][:12].tolist() == [-1] * 4 + [8, 9, 10, 11] + [-1] * 4
    assert (agent.stats()["degraded"], agent.stats()["lost_rows"]) == (False, 4)


class Daemon:
    """``agentd serve`` in a process of its own, on one port for all its lives."""

    def __init__(self, data_dir, config) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.command = [sys.executable, "-m", "agentd", "serve", str(config), "-q"]
        self.command += ["--no-http", "--port", str(self.port), "--data-dir", str(data_dir)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("listening on ")

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self, number: int | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(15)
        self.process.stdout.close()
        return code


@pytest.fixture
def daemon(tmp_path):
    config = tmp_path / "serve.yaml"
    config.write_text(
        "agents:\n  a:\n    model: {layers: [{dense: 8}, relu]}\n"
        "    replay: {capacity: 4000}\n    pace: {learn_start: 50}\n"
        "    exploration: {steps: 5000}\n"
    )
    running = Daemon(tmp_path / "data", config)
    yield running
    with contextlib.suppress(ProcessLookupError):
        running.kill()


@pytest.mark.slow
def test_a_killed_daemon_forgets_no_row_and_doubles_none(daemon, tmp_path):
    """Every row carries its own number; the ring must hold each acknowledged one exactly once."""
    from agentd.memory.layout import replay_columns
    from agentd.memory.mapped_file import RingFile, identity_of

    client = Client.connect(
        ("127.0.0.1", daemon.port),
        "a",
        {"x": ("float32", (4,))},
        3,
        role="train",
        streams=4,
        retry_for=30,
    )
    answers, before = [], []
    with client:
        for frame in range(300):
            obs = np.zeros((4, 4), np.float32)
            obs[:, 0] = 4 * frame + np.arange(4)
            answers.append(client.step(obs, 1.0, MID if frame else FIRST).actions.copy())
            if frame in (97, 198):
                before.append(client.stats("a").agents["a"])
                daemon.kill()
                daemon.start()
                after = client.stats("a").agents["a"]
                assert after["env_steps"] == before[-1]["env_steps"] == 4 * (frame + 1)
                assert after["epsilon"] == before[-1]["epsilon"] < 1.0
        assert client.reconnects == 2
    assert daemon.end(signal.SIGTERM) == 0

    path = tmp_path / "data" / "agents" / "a" / "replay" / "rows.ring"
    found = identity_of(path)
    columns = replay_columns(found["row_bytes"], found["n_actions"], found["branches"])
    ring = RingFile.read_only(path, columns, found["capacity"] + found["slack"])
    counters = ring.commit.read()
    rows = slice(0, counters.head)
    numbers = np.ascontiguousarray(ring.columns["obs"][rows]).view(np.float32)[:, 0]
    assert counters.head == counters.env_steps == 1200
    assert numbers.astype(int).tolist() == list(range(1200))
    assert ring.columns["action"][rows, 0].tolist() == np.concatenate(answers).ravel().tolist()
    following = ring.columns["next"][rows]
    assert following.tolist() == [*range(4, 1200), -1, -1, -1, -1]  # no episode was cut


def test_two_daemons_on_one_data_directory(daemon, tmp_path):
    second = subprocess.run(
        [*daemon.command[:-4], "--port", "0", "--data-dir", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode == 73
    assert str(daemon.process.pid) in second.stderr


def test_a_second_signal_ends_at_once_and_one_ends_orderly(daemon):
    with Client.connect(
        ("127.0.0.1", daemon.port), "a", {"x": ("float32", (4,))}, 3, streams=4
    ) as client:
        client.step(np.zeros((4, 4), np.float32), 0.0, FIRST)
        assert daemon.end(signal.SIGTERM) == 0
