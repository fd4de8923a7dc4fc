"""Work for a cluster as an ordered, bounded map of tasks."""

import socket
from collections.abc import Callable, Generator, Iterable
from itertools import islice
from typing import Any, TypeVar

from agentd.cluster.session import Cluster, ClusterNode
from agentd.errors import JobFailed, StorageError, Unavailable

WATCH_S = 1.0
"""How often it is looked which nodes are alive, while a result is awaited."""
HOPELESS_S = 60.0
"""With no node left that could take a task for so long, nothing is waited for any more."""
AHEAD = 3
"""Tasks, for each CPU, that may be ahead of the one whose result is awaited."""
GO_ON = "run the same command again: what was finished stands"

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    cluster: Cluster,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    cpus: float = 1.0,
    ahead: int | None = None,
    retries: int = 3,
    in_order: bool = True,
    meanwhile: Callable[[], None] = lambda: None,
) -> Generator[tuple[Item, Result], None, None]:
    """Yield each item with ``function`` of it, computed on the cluster, in the order of ``items``.

    cpus       CPUs that a task takes; a node runs as many at once as it has CPUs for
    ahead      tasks at most that are begun and whose results were not taken; None: ``AHEAD`` a CPU
    retries    how often a task whose node or process died is begun again
    in_order   False yields what is done first
    meanwhile  is called about once a second while nothing is done

    ``function`` is one of agentd, found by its name on every node. Closing the iterator, as an
    error in the loop does, cancels what runs. Deaths of nodes are told. Raises UsageError where a
    task fits on no node, what ``function`` raises, StorageError for its OSError, and JobFailed.
    """
    cluster.require_cpus(cpus, "a task")
    task = cluster.ray.remote(call_named).options(num_cpus=cpus, max_retries=retries)
    watch = NodeWatch(cluster, cpus)
    source = iter(items)
    waiting: dict[Any, Item] = {}
    try:
        while True:
            most = ahead or max(2, AHEAD * watch.places)
            for item in islice(source, max(0, most - len(waiting))):  # nodes may have died
                waiting[task.remote(function, item)] = item
            if not waiting:
                return
            wanted = [next(iter(waiting))] if in_order else [*waiting]
            done = watch.wait(wanted, meanwhile)
            result = take_result(cluster, done)
            yield waiting.pop(done), result
    finally:
        for reference in waiting:
            cluster.ray.cancel(reference)


class NodeWatch:
    """Tells which nodes die and which join; knows how many tasks of ``cpus`` CPUs have a place."""

    def __init__(self, cluster: Cluster, cpus: float) -> None:
        self._cluster, self._cpus = cluster, cpus
        self._alive: dict[str, ClusterNode] = {node.id: node for node in cluster.nodes()}
        self._hopeless_s = 0.0

    @property
    def places(self) -> int:
        """Tasks that run at once."""
        if self._cpus <= 0:
            return len(self._alive)
        return sum(int(node.cpus // self._cpus) for node in self._alive.values())

    def wait(self, references: list[Any], meanwhile: Callable[[], None] = lambda: None) -> Any:
        """Return the first of ``references`` that is done; look at the nodes until then."""
        while True:
            done, _ = self._cluster.ray.wait(references, timeout=WATCH_S)
            meanwhile()
            if done:
                return done[0]
            self.look(WATCH_S)

    def look(self, waited_s: float) -> None:
        """Look at the nodes. Raises Unavailable where a task has had no place for long."""
        now = {node.id: node for node in self._cluster.nodes()}
        for node_id, node in self._alive.items():
            if node_id not in now:
                self._cluster.tell(f"node {node} died: what ran there begins again elsewhere")
        for node_id, node in now.items():
            if node_id not in self._alive:
                self._cluster.tell(f"node {node} joined")
        if now.keys() - self._alive.keys():
            self._cluster.require_same()
        self._alive = now
        self._hopeless_s = 0.0 if self.places else self._hopeless_s + waited_s
        if self._hopeless_s > HOPELESS_S:
            raise Unavailable(f"no node is left with {self._cpus:g} CPUs for a task", hint=GO_ON)


class TaskLost(JobFailed):
    """A task or an actor went with its node or process, or what it had given did."""


def take_result(cluster: Cluster, reference: Any) -> Any:
    """Return what a task or a call gave, once it is there. Raises as `map_ordered` does."""
    ray = cluster.ray
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if _is_ours(cause):
            raise cause from None
        raise JobFailed(f"a task failed: {type(cause).__name__}: {cause}", hint=GO_ON) from None
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise TaskLost(f"a task was lost with its node or process: {text}", hint=GO_ON) from None


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.startswith("agentd.")


def call_named(function: Callable[[Item], Result], item: Item) -> Result:
    """Run ``function`` on a node: faults of its files and of its code say which node it was."""
    place = f"node {socket.gethostname()}"
    try:
        return function(item)
    except OSError as error:
        what = f"{error.filename}: " if error.filename is not None else ""
        text = (error.strerror or str(error)).lower()
        raise StorageError(f"{place}: {what}{text}", hint=GO_ON) from None
    except Exception as error:
        if _is_ours(error):
            raise
        text = " ".join(str(error).split())
        raise JobFailed(f"{place}: {type(error).__name__}: {text}", hint=GO_ON) from error
