"""Training chess heads on shards: batches made ahead, measured on the way, resumable at any step.

RUN/recipe.yaml     what was asked for
RUN/checkpoints/    durable snapshots, newest last (see `agentd.store`)
RUN/best/           the same, of the best measurement so far
RUN/metrics.jsonl   one line a measurement
RUN/lock            held while a process trains here
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
from agentd.games.chess.data.batches import expected_score
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


class ChessFit:
    """One run of training: heads, data, files."""

    def __init__(self, request: FitRequest) -> None:
        """Raises MissingInput or UsageError where data or heads do not fit."""
        self.request, self.recipe = request, request.recipe
        self._batches = request.sources.batches(self.recipe)
        backend = backend_for(request.device)
        start = request.sources.start
        weights = {} if start is None else widened(start, self.recipe)
        self.heads: dict[Head, HeadTrainer] = {
            head: HeadTrainer(
                make_head(self.recipe, head), self.recipe, head, backend, weights.get(head)
            )
            for head in self.recipe.heads
        }
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
        for head, trainer in self.heads.items():
            own, weights = of_head(head, found.state), of_head(head, found.weights)
            own["params"] = join(trainer.network, weights, found.name)
            trainer.set_state(own, found.facts["heads"][head])
        self.step, self.seconds = found.facts["trainer"]["step"], found.facts["trainer"]["seconds"]
        self._best = found.facts["trainer"]["best"] or float("inf")
        self._metrics.cut(self.step)
        return True

    def run(self, interrupts: Interrupts, report: Callable[[Figures], None]) -> Figures | None:
        """Train to the recipe's last step, the time's end or an interrupt; save; return the last
        figures. ``report`` is called at each measurement. Raises TrainingDiverged.
        """
        request, last, sums = self.request, None, StepSums(time.monotonic())
        began = saved = time.monotonic()
        before = self.seconds
        with Prefetch(self._batches.from_step(self.step), AHEAD, time.monotonic) as batches:
            while self.step < self.recipe.steps and not interrupts.seen:
                self._learn(next(batches), sums)
                now = time.monotonic()
                self.seconds = before + now - began
                timed_out = request.until_s is not None and now - began >= request.until_s
                if self.step % request.every == 0 or self.step == self.recipe.steps or timed_out:
                    sums.waited, waited = batches.waited_s, sums.waited
                    last = self._measure(sums, batches.waited_s - waited)
                    report(last)
                    sums = StepSums(time.monotonic(), waited=batches.waited_s)
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
        facts = {
            "kind": KIND,
            "recipe": plain_recipe(self.recipe),
            "data": dict(self.request.sources.facts),
            "heads": scalars,
            "trainer": {"step": self.step, "seconds": round(self.seconds, 1), "best": best},
        }
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

    def _learn(self, batch: Any, sums: StepSums) -> None:
        inputs = seen_by(self.recipe, batch.inputs)
        targets = {"policy": batch.move, "value": batch.win, "q": (batch.move, batch.action_value)}
        for head, trainer in self.heads.items():
            loss = trainer.step(inputs, targets[head])
            sums.loss[head] = sums.loss.get(head, 0.0) + loss
            if trainer.skipped_in_row >= MAX_SKIPPED:
                raise TrainingDiverged(f"{head}: {MAX_SKIPPED} steps in a row were not finite")
        self.step += 1
        sums.steps += 1

    def _measure(self, sums: StepSums, waited: float) -> Figures:
        elapsed = time.monotonic() - sums.began
        loss = {head: total / sums.steps for head, total in sums.loss.items()}
        rows = sums.steps * self.recipe.batch
        figures = Figures(
            self.step, self.step * self.recipe.batch, loss, rows / elapsed, waited / elapsed
        )
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
