"""A connection to a Ray cluster, whose nodes all run the agentd that runs here."""

import contextlib
import ipaddress
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agentd.cluster import probe
from agentd.errors import AgentdError, ExitCode, MissingInput, Unavailable, UsageError
from agentd.extras import install_hint

LOCAL_STORE_BYTES = 300 * 2**20
"""Ray's object store of ``local``; by itself Ray takes a third of the memory."""
REACH_S = 5.0
"""For a TCP connection to the head of a cluster."""
PROBE_S = 180.0
"""For a node to start a worker and to answer."""
_HOST_PORT = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$")
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_OF_LOCAL = {"RAY_worker_niceness": "0"}

Tell = Callable[[str], None]
"""Takes an event, in words."""


class VersionsDiffer(AgentdError):
    """A node runs another agentd or another Python, or has none."""

    exit_code = ExitCode.CONFIG


class TokenMissing(AgentdError):
    """A cluster that others can reach asks nobody for a token."""

    exit_code = ExitCode.AUTH


@dataclass(frozen=True)
class ClusterNode:
    """One node: Ray's number of it, its address, what it has in all, and what it said of itself."""

    id: str
    host: str
    resources: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def cpus(self) -> float:
        """CPUs that Ray may give to tasks there."""
        return self.resources.get("CPU", 0.0)

    def __str__(self) -> str:
        return f"{self.host} ({self.id[:6]})"


@dataclass
class Cluster:
    """A cluster that this process is connected to.

    ray      the module, for what has no method here
    address  host:port of the head
    tell     takes what happens to nodes, in words
    insecure whether it may go without a token
    """

    ray: Any
    address: str
    tell: Tell
    insecure: bool = False
    _known: dict[str, ClusterNode] = field(default_factory=dict)

    def nodes(self) -> list[ClusterNode]:
        """Return the nodes that are alive, those of ``host`` together; what they said is kept."""
        alive = [
            ClusterNode(each["NodeID"], each["NodeManagerAddress"], each["Resources"])
            for each in self.ray.nodes()
            if each["Alive"]
        ]
        named = [self._known.get(node.id, node) for node in alive]
        return sorted(named, key=lambda node: (node.host, node.id))

    def probe(self) -> list[ClusterNode]:
        """Ask every node that was not asked yet what it runs; return those that answered.

        Raises Unavailable for one that is alive and does not answer.
        """
        self.ray.cloudpickle.register_pickle_by_value(probe)
        pinned = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        task = self.ray.remote(probe.node_facts)
        asked = []
        for node in self.nodes():
            if node.facts:
                continue
            where = pinned(node.id, soft=False)
            options = task.options(num_cpus=0, scheduling_strategy=where)
            asked.append((node, options.remote()))
        for node, answer in asked:
            try:
                facts = self.ray.get(answer, timeout=PROBE_S)
            except self.ray.exceptions.RayError as error:
                if node.id not in {each.id for each in self.nodes()}:
                    continue  # it has died meanwhile, which whoever waits for its work is told
                raise Unavailable(f"node {node} does not answer: {_in_a_line(error)}") from None
            self._known[node.id] = ClusterNode(node.id, node.host, node.resources, facts)
        asked_ids = {node.id for node, _ in asked}
        return [node for node in self.nodes() if node.id in asked_ids and node.facts]

    def require_same(self) -> None:
        """Ask every node that was not asked yet what it runs.

        Raises VersionsDiffer or TokenMissing for the first that is not as here. Nodes whose workers
        run at a high niceness are told.
        """
        ours = probe.node_facts()
        for node in self.probe():
            for what in ("agentd", "python", "formats"):
                if node.facts[what] != ours[what]:
                    raise _difference(node, what, ours)
            if not (self.insecure or node.facts["token"] or _is_loopback(node.host)):
                raise TokenMissing(
                    f"node {node} runs whatever anybody on its network sends: Ray asks for no "
                    "token there",
                    hint="start Ray with RAY_AUTH_MODE=token on every node, or say --ray-insecure",
                )
            if node.facts["nice"] > ours["nice"]:
                self.tell(
                    f"node {node} runs workers at niceness {node.facts['nice']}, behind all else: "
                    "start Ray there with RAY_worker_niceness=0 in its environment"
                )

    def require_cpus(self, cpus: float, what: str) -> None:
        """Raise UsageError where no node has the ``cpus`` that one ``what`` takes."""
        most = max((node.cpus for node in self.nodes()), default=0.0)
        if most < cpus:
            raise UsageError(f"{what} takes {cpus:g} CPUs, and no node has more than {most:g}")


@contextlib.contextmanager
def connect(
    address: str,
    *,
    insecure: bool = False,
    check: bool = True,
    cpus: int | None = None,
    tell: Tell = lambda line: None,
) -> Iterator[Cluster]:
    """Connect to the cluster at ``address`` and check its nodes; disconnect after the block.

    ``address`` is ``auto``, the cluster that this machine is part of; ``local``, one of ``cpus``
    CPUs that lives as long as the block; or HOST:PORT. ``insecure`` lets a cluster beyond loopback
    go without a token; without ``check`` no node is asked. Raises MissingInput without Ray,
    UsageError, Unavailable, VersionsDiffer, TokenMissing.
    """
    local = address == "local"
    if address not in ("auto", "local"):
        _require_reachable(address)
    given = _ENVIRONMENT | (_OF_LOCAL if local else {})
    if local and "ray" not in sys.modules:  # it is read once, as Ray is imported
        given["RAY_AUTH_MODE"] = "token"
    for name, value in given.items():
        os.environ.setdefault(name, value)
    ray = _import_ray()
    own = {"num_cpus": cpus, "object_store_memory": LOCAL_STORE_BYTES, "include_dashboard": False}
    try:
        with _own_signals():
            context = ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                **(own if local else {}),
            )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unavailable(address, error) from None
    try:
        address = context.address_info["gcs_address"]
        cluster = Cluster(ray, address, tell, insecure or local)
        if check:
            cluster.require_same()
        yield cluster
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers: with Ray's, SIGTERM prints a stack and aborts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _import_ray() -> Any:
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise MissingInput(
            "--ray needs Ray, which is not installed", hint=install_hint("ray")
        ) from None
    if ray.is_initialized():
        raise UsageError(f"Ray is connected already, to {ray.get_runtime_context().gcs_address}")
    # Ray writes what raylets complain of to stdout, which belongs to the command's result, and has
    # no option for it. Its own debugger switches that off so.
    sys.modules["ray._private.worker"].__dict__["_worker_logs_enabled"] = False
    return ray


def _require_reachable(address: str) -> None:
    """Raise UsageError for no address, Unavailable where nobody listens: Ray tries a minute."""
    found = _HOST_PORT.match(address)
    if found is None or not 0 < int(found[2]) < 2**16:
        raise UsageError(f"--ray {address}: want auto, local or HOST:PORT")
    try:
        place = (found[1].strip("[]"), int(found[2]))
        socket.create_connection(place, timeout=REACH_S).close()
    except OSError as error:
        raise Unavailable(
            f"no Ray cluster at {address}: {error.strerror or error}",
            hint="`ray start --head --port=6379` on one machine begins one",
        ) from None


def _unavailable(address: str, error: Exception) -> AgentdError:
    if "authentication" in type(error).__name__.lower() or "token" in str(error).lower():
        return TokenMissing(
            f"the Ray cluster at {address} wants a token: {_in_a_line(error)}",
            hint="put it into RAY_AUTH_TOKEN or ~/.ray/auth_token, and set RAY_AUTH_MODE=token",
        )
    if "version mismatch" in str(error).lower():
        return VersionsDiffer(f"the Ray cluster at {address}: {_in_a_line(error)}")
    if address == "auto":
        return Unavailable(
            "no Ray cluster runs on this machine",
            hint="`ray start --head` begins one, `--ray local` needs none",
        )
    return Unavailable(
        f"no way into the Ray cluster at {address}: {_in_a_line(error)}",
        hint=f"a driver runs on one of its nodes: `ray start --address={address}` makes this one",
    )


def _difference(node: ClusterNode, what: str, ours: dict[str, Any]) -> VersionsDiffer:
    theirs = node.facts[what]
    if what == "agentd" and theirs is None:
        return VersionsDiffer(
            f"node {node} has no agentd, expected agentd {ours['agentd']} as here",
            hint="install it there for the Python that runs Ray",
        )
    if what == "formats":
        return VersionsDiffer(f"node {node} writes formats {theirs}, expected {ours[what]} as here")
    return VersionsDiffer(
        f"node {node} has {what} {theirs}, expected {what} {ours[what]} as here",
        hint="all nodes of a cluster run one version",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_a_line(error: Exception) -> str:
    """What Ray says in paragraphs, shortened to a line."""
    text = " ".join(str(error).split())
    return text[:300].rstrip(". ") or type(error).__name__
