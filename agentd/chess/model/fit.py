"""Training chess heads on shards: batches made ahead, measured on the way, resumable at any step.

RUN/recipe.yaml     what was asked for
RUN/checkpoints/    durable snapshots, newest last (see `agentd.store`)
RUN/best/           the same, of the best measurement so far
RUN/metrics.jsonl   one line a measurement
RUN/lock            held while a process trains here
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.device import backend_for
from agentd.chess.model.head_trainer import HeadTrainer
from agentd.chess.model.model import KIND, ChessModel, named, of_head, plain_recipe
from agentd.chess.model.recipe import ChessRecipe, Head, make_head, seen_by
from agentd.chess.model.sources import TrainingSources
from agentd.chess.model.widen import widened
from agentd.engine.data.prefetch import Prefetch
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.network.weights import join
from agentd.errors import MissingInput, TrainingDiverged, UsageError
from agentd.games.chess.board.features import features
from agentd.games.chess.board.position import Positions
from agentd.games.chess.data.batches import ChessBatch, expected_score
from agentd.games.chess.play.measure import MoveMatch, MoveTest
from agentd.interrupts import Interrupts
from agentd.runs import MetricsLog
from agentd.store import (
    DirectoryLock,
    list_checkpoints,
    read_checkpoint,
    sweep,
    write_checkpoint,
    write_file,
)

AHEAD = 4
KEEP = 2
MAX_SKIPPED = 10


@dataclass(frozen=True)
class FitRequest:
    """What to train, on what, and how often to measure.

    every      steps between two measurements on ``held`` (at most ``held_rows`` of it)
    save_s     seconds between two snapshots
    until_s    seconds after which to stop, saved; None for the recipe's last step
    """

    run: Path
    recipe: ChessRecipe
    sources: TrainingSources
    held: Positions | None
    every: int = 2000
    save_s: float = 120.0
    until_s: float | None = None
    device: str = "cpu"
    members: tuple[int, int] | None = None  # how many train, and steps between two averages


@dataclass
class Figures:
    """What was measured at one step; ``wait`` is the share of time spent without data."""

    step: int
    positions: int
    loss: dict[str, float]
    rate: float
    wait: float
    match: MoveMatch | None = None
    value_loss: float | None = None

    def record(self) -> dict[str, Any]:
        """The figures as JSON values for a line of metrics."""
        found = {key: value for key, value in asdict(self).items() if value is not None}
        return {**found, "steps": self.step}


@dataclass
class StepSums:
    """Sums since the last measurement."""

    began: float
    steps: int = 0
    waited: float = 0.0
    loss: dict[str, float] = field(default_factory=dict)

    def add(self, steps: int, losses: Mapping[Any, float]) -> None:
        """Count ``steps`` steps with the sums of their losses."""
        self.steps += steps
        for head, loss in losses.items():
            self.loss[head] = self.loss.get(head, 0.0) + loss


HeadStates = dict[Head, tuple[Arrays, dict[str, Any]]]
"""What each head is: arrays and numbers, as `HeadTrainer.get_state` gives them."""


class Rounds(Protocol):
    """Takes several steps of a run elsewhere, and sets its heads' states."""

    def advance(self, fit: "ChessFit") -> tuple[int, dict[str, float]]:
        """Return how many steps were taken, and the sum of each head's losses."""


def heads_of(
    recipe: ChessRecipe, device: str, weights: Mapping[Head, NDArray[np.float32]]
) -> dict[Head, HeadTrainer]:
    """Return a trainer for each head; ``weights`` to begin with, drawn by the seed without."""
    backend = backend_for(device)
    return {
        head: HeadTrainer(make_head(recipe, head), recipe, head, backend, weights.get(head))
        for head in recipe.heads
    }


def learn(
    heads: Mapping[Head, HeadTrainer], recipe: ChessRecipe, batch: ChessBatch
) -> dict[Head, float]:
    """Take a step of each head; return their losses. Raises TrainingDiverged."""
    inputs = seen_by(recipe, batch.inputs)
    targets = {"policy": batch.move, "value": batch.win, "q": (batch.move, batch.action_value)}
    found: dict[Head, float] = {}
    for head, trainer in heads.items():
        found[head] = trainer.step(inputs, targets[head])
        if trainer.skipped_in_row >= MAX_SKIPPED:
            raise TrainingDiverged(f"{head}: {MAX_SKIPPED} steps in a row were not finite")
    return found


class ChessFit:
    """One run of training: heads, data, files."""

    def __init__(self, request: FitRequest) -> None:
        """Raises MissingInput or UsageError where data or heads do not fit."""
        self.request, self.recipe = request, request.recipe
        self._batches = request.sources.batches(self.recipe)
        start = request.sources.start
        weights = {} if start is None else widened(start, self.recipe)
        self.heads = heads_of(self.recipe, request.device, weights)
        self.step, self.seconds = 0, 0.0
        self._best = float("inf")
        self._test = None if request.held is None else MoveTest(request.held)
        self._metrics = MetricsLog(request.run / "metrics.jsonl")

    def lock(self) -> DirectoryLock:
        """Return the lock of the run's one trainer."""
        return DirectoryLock(self.request.run / "lock", f"run {self.request.run}")

    def resume(self) -> bool:
        """Go on from the newest snapshot; False where there is none. Raises UsageError."""
        for folder in ("checkpoints", "best"):
            sweep(self.request.run / folder)
        found = read_checkpoint(self.request.run / "checkpoints")
        if found is None:
            return False
        data = dict(self.request.sources.facts)
        if found.facts.get("kind") != KIND or found.facts["data"] != data:
            raise UsageError(f"{self.request.run} was trained on other data", hint="choose --out")
        if {**found.facts["recipe"], "steps": 0} != {**plain_recipe(self.recipe), "steps": 0}:
            raise UsageError(f"{self.request.run} has another recipe", hint="choose another --out")
        members = None if self.request.members is None else list(self.request.members)
        if found.facts.get("members") != members:
            raise UsageError(
                f"{self.request.run} was trained with other members: {found.facts.get('members')}",
                hint="give it the same --members and --average-every",
            )
        for head, trainer in self.heads.items():
            own, weights = of_head(head, found.state), of_head(head, found.weights)
            own["params"] = join(trainer.network, weights, found.name)
            trainer.set_state(own, found.facts["heads"][head])
        self.step, self.seconds = found.facts["trainer"]["step"], found.facts["trainer"]["seconds"]
        self._best = found.facts["trainer"]["best"] or float("inf")
        self._metrics.cut(self.step)
        return True

    def run(
        self,
        interrupts: Interrupts,
        report: Callable[[Figures], None],
        rounds: Rounds | None = None,
    ) -> Figures | None:
        """Train to the recipe's last step, the time's end or an interrupt; save; return the last
        figures. ``report`` is called at each measurement; ``rounds`` takes the steps, where it is
        given. Raises TrainingDiverged.
        """
        if rounds is not None:
            return self._run(interrupts, report, rounds.advance, lambda: 0.0)
        with Prefetch(self._batches.from_step(self.step), AHEAD, time.monotonic) as batches:
            return self._run(
                interrupts,
                report,
                lambda fit: (1, learn(fit.heads, fit.recipe, next(batches))),
                lambda: batches.waited_s,
            )

    def _run(
        self,
        interrupts: Interrupts,
        report: Callable[[Figures], None],
        advance: Callable[["ChessFit"], tuple[int, Mapping[Any, float]]],
        waited_s: Callable[[], float],
    ) -> Figures | None:
        request, last, sums = self.request, None, StepSums(time.monotonic())
        began = saved = time.monotonic()
        before = self.seconds
        while self.step < self.recipe.steps and not interrupts.seen:
            measured = self.step // request.every
            steps, losses = advance(self)
            self.step += steps
            sums.add(steps, losses)
            now = time.monotonic()
            self.seconds = before + now - began
            timed_out = request.until_s is not None and now - began >= request.until_s
            due = self.step // request.every > measured
            if due or self.step == self.recipe.steps or timed_out:
                sums.waited, waited = waited_s(), sums.waited
                last = self._measure(sums, waited_s() - waited)
                report(last)
                sums = StepSums(time.monotonic(), waited=waited_s())
            if now - saved >= request.save_s:
                self.save("checkpoints")
                saved = now
            if timed_out:
                break
        self.save("checkpoints")
        return last

    def save(self, folder: str) -> str:
        """Save durably all that the next step depends on; return the snapshot's name."""
        weights: dict[Head, NDArray[np.float32]] = {}
        arrays: Arrays = {}
        scalars: dict[str, Scalars] = {}
        for head, trainer in self.heads.items():
            own, scalars[head] = trainer.get_state()
            weights[head] = own.pop("params")
            arrays |= {f"{head}/{name}": array for name, array in own.items()}
        best = None if self._best == float("inf") else self._best
        facts: dict[str, Any] = {
            "kind": KIND,
            "recipe": plain_recipe(self.recipe),
            "data": dict(self.request.sources.facts),
            "heads": scalars,
            "trainer": {"step": self.step, "seconds": round(self.seconds, 1), "best": best},
        }
        if self.request.members is not None:
            facts["members"] = list(self.request.members)
        keep = 1 if folder == "best" else KEEP
        state = {} if folder == "best" else arrays
        return write_checkpoint(
            self.request.run / folder,
            self.step,
            facts,
            named(self.recipe, weights),
            state,
            keep=keep,
        )

    def model(self) -> ChessModel:
        """Return the networks as they now are."""
        weights = {head: trainer.weights for head, trainer in self.heads.items()}
        return ChessModel(self.recipe, weights, device=self.request.device)

    def _measure(self, sums: StepSums, waited: float) -> Figures:
        elapsed = time.monotonic() - sums.began
        loss = {head: total / sums.steps for head, total in sums.loss.items()}
        batch = self.recipe.batch * (self.request.members or (1, 1))[0]
        rows = sums.steps * batch
        figures = Figures(self.step, self.step * batch, loss, rows / elapsed, waited / elapsed)
        if self._test is not None:
            model = self.model()
            if "policy" in self.heads or "q" in self.heads:
                (figures.match,) = self._test.measure(model.policy)
            if "value" in self.heads:
                figures.value_loss = value_loss(model, self._test.rows)
            judged = figures.match.cross_entropy if figures.match else figures.value_loss
            if judged is not None and judged < self._best:
                self._best = judged
                self.save("best")
        self._metrics.append(figures.record())
        return figures


def value_loss(model: ChessModel, rows: Positions) -> float:
    """Return the mean cross-entropy of the expected scores of ``model`` and ``rows``, in nats."""
    total = 0.0
    for at in range(0, len(rows), 4096):
        part = rows[at : at + 4096]
        found = np.clip(model.win(features(part)).astype(np.float64), 1e-6, 1 - 1e-6)
        want = expected_score(part).astype(np.float64)
        total -= float((want * np.log(found) + (1 - want) * np.log(1 - found)).sum())
    return total / len(rows)


def begin_run(request: FitRequest, resume: bool) -> None:
    """Make the run's folder, or see that there is one to resume.

    Raises UsageError, MissingInput.
    """
    run = request.run
    begun = bool(list_checkpoints(run / "checkpoints"))
    if resume and not begun:
        raise MissingInput(f"no run in {run}", hint="leave --resume out to begin one")
    if begun and not resume:
        raise UsageError(f"{run} holds a run already", hint="add --resume, or choose another --out")
    text = json.dumps(plain_recipe(request.recipe), indent=2, ensure_ascii=False)  # YAML too
    write_file(run / "recipe.yaml", text.encode())
