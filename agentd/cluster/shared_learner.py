"""The shared learner as an actor of a Ray cluster, and a relay's way to it.

What a call carries are numbers, strings and bytes: no object of ours crosses. Weights of a large
network travel as one object in Ray's store for each answer.
"""

from pathlib import Path
from typing import Any

from agentd.cluster.session import Cluster
from agentd.errors import Unavailable
from agentd.learner.priority import yield_to_others
from agentd.replicas.calls import Call, LearnerAway, Values, result_of
from agentd.replicas.shared_agents import SharedAgents

NAME, NAMESPACE = "agentd-learner", "agentd"
START_S = 300.0


class LearnerActor:
    """All shared agents, in an actor's event loop. Ray starts it again when it dies."""

    def __init__(self, data_dir: str, device: str) -> None:
        self._data_dir, self._device = data_dir, device
        self._agents: SharedAgents | None = None

    async def call(self, method: str, agent: str, arguments: Values) -> Values:
        """See `agentd.replicas.calls`."""
        if self._agents is None:  # here, not before: they live in the loop that runs
            yield_to_others()
            self._agents = SharedAgents(Path(self._data_dir), self._device)
        return await self._agents.call(method, agent, arguments)

    async def ready(self) -> str:
        """Return the id of the node that the actor is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    async def close(self) -> None:
        """Save everything."""
        if self._agents is not None:
            await self._agents.close()
            self._agents = None


def start_learner(
    cluster: Cluster, data_dir: Path, device: str = "cpu", resources: dict[str, float] | None = None
) -> Any:
    """Start the learner on a node with ``resources``, or find the one that runs; its actor.

    It outlives this process. ``data_dir`` is a path on its node. Raises Unavailable when no node
    has room for it.
    """
    ray = cluster.ray
    actor = (
        ray.remote(LearnerActor)
        .options(
            name=NAME,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0 if resources else 1,
            resources=resources or None,
        )
        .remote(str(data_dir), device)
    )
    try:
        ray.get(actor.ready.remote(), timeout=START_S)
    except ray.exceptions.RayError as error:
        raise Unavailable(f"no node took the learner within {START_S:g} s: {error}") from None
    return actor


def stop_learner(cluster: Cluster) -> None:
    """Have the learner save, and end it; nothing when there is none."""
    ray = cluster.ray
    try:
        actor = ray.get_actor(NAME, namespace=NAMESPACE)
    except ValueError:
        return
    ray.get(actor.close.remote(), timeout=START_S)
    ray.kill(actor)


class RayCall(Call):
    """A way to the learner of a cluster, for one thread."""

    def __init__(self, cluster: Cluster) -> None:
        self._ray, self._actor = cluster.ray, None
        self._address = cluster.address

    def __call__(
        self, method: str, agent: str, arguments: Values, within_s: float = 30.0
    ) -> Values:
        """See `calls.Call`."""
        ray = self._ray
        try:
            actor = self._actor or ray.get_actor(NAME, namespace=NAMESPACE)
            self._actor = actor
            answer = ray.get(actor.call.remote(method, agent, arguments), timeout=within_s)
        except (ray.exceptions.RayError, ValueError, ConnectionError, RuntimeError) as fault:
            self._actor = None
            lines = str(fault).strip().splitlines() or [type(fault).__name__]
            raise LearnerAway(
                f"the learner of the cluster at {self._address}: {lines[0]}"
            ) from None
        return result_of(answer)
