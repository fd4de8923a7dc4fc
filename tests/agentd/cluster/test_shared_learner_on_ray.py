"""Daemons and their one learner on a simulated cluster: nodes of Ray on this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, Client, SessionLost
from agentd.memory.layout import RingLayout
from agentd.memory.mapped_file import committed, identity_of
from agentd.memory.shared_ring import SharedRing
from agentd.store import list_checkpoints

from .simulated import PATIENCE_S, Nodes, run_agentd, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(3600)]

CONFIG = """
autocreate: true
agent:
  model: {layers: [{dense: 16}, relu]}
  pace: {mode: free, learn_start: 64, train_every: 4}
  checkpoint: {every_seconds: 2}
"""
STREAMS = 4


class Serving:
    """``agentd cluster serve`` with two daemons."""

    def __init__(self, nodes: Nodes, folder: Path, *more: str) -> None:
        (folder / "serve.yaml").write_text(CONFIG)
        self.data = folder / "data"
        command = [sys.executable, "-m", "agentd", "cluster", "serve", str(folder / "serve.yaml")]
        command += ["--ray", nodes.address, "--data-dir", str(self.data), "--port", "0"]
        command += ["--host", "127.0.0.1", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(2)]
        assert all("listening on" in line for line in lines), lines
        self.addresses = [line.split()[-1] for line in lines]

    def learner_pid(self) -> int:
        try:
            found = json.loads((self.data / "learner/lock").read_text())
        except (OSError, ValueError):
            return 0
        return int(found["pid"])

    def daemon_pid(self, number: int) -> int:
        found = json.loads((self.data / f"replica-{number}/lock").read_text())
        return int(found["pid"])

    def checkpoints(self) -> list[str]:
        """The learner's, the newest first."""
        return list_checkpoints(self.data / "learner/agents/a/checkpoints")

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert self.process.wait(PATIENCE_S) == 0


class Game:
    """Rows without meaning: what is learned does not matter, only that it is."""

    def __init__(self, address: str) -> None:
        self.client = Client.connect(
            address, "a", ("float32", (4,)), 3, streams=STREAMS, retry_for=PATIENCE_S
        )
        self.rng, self.turn, self.lost = np.random.default_rng(1), 0, 0

    def play(self, turns: int = 50) -> int:
        """Play; return the newest version heard of."""
        for _ in range(turns):
            kind = (FIRST, *[MID] * 8, TERMINATED)[self.turn % 10]
            obs = self.rng.standard_normal((STREAMS, 4)).astype(np.float32)
            try:
                self.client.step(obs, 1.0, kind)
                self.turn += 1
            except SessionLost:
                self.turn, self.lost = 0, self.lost + 1
        return self.client.version


@pytest.fixture
def serve(nodes: Nodes, tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts it, on a node of its own beside the head."""
    begun: list[Serving] = []
    node = nodes.add(cpus=2)

    def start(*more: str) -> Serving:
        begun.append(Serving(nodes, tmp_path, *more))
        return begun[-1]

    yield start
    for each in begun:
        if each.process.poll() is None:
            each.stop()
    nodes.remove(node)


def learned(games: list[Game], versions: list[int]) -> None:
    """Play until each game has weights newer than these."""
    for game, version in zip(games, versions, strict=True):
        wait_for(lambda game=game, version=version: game.play() > version)


def test_two_daemons_learn_together_through_a_kill_of_their_learner(
    nodes: Nodes, serve: Callable[..., Serving]
) -> None:
    serving = serve()
    games = [Game(address) for address in serving.addresses]
    learned(games, [50, 50])
    status = run_agentd("cluster", "status", "--ray", nodes.address)
    assert status.returncode == 0, status.stderr
    pids = (serving.learner_pid(), serving.daemon_pid(0), serving.daemon_pid(1))
    loaded = ["_raylet" in Path(f"/proc/{pid}/maps").read_text() for pid in pids]
    assert loaded == [True, False, False]  # Ray is in no daemon

    killed = serving.learner_pid()
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    while (before := [game.play() for game in games]) and time.monotonic() - began < 2:
        pass  # games go on
    wait_for(lambda: serving.learner_pid() != killed)
    learned(games, [version + 50 for version in before])
    print(f"learner back and ahead after {time.monotonic() - began:.1f} s")
    for game in games:
        game.client.close()
    serving.stop()

    path = serving.data / "learner/agents/a/replay/rows.ring"
    identity = identity_of(path)
    layout = RingLayout(16, 3, 1, identity["schema"])
    ring = SharedRing.open(path, layout, identity["capacity"], slack=identity["slack"])
    at = np.arange(ring.oldest, ring.head) % ring.physical
    serial, seq = ring.columns["session"][at], ring.columns["seq"][at]
    rows = sorted(
        committed(serving.data / f"replica-{number}/agents/a/replay/rows.ring").head
        for number in range(2)
    )
    found = [seq[serial == each].tolist() for each in np.unique(serial)]
    assert sorted(len(each) for each in found) == rows
    assert all(each == list(range(len(each))) for each in found)


def test_a_lost_learner_goes_on_from_what_daemons_keep_and_a_lost_daemon_hurts_no_other(
    nodes: Nodes, serve: Callable[..., Serving]
) -> None:
    home = nodes.add(cpus=0, learner=1)
    serving = serve("--learner-on", "learner")
    games = [Game(address) for address in serving.addresses]
    learned(games, [50, 50])
    kept = [serving.data / f"replica-{n}/agents/a/checkpoints" for n in range(2)]
    wait_for(lambda: [game.play() for game in games] and all(map(list_checkpoints, kept)))

    nodes.kill(home)
    shutil.rmtree(serving.data / "learner")
    saved = min(int(list_checkpoints(folder)[0].split("-")[1]) for folder in kept)
    before = [game.play() for game in games]  # games go on
    home = nodes.add(cpus=0, learner=1)
    wait_for(lambda: [game.play() for game in games] and serving.learner_pid())
    oldest = wait_for(lambda: serving.checkpoints())[-1]
    assert int(oldest.split("-")[1]) >= saved
    learned(games, [version + 50 for version in before])

    versions, lost = [game.play() for game in games], games[1].lost
    os.kill(serving.daemon_pid(0), signal.SIGKILL)
    learned(games[1:], [versions[1] + 50])
    assert games[1].lost == lost
    learned(games[:1], [versions[0] + 50])  # its daemon was started again, at the same address
    for game in games:
        game.client.close()
    serving.stop()
    nodes.remove(home)
