"""Supervised training by several members: local steps, then the average of what they have become.

Local SGD (Stich 2019, arXiv:1805.09767): every member takes K steps on batches of its own, then all
go on from the mean of their parameters and of both of the optimizer's moments. Member r of N takes
the batches r, r + N, r + 2 N, … of an epoch, so every row is learned once an epoch. Sums are taken
in the order of the members, in float64: seed, N and K decide every bit. A member that dies is
replaced; its round begins again from the last average, and so nothing changes but the time.
"""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agentd.assembly.device import backend_for
from agentd.cluster.ordered import GO_ON, NodeWatch, TaskLost, call_named, take_result
from agentd.cluster.session import Cluster
from agentd.engine.backend import Host
from agentd.engine.data import Batches, DataError, Minibatch, Normalizer, split
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.training import Callback, Rounds, StopSpec, Trainer, TrainSpec, fit_network
from agentd.errors import JobFailed, MissingInput, UsageError
from agentd.runs import fingerprint
from agentd.runs.job import FitJob, load, make_trainer

DEATHS = 5
"""Deaths of one member within one round after which the run gives up."""
_APART = 7919
"""Between the seeds of two members' dropout."""


@dataclass(frozen=True)
class MemberPlan:
    """What member ``rank`` of ``members`` needs to build its trainer on its node."""

    spec: TrainSpec
    source: str
    data: dict[str, Any]  # facts by which the data is known
    shift: Host
    scale: Host
    device: str
    rank: int
    members: int


@dataclass(frozen=True)
class RoundTask:
    """``steps`` local steps from a state, in ``epoch`` from its batch ``position`` on."""

    arrays: Arrays
    scalars: Scalars
    epoch: int
    position: int
    steps: int


@dataclass(frozen=True)
class RoundResult:
    """What a member has become after ``steps`` steps."""

    arrays: Arrays
    scalars: Scalars
    steps: int


class Member:
    """One member: a trainer without files. It reads its data when it is first asked."""

    def __init__(self, plan: MemberPlan) -> None:
        self._plan = plan
        self._trainer: Trainer | None = None
        self._next = (-1, -1)
        self._rest: Iterator[Minibatch] = iter(())

    def round(self, task: RoundTask) -> RoundResult:
        """Take a round's steps. Raises MissingInput, DataError, Diverged, JobFailed."""
        return call_named(self._round, task)

    def _round(self, task: RoundTask) -> RoundResult:
        trainer = self._trainer or self._load()
        rank, members = self._plan.rank, self._plan.members
        scalars = dict(task.scalars)
        scalars["pass"] = seed_apart(scalars["pass"], rank)
        if rank:
            scalars["tally"] = [0, 0.0, 0]
        trainer.set_state(task.arrays, scalars)
        if self._next != (task.epoch, task.position):
            self._rest = iter(self._batches.epoch(task.epoch, task.position + rank, members))
        before = trainer.steps
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # `Descent` looks
            for batch in islice(self._rest, task.steps):
                trainer.step(batch)
        self._next = (task.epoch, task.position + members * task.steps)
        return RoundResult(*trainer.get_state(), trainer.steps - before)

    def _load(self) -> Trainer:
        plan, source = self._plan, Path(self._plan.source)
        node = socket.gethostname()
        if not source.exists():
            raise MissingInput(
                f"node {node} has no data {source}", hint="every member reads it at this path"
            )
        data = load(source, "train", plan.spec)
        found = fingerprint(data, source)
        if differing := [
            key for key in ("rows", "features", "crc32") if found[key] != plan.data[key]
        ]:
            key = differing[0]
            raise DataError(
                f"node {node} has other data there: {key}",
                file=str(source),
                expected=plan.data[key],
                got=found[key],
            )
        learned, _ = split(data, plan.spec.data.validation, plan.spec.seed)
        normalizer = Normalizer(plan.shift, plan.scale)
        self._trainer = make_trainer(
            plan.spec,
            fit_network(plan.spec, data),
            data.classes > 0,
            normalizer,
            backend=backend_for(plan.device),
        )
        self._batches = Batches(learned, plan.spec.batch, normalizer, seed=plan.spec.seed)
        return self._trainer


def seed_apart(masks: dict[str, Any], rank: int) -> dict[str, Any]:
    """Return the state of dropout for member ``rank``, whose masks are its own; 0 keeps them."""
    return {**masks, "seed": (masks["seed"] + _APART * rank) % 2**31} if rank else masks


class Crew(Protocol):
    """The members of a run, wherever they are."""

    @property
    def members(self) -> int: ...

    def round(self, task: Any) -> list[Any]: ...


def plans_of(job: FitJob, members: int) -> list[MemberPlan]:
    """Return the plan of each member of a run."""
    normalizer = job.trainer.normalizer
    return [
        MemberPlan(
            job.spec,
            job.facts["source"],
            job.facts,
            normalizer.shift,
            normalizer.scale,
            job.device,
            rank,
            members,
        )
        for rank in range(members)
    ]


def average_rounds(crew: Crew, every: int) -> Rounds:
    """Return what takes an epoch's batches in rounds of ``every`` steps of each member."""

    def run(trainer: Trainer, batches: int, stop: StopSpec, callbacks: Sequence[Callback]) -> bool:
        while trainer.position < batches:
            left = -(-(batches - trainer.position) // crew.members)
            steps = min(every, left)
            if stop.max_steps is not None:
                steps = min(steps, stop.max_steps - trainer.steps)
            _take_round(trainer, crew, batches, steps)
            for callback in callbacks:
                callback.on_step(trainer)
            if stop.max_steps is not None and trainer.steps >= stop.max_steps:
                trainer.stop(f"{trainer.steps} steps are done")
            if trainer.stopped and trainer.position < batches:
                return False
        return True

    return run


def _take_round(trainer: Trainer, crew: Crew, batches: int, steps: int) -> None:
    arrays, scalars = trainer.get_state()
    position = trainer.position
    task = RoundTask(arrays, scalars, trainer.epoch, position, steps)
    found: list[RoundResult] = crew.round(task)
    sums = [result.scalars["tally"] for result in found]
    own = {key: scalars[key] for key in ("epoch", "best", "since_best")}
    merged = {
        **found[0].scalars,
        **own,
        "position": min(batches, position + crew.members * steps),
        "steps": scalars["steps"] + steps,
        "tally": [sum(column) for column in zip(*sums, strict=True)],
    }
    trainer.set_state(average([result.arrays for result in found if result.steps]), merged)


def average(states: Sequence[Mapping[str, Host]]) -> Arrays:
    """Return the mean of each array over ``states``, in float64 and in their order.

    Of one state it is that state, bit for bit. Counters that are no floats are the first one's.
    """
    first = states[0]
    if len(states) == 1:
        return dict(first)
    mean: Arrays = {}
    for name, array in first.items():
        if not np.issubdtype(array.dtype, np.floating):
            mean[name] = array
            continue
        total = array.astype(np.float64)
        for state in states[1:]:
            total += state[name]
        mean[name] = (total / len(states)).astype(array.dtype)
    return mean


class RayCrew:
    """Members as actors, one CPU each, spread over the nodes; the dead are replaced.

    ``make`` builds a member from its plan; it is a class of agentd.
    """

    def __init__(
        self, cluster: Cluster, plans: Sequence[Any], make: Callable[[Any], Any] = Member
    ) -> None:
        """Raises UsageError where there are more members than CPUs."""
        self._cluster, self._plans = cluster, plans
        self._watch = NodeWatch(cluster, 1.0)
        if len(plans) > self._watch.places:
            raise UsageError(
                f"--members {len(plans)}: want at most one a CPU, the cluster has "
                f"{self._watch.places}"
            )
        self._make = cluster.ray.remote(make)
        self._actors = [self._start(rank, 1) for rank in range(len(plans))]

    @property
    def members(self) -> int:
        """How many there are."""
        return len(self._plans)

    def round(self, task: Any) -> list[Any]:
        """Return what each member has become, in their order. Raises as `map_ordered` does."""
        ray = self._cluster.ray
        shared = ray.put(task)
        asked = {actor.round.remote(shared): rank for rank, actor in enumerate(self._actors)}
        found: dict[int, Any] = {}
        deaths = 0
        while asked:
            done = self._watch.wait([*asked])
            rank = asked.pop(done)
            try:
                found[rank] = take_result(self._cluster, done)
            except TaskLost as error:
                deaths += 1
                if deaths > DEATHS:
                    raise JobFailed(f"member {rank} keeps dying: {error}", hint=GO_ON) from None
                ray.kill(self._actors[rank])  # it may be out of reach, and not dead
                self._cluster.tell(f"member {rank} died: another one begins at the last average")
                free = ray.available_resources().get("CPU", 0.0)
                self._actors[rank] = self._start(rank, 1 if free >= 1 else 0)
                asked[self._actors[rank].round.remote(shared)] = rank
        return [found[rank] for rank in range(self.members)]

    def _start(self, rank: int, cpus: int) -> Any:
        options = self._make.options(num_cpus=cpus, scheduling_strategy="SPREAD")
        return options.remote(self._plans[rank])
