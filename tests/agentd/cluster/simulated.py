"""Simulated clusters: several nodes of Ray on this machine, by Ray's own cluster utility."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STORE_BYTES = 120 * 2**20
AGENT_PORTS = {
    "metrics_agent_port": 1025,
    "metrics_export_port": 1026,
    "runtime_env_agent_port": 1027,
}
PATIENCE_S = 1200.0
LEAN_HEAD = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "5" * 64,
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "8",
    "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
}
_NO_AGENT = re.compile(r"^(--(dashboard|runtime_env)_agent_command=).*", re.DOTALL)


class Nodes:
    """A head and nodes beside it, each with CPUs of its own, in name."""

    def __init__(self, cluster: Any) -> None:
        self.ray_cluster = cluster

    @property
    def address(self) -> str:
        address: str = self.ray_cluster.address
        return address

    def add(self, cpus: int = 1, **resources: float) -> Any:
        """Add a node."""
        return self.ray_cluster.add_node(**node_options(cpus, resources=resources))

    def remove(self, node: Any) -> None:
        """End a node in good order."""
        self.ray_cluster.remove_node(node)

    def kill(self, node: Any) -> None:
        """Kill a node as a power cut does: its raylet and every process that it has started."""
        raylet = node.all_processes["raylet"][0].process.pid
        pids = [raylet, *children_of(raylet)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.ray_cluster.worker_nodes.discard(node)


def node_options(cpus: int, **more: Any) -> dict[str, Any]:
    """What a simulated node is started with."""
    return {"num_cpus": cpus, "object_store_memory": STORE_BYTES, **AGENT_PORTS, **more}


def start_lean() -> None:
    """Have nodes of Ray start with what tasks and actors need, and take their time for it.

    By itself each has two agents, for its dashboard and for environments of tasks, and a raylet
    aborts when these take more than 15 s to start, as they do where much runs. The ports that it is
    given for them are not used.
    """
    from ray._private import services

    if services.get_node.__module__ != services.__name__:
        return
    look, start = services.get_node, services.start_ray_process

    def get_node(*where: Any) -> Any:
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return look(*where)
            except RuntimeError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)

    def start_ray_process(command: list[str], *args: Any, **kwargs: Any) -> Any:
        lean = [_NO_AGENT.sub(r"\1sleep infinity", word) for word in command]
        if lean != command:
            lean.append("--dashboard_agent_listen_port=1028")
        return start(lean, *args, **kwargs)

    services.get_node, services.start_ray_process = get_node, start_ray_process
    services.start_api_server = lambda *args, **kwargs: ("", None)


def children_of(pid: int) -> list[int]:
    """All processes below ``pid``, whichever of its threads has started them."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            listed = thread.read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        for child in map(int, listed):
            found += [child, *children_of(child)]
    return found


def run_agentd(*words: Any, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``agentd …`` in a process of its own."""
    command = [sys.executable, "-m", "agentd", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=cwd
    )


def start_agentd(log: Path, *words: Any) -> subprocess.Popen[str]:
    """Start ``agentd …``; what it says goes to ``log``."""
    command = [sys.executable, "-m", "agentd", *map(str, words)]
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, text=True)


def wait_for(fact: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Wait for a fact; return what it is."""
    give_up = time.monotonic() + timeout_s
    while not (found := fact()):
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.1)
    return found
