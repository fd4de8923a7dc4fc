"""Daemons on the nodes of a Ray cluster: an actor each, which keeps ``agentd serve`` alive.

Games speak TCP with the daemons, as with any; Ray is never between a game and its action.
"""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from agentd.children import child_environment, python_module
from agentd.cluster.ordered import take_result
from agentd.cluster.session import Cluster
from agentd.cluster.shared_learner import start_learner, stop_learner
from agentd.config import is_loopback
from agentd.errors import ExitCode, JobFailed, StorageError, Unavailable
from agentd.protocol.address import host_port

START_S = 300.0
_PAUSE_S = 1.0
_FINAL = (ExitCode.USAGE, ExitCode.BAD_DATA, ExitCode.MISSING, ExitCode.CONFIG)
"""Exit codes of a daemon that would end so again."""
_LISTENING = re.compile(r"^listening on (.*:\d+)$")


class ReplicaActor:
    """One daemon below one actor. It is started again whenever it ends, and ends with the actor."""

    def __init__(self, data_dir: str, config: str, port: int, more: list[str]) -> None:
        """``config`` is the text of a configuration file, ``more`` are arguments of ``serve``.

        A daemon that is started again listens where the first one did, also with ``port`` 0.
        """
        folder = Path(data_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "serve.yaml").write_text(config)
        except OSError as error:
            raise StorageError(f"{folder}: {error.strerror}") from None
        self._command = python_module("agentd", "serve", str(folder / "serve.yaml"), *more)
        self._command += ["--data-dir", str(folder), "--until-eof"]
        self._log = folder / "serve.log"
        self._port, self._address, self._failure = str(port), "", ""
        self._listens = threading.Event()
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._keep, daemon=True).start()

    def ready(self) -> tuple[str, str]:
        """Wait until the daemon listens; return its node's host, and its address.

        Raises JobFailed for a daemon that ends and would end so again, Unavailable.
        """
        import ray

        if not self._listens.wait(START_S):
            raise Unavailable(f"no daemon after {START_S:g} s: {self._last_words()}")
        if self._failure:
            raise JobFailed(self._failure)
        return ray.util.get_node_ip_address(), self._address

    def _last_words(self) -> str:
        return (self._log.read_text().strip().splitlines() or ["it said nothing"])[-1]

    def close(self) -> None:
        """End the daemon in order; return when it has ended."""
        self._ended.set()
        process = self._process
        if process is not None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(START_S)

    def _keep(self) -> None:
        while not self._ended.is_set():
            with self._log.open("ab") as log:
                self._process = process = subprocess.Popen(
                    [*self._command, "--port", self._port],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=child_environment(),
                )
                assert process.stdout is not None
                for line in process.stdout:
                    if (found := _LISTENING.match(line.strip())) and not self._listens.is_set():
                        self._address = found[1]
                        self._port = found[1].rpartition(":")[2]
                        self._listens.set()
                code = process.wait()
            if code in _FINAL and not self._listens.is_set():
                self._failure = f"the daemon ends with code {code}: {self._last_words()}"
                self._listens.set()
                return
            time.sleep(_PAUSE_S)


class Replica(NamedTuple):
    """A daemon of the cluster: its actor, and where its games connect."""

    number: int
    actor: Any
    address: str


@contextmanager
def serving(
    cluster: Cluster,
    config: str,
    replicas: int,
    data_dir: Path,
    *,
    host: str,
    port: int,
    learner_on: dict[str, float],
    device: str = "cpu",
) -> Iterator[list[Replica]]:
    """Have so many daemons, spread over the nodes, and one learner for all; end them after.

    Each keeps its data on its own node, below ``data_dir``. They listen at ``host``, ``port`` and
    the ports after it. Raises Unavailable, JobFailed, StorageError.
    """
    ray = cluster.ray
    start_learner(cluster, data_dir / "learner", device, learner_on)
    actor = ray.remote(ReplicaActor).options(
        num_cpus=1, max_restarts=-1, scheduling_strategy="SPREAD"
    )
    begun: list[Any] = []
    try:
        for number in range(replicas):
            more = ["--host", host, "--no-http"]
            more += ["--set", f"shared_learner.address=ray:{cluster.address}"]
            folder, own = data_dir / f"replica-{number}", port + number if port else 0
            begun.append(actor.remote(str(folder), config, own, more))
        yield [_replica_of(cluster, number, each, host) for number, each in enumerate(begun)]
    finally:
        for each in begun:
            with suppress(ray.exceptions.RayError):
                ray.get(each.close.remote(), timeout=START_S)
        stop_learner(cluster)


def _replica_of(cluster: Cluster, number: int, actor: Any, host: str) -> Replica:
    ready = actor.ready.remote()
    if not cluster.ray.wait([ready], timeout=2 * START_S)[0]:
        raise Unavailable(f"replica {number}: no node took it within {2 * START_S:g} s")
    node, listens = take_result(cluster, ready)
    where = host if is_loopback(host) else node
    return Replica(number, actor, host_port(where, int(listens.rpartition(":")[2])))
