"""A learning agent on disk, rows for its ring, and its real learner process."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.assembly.network import network_for
from agentd.config import agent_config_from_wire, dump_yaml
from agentd.learner.pace import pace_of
from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing
from agentd.memory.teach_ring import TeachLayout, TeachRing
from agentd.memory.weight_board import WeightBoard
from agentd.protocol.schema import Schema

OBSERVATION = {"x": {"dtype": "float32", "shape": [4]}}
ACTION = {"kind": "discrete", "n": 3}
FAST = {
    "model": {"layers": [{"dense": 16}, "relu"]},
    "dqn": {"batch": 16, "target": {"every": 50}, "n_step": 3},
    "replay": {"capacity": 1000},
    "pace": {"mode": "paced", "learn_start": 64, "train_every": 4, "updates": 1},
    "checkpoint": {"every_seconds": None, "every_updates": None, "keep": 3},
}


def merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in more.items():
        inner = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if inner else value
    return out


class Process:
    """A learner process, its pipes held by the test."""

    def __init__(
        self, folder: Path, environ: dict[str, str], command: Sequence[str] = ("agentd.learner",)
    ) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", *command, "--agent-dir", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environ},
        )
        assert self.popen.stdout is not None
        os.set_blocking(self.popen.stdout.fileno(), False)
        self.events: list[dict[str, Any]] = []
        self.notifications = 0
        self._partial = b""
        self._number = 0

    def read(self, timeout: float = 0.0) -> None:
        assert self.popen.stdout is not None
        if select.select([self.popen.stdout], [], [], timeout)[0]:
            data = self.popen.stdout.read() or b""
            *lines, self._partial = (self._partial + data).split(b"\n")
            self.notifications += sum(not line for line in lines)
            self.events += [json.loads(line) for line in lines if line]
            if not data:
                time.sleep(0.005)

    def expect(self, event: str, timeout: float = 60.0, **values: Any) -> dict[str, Any]:
        """Wait for an event of this name and with these values; forget those before it."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for at, found in enumerate(self.events):
                if found["event"] == event and all(found.get(k) == v for k, v in values.items()):
                    del self.events[: at + 1]
                    return found
            self.read(0.05)
        raise AssertionError(f"no {event} {values}; got {self.events}; {self.stderr()}")

    def ask(self, do: str, **arguments: Any) -> int:
        assert self.popen.stdin is not None
        self._number += 1
        line = json.dumps({"do": do, "id": self._number, **arguments})
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()
        return self._number

    def notify(self) -> None:
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it may have seen the rows itself, and ended
            self.popen.stdin.write(b"\n")
            self.popen.stdin.flush()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self, save: bool = True) -> dict[str, Any]:
        reply = self.expect("saved" if save else "stopped", id=self.ask("stop", save=save))
        assert self.popen.wait(60) == 0
        return reply

    def stderr(self) -> str:
        if self.popen.poll() is None:
            self.kill()
        assert self.popen.stderr is not None
        return self.popen.stderr.read().decode()

    def close(self) -> None:
        self.kill()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class AgentFolder:
    """An agent's folder with its ring, fed by the test in the server's place."""

    def __init__(self, folder: Path, config: dict[str, Any], slack: int | None = None) -> None:
        self.folder, self.slack = folder, slack
        self.processes: list[Process] = []
        self.open(config)

    def open(self, config: dict[str, Any]) -> None:
        folder, slack = self.folder, self.slack
        self.config = agent_config_from_wire(merge(FAST, config))
        self.schema = Schema.from_wire(OBSERVATION, ACTION)
        self.network = network_for(self.config, self.schema)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(dump_yaml(self.config))
        (folder / "schema.json").write_text(json.dumps(self.schema.to_wire()))
        self.pace = pace_of(self.config)
        self.board = WeightBoard.open(
            folder / "replay" / "weights.board", self.network.n_params, writable=False
        )
        self.taught = self.config.learner == "supervised"
        capacity = self.config.replay.capacity
        self.ring: Any
        if self.taught:
            layout = TeachLayout(16, "class", 1, self.schema.digest())
            self.ring = TeachRing.open(folder / "replay/teach.ring", layout, capacity, slack=slack)
        else:
            rows = RingLayout(16, 3, 1, self.schema.digest())
            self.ring = ReplayRing.open(folder / "replay/rows.ring", rows, capacity, slack=slack)

    def lose_rows(self, **config: Any) -> None:
        """Start over with an empty ring and board and maybe another configuration."""
        self.ring.close()
        shutil.rmtree(self.folder / "replay")
        self.open(config)

    def start(self, *command: str, **environ: str) -> Process:
        process = Process(self.folder, environ, command or ("agentd.learner",))
        self.processes.append(process)
        return process

    def feed(self, until: int) -> None:
        """Append rows up to row count ``until``: what row i holds depends on i alone."""
        while self.ring.head < until:
            at = self.ring.head
            rng = np.random.default_rng(at)
            obs = rng.standard_normal((1, 4)).astype(np.float32).view(np.uint8)
            if self.taught:
                label = rng.integers(0, 3, (1, 1), np.int32)
                self.ring.append(obs, label, 1.0, 1, at)
                continue
            step = at % 10  # episodes of ten rows: first, eight mid, terminated or truncated
            kind = 0 if step == 0 else (2 + (at // 10) % 2 if step == 9 else 1)
            action = -1 if kind >= 2 else int(rng.integers(3))
            self.ring.append(
                obs,
                None,
                np.array([[action]], np.int32),
                rng.standard_normal(1).astype(np.float32),
                np.array([kind], np.uint8),
                0,
                np.zeros(1, np.int64),
                1,
                at + 1,
                0,
            )

    def pace_through(self, process: Process, rows: int) -> None:
        """Play the server of a paced agent: append a row only once its publication is there."""
        while self.ring.head < rows:
            self.wait_for(process, self.pace.required(self.ring.head))
            self.feed(self.ring.head + 1)
            self.wake(process)

    def run_through(self, rows: int) -> None:
        """One life of a learner, from its start to its last checkpoint."""
        process = self.start()
        process.expect("ready")
        self.pace_through(process, rows)
        self.wait_for(process, self.pace.reached(rows))
        process.stop()

    def wake(self, process: Process) -> None:
        if 0 < self.board.wake_at <= self.ring.head:
            process.notify()

    def wait_for(self, process: Process, due: int, timeout: float = 20.0) -> None:
        end = time.monotonic() + timeout
        while (newest := self.board.newest) is None or newest.due < due:
            self.ring.waiting[0] = due + 2
            assert time.monotonic() < end, f"no due point {due}: {newest}; {process.stderr()}"
            process.read(0.01)
        self.ring.waiting[0] = 0

    def weights(self, due: int | None = None) -> tuple[bytes, int, int]:
        out = np.empty(self.network.n_params, np.float32)
        found = self.board.read_into(out, due)
        assert found is not None
        return out.tobytes(), found.due, found.version

    def close(self) -> None:
        for process in self.processes:
            process.close()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentFolder]:
    """An agent that has learned from 500 rows of the plainest configuration, undisturbed."""
    agent = AgentFolder(tmp_path_factory.mktemp("whole") / "a", {})
    agent.run_through(500)
    yield agent
    agent.close()


@pytest.fixture
def make_agent(tmp_path: Path) -> Any:
    """Make agents: ``make_agent("name", config…)``; their processes end with the test."""
    made: list[AgentFolder] = []

    def make(name: str = "a", slack: int | None = None, **config: Any) -> AgentFolder:
        made.append(AgentFolder(tmp_path / name, config, slack))
        return made[-1]

    yield make
    for agent in made:
        agent.close()
