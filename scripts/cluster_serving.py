"""The suite `serve` of bench_cluster: daemons on simulated nodes, one learner, and who dies.

    python scripts/cluster_serving.py ADDRESS   is one of its games: CartPole, a line a second

Two daemons are on two nodes, the learner on a third. Both play at 60 frames a second, eight rows
each, with an agent that nobody configured. First it learns for a minute; then the learner, the
learner's node with its disk and a daemon's node are killed, and in the end Ray's head.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

STREAMS, FPS, AGENT = 8, 60, "cartpole"
CONFIG = f"""
agents:
  {AGENT}:
    checkpoint: {{every_seconds: 5}}
"""
READY_S, BACK_S, LOOK_S, HEADLESS_S = 600.0, 600.0, 10.0, 100.0
Row = dict[str, Any]


def play_lines(address: str) -> None:
    """Play, and write a line a second: what was returned, how long answers took, the version."""
    from agentd.client import join, play
    from agentd.games import make

    game = make(AGENT, STREAMS, os.getpid())
    returns: list[float] = []
    answers: list[float] = []
    with join(address, AGENT, game, retry_for=BACK_S) as client:
        due = last = time.monotonic()
        for turn in play(client, game):
            returns += [episode.total for episode in turn.ended]
            answers.append(round(turn.act_s * 1e3, 3))
            now = time.monotonic()
            if now - last >= 1.0:
                line = {"at": now, "returns": returns, "ms": answers, "version": turn.version}
                print(json.dumps(line), flush=True)
                returns, answers, last = [], [], now
            due = max(due + 1.0 / FPS, now)
            time.sleep(due - now)


class CartPoleGame:
    """A game process, and what it has said."""

    def __init__(self, address: str, log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            command = [sys.executable, __file__, address]
            self.process = subprocess.Popen(command, stdout=file)

    def lines(self, since: float = 0.0) -> list[Row]:
        """The whole lines of the log that are not older than ``since``."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [line for line in map(json.loads, whole.splitlines()) if line["at"] >= since]

    def mean_return(self, seconds: float) -> float:
        """Of the episodes that ended in the last ``seconds``."""
        found = [r for line in self.lines(time.monotonic() - seconds) for r in line["returns"]]
        return round(float(np.mean(found)), 1) if found else 0.0

    def version(self) -> int:
        """Of the newest weights that answered."""
        found = self.lines()
        return int(found[-1]["version"]) if found else -1

    def p99_ms(self, since: float) -> float:
        """Of the answers since then."""
        answers = [ms for line in self.lines(since) for ms in line["ms"]]
        return round(float(np.quantile(answers, 0.99)), 2) if answers else float("nan")

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


class ServedCluster:
    """``agentd cluster serve`` with two daemons and its files."""

    def __init__(self, address: str, folder: Path) -> None:
        self.data = folder / "data"
        (folder / "serve.yaml").write_text(CONFIG)
        command = [sys.executable, "-m", "agentd", "cluster", "serve", str(folder / "serve.yaml")]
        command += ["--ray", address, "--data-dir", str(self.data), "--host", "127.0.0.1"]
        command += ["--port", str(_free_port()), "--learner-on", "learner"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.addresses = [self.process.stdout.readline().split()[-1] for _ in range(2)]

    def pid(self, of: str) -> int:
        """Process that has the data directory ``of``; 0 where there is none."""
        try:
            return int(json.loads((self.data / of / "lock").read_text())["pid"])
        except (OSError, ValueError):
            return 0

    @contextmanager
    def games(self) -> Iterator[list[CartPoleGame]]:
        """A game at each daemon, ended after."""
        logs = [self.data.parent / f"game-{number}" for number in range(2)]
        games = [CartPoleGame(*each) for each in zip(self.addresses, logs, strict=True)]
        try:
            yield games
        finally:
            for game in games:
                game.stop()


def bench_serve(seconds: float, nodes: Any) -> list[Row]:
    """Run it; a row for each part. ``nodes`` are those of the simulated cluster."""
    homes = [nodes.add(cpus=2), nodes.add(cpus=2)]
    home = nodes.add(cpus=0, learner=1)
    with tempfile.TemporaryDirectory() as name:
        serving = ServedCluster(nodes.address, Path(name))
        try:
            rows = [_learning(serving, seconds)]
            with serving.games() as games:
                _wait(lambda: all(game.version() > 0 for game in games), READY_S)
                rows.append(_quiet(games))
                rows.append(_learner_killed(serving, games))
                rows.append(_learner_lost(serving, games, nodes, home))
                rows.append(_daemon_lost(serving, games, nodes, homes))
                rows.append(_head_lost(games, nodes))
        finally:
            serving.process.kill()
            serving.process.wait()
    return [{"suite": "serve", **row} for row in rows]


def _learning(serving: ServedCluster, seconds: float) -> Row:
    with serving.games() as games:
        _wait(lambda: all(game.lines() for game in games), READY_S)
        began = time.monotonic()
        reached: dict[int, float] = {}
        while time.monotonic() - began < seconds:
            time.sleep(1.0)
            for number, game in enumerate(games):
                if game.mean_return(5.0) >= 100:
                    reached.setdefault(number, round(time.monotonic() - began, 1))
        means = [game.mean_return(10.0) for game in games]
        frames = [sum(len(line["ms"]) for line in game.lines()) for game in games]
    rates = [round(count * STREAMS / seconds) for count in frames]
    row = {"part": "learning", "seconds": seconds, "returns": means, "steps_per_s": rates}
    return row | {"seconds_to_100": [reached.get(number) for number in range(2)]}


def _quiet(games: list[CartPoleGame]) -> Row:
    began = time.monotonic()
    time.sleep(LOOK_S)
    return {"part": "nothing dies", "p99_ms": [game.p99_ms(began) for game in games]}


def _learner_killed(serving: ServedCluster, games: list[CartPoleGame]) -> Row:
    before = max(game.version() for game in games)
    began = time.monotonic()
    os.kill(serving.pid("learner"), signal.SIGKILL)
    back = _wait(lambda: min(game.version() for game in games) > before, BACK_S)
    row = {"part": "learner killed", "newer_weights_s": back}
    return row | {"p99_ms": [game.p99_ms(began) for game in games]}


def _learner_lost(serving: ServedCluster, games: list[CartPoleGame], nodes: Any, home: Any) -> Row:
    before = max(game.version() for game in games)
    began = time.monotonic()
    nodes.kill(home)
    shutil.rmtree(serving.data / "learner")
    kept = serving.data.glob(f"replica-*/agents/{AGENT}/checkpoints/*-*")
    saved = max(int(path.name.split("-")[1]) for path in kept)
    nodes.add(cpus=0, learner=1)
    back = _wait(lambda: min(game.version() for game in games) > before, BACK_S)
    row = {"part": "learner's node and disk lost", "newer_weights_s": back}
    row |= {"updates_lost": before - saved, "of_updates": before}
    return row | {"p99_ms": [game.p99_ms(began) for game in games]}


def _daemon_lost(
    serving: ServedCluster, games: list[CartPoleGame], nodes: Any, homes: list[Any]
) -> Row:
    from tests.agentd.cluster.simulated import children_of

    pid = serving.pid("replica-0")
    raylets = {node: node.all_processes["raylet"][0].process.pid for node in homes}
    (home,) = [node for node, raylet in raylets.items() if pid in children_of(raylet)]
    began = time.monotonic()
    nodes.kill(home)
    time.sleep(LOOK_S)
    row = {"part": "a daemon's node lost", "other_p99_ms": games[1].p99_ms(began)}
    lines = len(games[0].lines())
    back = _wait(lambda: len(games[0].lines()) > lines, BACK_S)
    return row | {"its_game_back_s": round(back + LOOK_S, 1)}


def _head_lost(games: list[CartPoleGame], nodes: Any) -> Row:
    head = nodes.ray_cluster.head_node
    began = time.monotonic()
    os.kill(head.all_processes["gcs_server"][0].process.pid, signal.SIGKILL)
    nodes.kill(head)
    time.sleep(HEADLESS_S)
    played = [round(game.lines()[-1]["at"] - began, 1) for game in games]
    return {"part": "Ray's head lost", "looked_s": HEADLESS_S, "games_went_on_s": played}


def _free_port() -> int:
    """A port for the first daemon; one that begins on another node has it there too."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1]) - 1


def _wait(fact: Any, most_s: float) -> float:
    """Wait for a fact; return the seconds that it took."""
    began = time.monotonic()
    while not fact():
        if time.monotonic() - began > most_s:
            raise TimeoutError(f"it did not come within {most_s:g} s")
        time.sleep(0.05)
    return round(time.monotonic() - began, 1)


if __name__ == "__main__":
    play_lines(sys.argv[1])
