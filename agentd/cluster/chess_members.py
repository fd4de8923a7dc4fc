"""Members of ``chess train``: the heads of a recipe, each averaged as `averaging` does it."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agentd.chess.model.fit import ChessFit, HeadStates, heads_of, learn
from agentd.chess.model.recipe import ChessRecipe
from agentd.chess.model.sources import open_sources
from agentd.cluster.averaging import Crew, average, seed_apart
from agentd.cluster.ordered import call_named
from agentd.errors import MissingInput, UsageError
from agentd.games.chess.data.batches import ChessBatch


@dataclass(frozen=True)
class ChessPlan:
    """What member ``rank`` of ``members`` needs to build its heads on its node."""

    recipe: ChessRecipe
    shards: str
    lessons: str | None
    data: dict[str, Any]  # facts by which the data is known
    device: str
    rank: int
    members: int


@dataclass(frozen=True)
class ChessRound:
    """``steps`` local steps from the state of all heads at ``step``."""

    heads: HeadStates
    step: int
    steps: int


@dataclass(frozen=True)
class ChessRoundResult:
    """What the heads have become, and the sums of their losses."""

    heads: HeadStates
    loss: dict[str, float]


class ChessMember:
    """One member: heads without files. It opens its shards when it is first asked."""

    def __init__(self, plan: ChessPlan) -> None:
        self._plan = plan
        self._heads = heads_of(plan.recipe, plan.device, {})
        self._at = -1
        self._rest: Iterator[ChessBatch] = iter(())

    def round(self, task: ChessRound) -> ChessRoundResult:
        """Take a round's steps. Raises MissingInput, UsageError, TrainingDiverged, JobFailed."""
        return call_named(self._round, task)

    def _round(self, task: ChessRound) -> ChessRoundResult:
        rank, members = self._plan.rank, self._plan.members
        for head, (arrays, scalars) in task.heads.items():
            own = {**scalars, "pass": seed_apart(scalars["pass"], rank)}
            self._heads[head].set_state(arrays, own)
        if self._at != task.step:
            self._rest = self._open().from_step(task.step * members + rank, members)
        loss = dict.fromkeys(self._heads, 0.0)
        for batch in islice(self._rest, task.steps):
            for head, value in learn(self._heads, self._plan.recipe, batch).items():
                loss[head] += value
        self._at = task.step + task.steps
        states = {head: trainer.get_state() for head, trainer in self._heads.items()}
        return ChessRoundResult(states, {str(head): value for head, value in loss.items()})

    def _open(self) -> Any:
        plan, node = self._plan, socket.gethostname()
        for folder in filter(None, (plan.shards, plan.lessons)):
            if not Path(folder).is_dir():
                raise MissingInput(
                    f"node {node} has no shards {folder}", hint="every member reads them there"
                )
        lessons = None if plan.lessons is None else Path(plan.lessons)
        sources = open_sources(plan.recipe, Path(plan.shards), lessons, None)
        if differing := [key for key, value in sources.facts.items() if plan.data[key] != value]:
            raise UsageError(f"node {node} has other shards in {plan.shards}: {differing[0]}")
        return sources.batches(plan.recipe)


def chess_plans(fit: ChessFit, shards: Path, lessons: Path | None, members: int) -> list[ChessPlan]:
    """Return the plan of each member of a run."""
    request = fit.request
    return [
        ChessPlan(
            request.recipe,
            str(shards.resolve()),
            None if lessons is None else str(lessons.resolve()),
            dict(request.sources.facts),
            request.device,
            rank,
            members,
        )
        for rank in range(members)
    ]


class ChessRounds:
    """Takes a run's steps by a crew of `ChessMember`, ``every`` of each member at once."""

    def __init__(self, crew: Crew, every: int) -> None:
        self._crew, self._every = crew, every

    def advance(self, fit: ChessFit) -> tuple[int, dict[str, float]]:
        """Take a round; return its steps and the sums of the members' mean losses."""
        steps = min(self._every, fit.recipe.steps - fit.step)
        states = {head: trainer.get_state() for head, trainer in fit.heads.items()}
        found: list[ChessRoundResult] = self._crew.round(ChessRound(states, fit.step, steps))
        for head, trainer in fit.heads.items():
            arrays = average([result.heads[head][0] for result in found])
            trainer.set_state(arrays, found[0].heads[head][1])
        count = len(found)
        return steps, {
            head: sum(result.loss[head] for result in found) / count for head in found[0].loss
        }
