"""Daemons and their one learner on a simulated cluster: nodes of Ray on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.client import FIRST, MID, TERMINATED, Client, SessionLost
from agentd.memory.layout import RingLayout
from agentd.memory.mapped_file import committed, identity_of
from agentd.memory.shared_ring import SharedRing

from .simulated import PATIENCE_S, Nodes

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(900)]

CONFIG = """
autocreate: true
agent:
  model: {layers: [{dense: 16}, relu]}
  pace: {mode: free, learn_start: 64, train_every: 4}
  checkpoint: {every_seconds: 2}
"""
STREAMS = 4


def wait_for(found: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"no {what} within {within_s:g} s")


class Serving:
    """``agentd cluster serve`` with two daemons."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        (folder / "serve.yaml").write_text(CONFIG)
        self.data = folder / "data"
        command = [sys.executable, "-m", "agentd", "cluster", "serve", str(folder / "serve.yaml")]
        command += ["--ray", nodes.address, "--data-dir", str(self.data), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(2)]
        assert all("listening on" in line for line in lines), lines
        self.addresses = [line.split()[-1] for line in lines]

    def learner_pid(self) -> int:
        found = json.loads((self.data / "learner/lock").read_text())
        return int(found["pid"])

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0


class Game:
    """Rows without meaning: what is learned does not matter, only that it is."""

    def __init__(self, address: str) -> None:
        self.client = Client.connect(
            address, "a", ("float32", (4,)), 3, streams=STREAMS, retry_for=PATIENCE_S
        )
        self.rng, self.turn = np.random.default_rng(1), 0

    def play(self, turns: int = 50) -> int:
        """Play; return the newest version heard of."""
        for _ in range(turns):
            kind = (FIRST, *[MID] * 8, TERMINATED)[self.turn % 10]
            obs = self.rng.standard_normal((STREAMS, 4)).astype(np.float32)
            try:
                self.client.step(obs, 1.0, kind)
                self.turn += 1
            except SessionLost:
                self.turn = 0
        return self.client.version


@pytest.fixture
def serving(nodes: Nodes, tmp_path: Path) -> Iterator[Serving]:
    nodes.add(cpus=2)
    started = Serving(nodes, tmp_path)
    yield started
    if started.process.poll() is None:
        started.stop()


def test_two_daemons_learn_together_through_kills_of_their_learner(serving: Serving) -> None:
    games = [Game(address) for address in serving.addresses]
    for game in games:
        wait_for(lambda game=game: game.play() > 50, "weights")

    killed = serving.learner_pid()
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    while (before := [game.play() for game in games]) and time.monotonic() - began < 2:
        pass  # games go on
    wait_for(lambda: serving.learner_pid() != killed, "learner")
    for game, version in zip(games, before, strict=True):
        wait_for(lambda game=game, version=version: game.play() > version + 50, "newer weights")
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
