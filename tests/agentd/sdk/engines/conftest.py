"""What the clients for game engines are held against: PROTOCOL.md, a daemon, a wire that breaks."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest
import yaml

from agentd.client import Client

SDK = Path(str(files("agentd") / "sdk"))
EXAMPLE = re.compile(r"```hex (client|server) ([a-z-]+)\n([0-9a-f\n]*?)```")
RESUME_S = 2.0
QUICK = {
    "exploration": {"steps": 600},
    "pace": {"learn_start": 128, "train_every": 16, "updates": 16},
    "optimizer": {"lr": 2e-3},
}
"""Makes an agent learn Catch in about 150 episodes."""


class Example(NamedTuple):
    """One example of PROTOCOL.md; ``body`` is without the length before it."""

    name: str
    fields: Any  # JSON that keeps floats and bins apart
    body: bytes


def typed(value: Any) -> Any:
    """A msgpack value in JSON that keeps floats and bins apart."""
    if isinstance(value, float):
        return {"float": value}
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def examples() -> dict[str, Example]:
    """Every example of the document by name; those of the server begin with ``server-``."""
    document = (files("agentd") / "PROTOCOL.md").read_text(encoding="utf-8")
    found = {}
    for who, name, text in EXAMPLE.findall(document):
        body = bytes.fromhex(text.replace("\n", ""))[4:]
        full = name if who == "client" else f"server-{name}"
        found[full] = Example(full, typed(msgpack.unpackb(body)), body)
    assert len(found) > 45
    return found


class Daemon:
    """``agentd serve`` as a process of its own, with agents from the presets."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        agents: dict[str, Any] = {
            "curriculum": {"learner": "none", "game": {"level": 3}},
            "plain": {"learner": "none"},
        }
        for name in ("catch", "cartpole"):
            preset = files("agentd") / "presets" / f"{name}.yaml"
            agents[name] = yaml.safe_load(re.sub(r"(\d)e-", r"\1.0e-", preset.read_text()))["agent"]
        agents["cartpole"]["optimizer"]["lr"] = 2.3e-3
        for key, value in changes.items():
            agents["catch"][key] |= value
        config = folder / "agents.yaml"
        config.write_text(json.dumps({"agents": agents, "limits": {"resume_s": RESUME_S}}))
        command = [sys.executable, "-m", "agentd", "serve", str(config), "--quiet", "--no-http"]
        command += ["--port", "0", "--data-dir", str(folder / "data")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]

    def stats(self, agent: str) -> dict[str, Any]:
        """The counters of an agent."""
        with Client.connect(self.address, role="admin") as admin:
            return admin.stats(agent).agents[agent]

    def set_level(self, level: float) -> None:
        """Change the setting that the agent ``curriculum`` gives to its games."""
        with Client.connect(self.address, role="admin") as admin:
            admin.change_settings("curriculum", {"level": level})

    def stop(self) -> None:
        """End orderly."""
        self.process.terminate()
        assert self.process.wait(30) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with quick presets."""
    made = Daemon(tmp_path_factory.mktemp("daemon"), **QUICK)
    yield made
    made.stop()


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with the presets as they are."""
    made = Daemon(tmp_path)
    yield made
    made.stop()


class Wire:
    """A port before the daemon whose connections are cut after so many bytes.

    ``cuts``: for each connection a direction, ``>`` to the daemon or ``<`` from it, the bytes that
    pass that way before the cut, and the seconds before anybody may connect again.
    """

    def __init__(self, address: str, cuts: list[tuple[str, int, float]]) -> None:
        host, port = address.rsplit(":", 1)
        self._to = (host, int(port))
        self._cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                game, _ = self._listener.accept()
                daemon = socket.create_connection(self._to)
                cut = self._cuts[self.connections] if self.connections < len(self._cuts) else None
                self.connections += 1
                for way, source, sink in ((">", game, daemon), ("<", daemon, game)):
                    left = cut[1] if cut is not None and cut[0] == way else None
                    pump = threading.Thread(target=self._pump, args=(source, sink, left))
                    pump.daemon = True
                    pump.start()
                if cut is not None:
                    pump.join()  # the one from the daemon
                    time.sleep(cut[2])

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while left != 0 and (data := source.recv(65536 if left is None else left)):
                left = None if left is None else left - len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def wire(daemon: Daemon) -> Iterator[Callable[..., Wire]]:
    """``wire([("<", 200, 0.0)])``: a Wire before the daemon."""
    made: list[Wire] = []

    def make(cuts: list[tuple[str, int, float]]) -> Wire:
        made.append(Wire(daemon.address, cuts))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def check_client() -> Callable[..., dict[str, dict[str, str]]]:
    """``check_client("mono", "game.exe", "{address}")``: the verdicts by rule."""

    def check(*command: str | Path) -> dict[str, dict[str, str]]:
        words = [sys.executable, "-m", "agentd", "check-client", "--json", "--quiet", "--"]
        done = subprocess.run(
            [*words, *map(str, command)], capture_output=True, text=True, timeout=110
        )
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout.splitlines()[-1])
        return {f"{one['rule']} {one['name']}": one for one in report["rules"]}

    return check


@pytest.fixture(scope="session")
def sdk() -> Path:
    """The folder of the clients."""
    return SDK
