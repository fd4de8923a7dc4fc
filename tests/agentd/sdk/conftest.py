"""What clients in other languages are tried against: a daemon, a line that is cut, a notebook.

Nothing here knows a language: a client is a command with an address in it.
"""

import json
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest

from agentd.client import Client
from agentd.games import cartpole
from agentd.games.catch import Catch
from agentd.protocol.rows import FIRST, MID, TERMINATED, TRUNCATED

ROOT = Path(__file__).resolve().parents[3]
SDK = ROOT / "agentd" / "sdk"
EXAMPLE = re.compile(
    r"```json (?P<who>client|server) (?P<name>[a-z-]+)\n(?P<json>.*?)```\n\n"
    r"```hex (?P=who) (?P=name)\n(?P<hex>[0-9a-f\n]*?)```",
    re.S,
)


class Example(NamedTuple):
    """One byte-exact example of PROTOCOL.md."""

    who: str
    name: str
    fields: dict[str, Any]
    hex: str


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    text = (ROOT / "agentd" / "PROTOCOL.md").read_text(encoding="utf-8")
    return [
        Example(e["who"], e["name"], json.loads(e["json"]), e["hex"].replace("\n", ""))
        for e in EXAMPLE.finditer(text)
    ]


@pytest.fixture(scope="session")
def sdk() -> Path:
    """The folder of all clients."""
    return SDK


class Served:
    """``agentd serve`` as a process of its own; ``start`` again goes on with its data."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder, self._settings = folder, settings
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        words = [word for setting in self._settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "agentd", "serve", "--port", str(self.port), "--no-http"]
        command += ["--quiet", "--data-dir", str(self._folder), *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        self._process.communicate(timeout=30)

    def rows(self, agent: str) -> int:
        """How many rows it has taken for ``agent``."""
        with Client.connect(("127.0.0.1", self.port), role="admin") as admin:
            agents = admin.stats().agents
            return int(agents[agent]["env_steps"]) if agent in agents else 0


SETTINGS = (
    "agents.game={game: {level: 3}}",
    "agents.catch={preset: catch}",
    "agents.cartpole={preset: cartpole}",
)
"""An agent with a setting; two that learn as their presets say."""


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A daemon that all tests share."""
    made = Served(tmp_path_factory.mktemp("daemon"), *SETTINGS)
    yield made
    made.end()


@pytest.fixture
def free_daemon(tmp_path: Path) -> Iterator[Served]:
    """A daemon of the test's own."""
    made = Served(tmp_path / "data", *SETTINGS)
    yield made
    made.end()


class Cutter:
    """A line to a port that breaks whenever so many bytes have gone up it, ``cuts`` times."""

    def __init__(self, port: int, after: int, cuts: int) -> None:
        self._port, self._after, self._cuts = port, after, cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._carry_all)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _carry_all(self) -> None:
        with suppress(OSError):
            while True:
                game, _ = self._listener.accept()
                with game, socket.create_connection(("127.0.0.1", self._port)) as server:
                    most = self._after if self._cuts > 0 else sys.maxsize
                    self._cuts -= 1
                    self._carry(game, server, most)

    @staticmethod
    def _carry(game: socket.socket, server: socket.socket, most: int) -> None:
        with suppress(ConnectionError), selectors.DefaultSelector() as ready:
            for one, other in ((game, server), (server, game)):
                ready.register(one, selectors.EVENT_READ, other)
            while most > 0:
                for key, _ in ready.select():
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    data = one.recv(min(most, 65536))
                    if not data:
                        return
                    key.data.sendall(data)
                    most -= len(data) if one is game else 0


@pytest.fixture
def cut(daemon: Served) -> Iterator[Cutter]:
    """A line to the daemon that breaks three times, in the middle of a frame."""
    line = Cutter(daemon.port, after=2999, cuts=3)
    yield line
    line.close()


class Moment(NamedTuple):
    """One row that a game has sent, and the action that it was answered."""

    kind: int
    reward: float
    obs: np.ndarray[Any, Any]
    action: int


Policy = Callable[[np.ndarray[Any, Any], int], int]


def played(command: list[str], policy: Policy, count: int) -> list[Moment]:
    """The first ``count`` rows of a game whose rows are answered by ``policy(obs, row)``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        words = [word.format(address=address) for word in command]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as game:
            try:
                with listener.accept()[0] as line, line.makefile("rwb") as stream:
                    return _answered(stream, policy, count)
            finally:
                game.kill()


def _answered(stream: Any, policy: Policy, count: int) -> list[Moment]:
    moments: list[Moment] = []

    def say(**fields: Any) -> None:
        body = msgpack.packb(fields)
        stream.write(struct.pack("<I", len(body)) + body)
        stream.flush()

    while len(moments) < count:
        message = msgpack.unpackb(stream.read(*struct.unpack("<I", stream.read(4))))
        if message["type"] == "hello":
            say(
                type="welcome",
                protocol=1,
                session=bytes(16),
                agent="a",
                version=0,
                max_frame=1 << 20,
                max_rows=64,
                window=8,
                heartbeat_s=15.0,
                resumed=False,
                last_seq=0,
            )
            continue
        (kind,), (reward,) = message["kind"], struct.unpack("<f", message["reward"])
        obs = np.frombuffer(*message["obs"].values(), "<f4")
        moments.append(Moment(kind, reward, obs, policy(obs, len(moments))))
        action = struct.pack("<i", -1 if kind >= 2 else moments[-1].action)
        say(type="act", seq=message["seq"], action=action, version=0)
    return moments


@pytest.fixture(scope="session")
def plays_catch() -> Callable[[list[str]], None]:
    """``plays_catch(command)``: the game is ``agentd.games.catch``, row by row."""

    def check(command: list[str]) -> None:
        theirs, before = Catch(1, np.random.default_rng(0)), None
        rng = np.random.default_rng(1)
        for row in played(command, lambda obs, at: int(rng.integers(3)), 300):
            if row.kind == FIRST:
                assert before is None or before.kind == TERMINATED
                boards = (theirs.reset().obs["board"][0].ravel() for _ in range(1000))
                assert any((board == row.obs).all() for board in boards)  # the same ball falls
            else:
                step = theirs.step(np.array([before.action]))
                assert (row.kind, row.reward) == (step.kind[0], step.reward[0])
                assert (step.obs["board"][0].ravel() == row.obs).all()
            before = row

    return check


@pytest.fixture(scope="session")
def plays_cartpole() -> Callable[[list[str]], None]:
    """``plays_cartpole(command)``: the game is ``agentd.games.cartpole``, row by row."""

    def policy(obs: np.ndarray[Any, Any], at: int) -> int:  # falls for a while, then balances
        return at % 2 if at < 100 else int(0.1 * obs[0] + 0.3 * obs[1] + 3 * obs[2] + obs[3] > 0)

    def check(command: list[str]) -> None:
        steps, ends = 0, set()
        moments = played(command, policy, 800)
        for before, row in pairwise(moments):
            steps += 1
            if row.kind == FIRST:
                assert before.kind in (TERMINATED, TRUNCATED)
                assert (abs(row.obs) < cartpole.START).all()
                steps = 0
                continue
            state = before.obs[None].astype(np.float64)
            after = cartpole.advance(state, np.array([before.action]))[0]
            np.testing.assert_allclose(row.obs, after, atol=1e-6)
            fell = abs(row.obs[0]) > cartpole.X_LIMIT or abs(row.obs[2]) > cartpole.THETA_LIMIT
            late = steps == cartpole.MAX_STEPS
            assert row.kind == (TERMINATED if fell else TRUNCATED if late else MID)
            assert row.reward == 1
            ends.add(row.kind)
        assert ends == {MID, TERMINATED, TRUNCATED}

    return check


@pytest.fixture(scope="session")
def check_client() -> Callable[..., dict[str, Any]]:
    """``check_client(command)``: what ``agentd check-client`` says of it."""

    def check(command: list[str]) -> dict[str, Any]:
        words = [sys.executable, "-m", "agentd", "check-client", "--json", "--quiet"]
        done = subprocess.run(
            [*words, "--timeout", "5", "--", *command], capture_output=True, text=True, timeout=110
        )
        assert done.returncode in (0, 1), done.stderr
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    return check


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """``run(*words)``: the last line that a program printed; it must end well."""

    def run(*words: object, ends: int = 0, stdin: str = "", timeout: float = 100) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout.strip()

    return run
