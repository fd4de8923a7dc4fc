"""Training chess heads on shards: batches made ahead, measured on the way, resumable at any step.

RUN/recipe.yaml     what was asked for
RUN/checkpoints/    durable snapshots, newest last (see `agentd.store`)
RUN/best/           the same, of the best measurement so far
RUN/metrics.jsonl   one line a measurement
RUN/lock            held while a process trains here
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.assembly.network import backend_for
from agentd.chess.model.head_trainer import HeadTrainer
from agentd.chess.model.model import KIND, ChessModel, named, plain_recipe
from agentd.chess.model.recipe import ChessRecipe, Head, make_head, seen_by
from agentd.chess.model.widen import widened
from agentd.engine.data.prefetch import Prefetch
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.network.weights import join
from agentd.errors import AgentdError, MissingInput, UsageError
from agentd.games.chess.board.features import features
from agentd.games.chess.board.position import Positions
from agentd.games.chess.data.batches import ChessBatches, ChessRows, expected_score
from agentd.games.chess.play.measure import MoveMatch, MoveTest
from agentd.rl.run import Interrupts
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


class TrainingDiverged(AgentdError):
    """Gradients were not finite several steps in a row; what was saved is untouched. Exit 70."""


@dataclass(frozen=True)
class FitRequest:
    """What to train on, and how often to look up.

    lessons    further shards by name, of which the recipe says how much is learned
    start      a trained model to begin with; None draws weights by the recipe's seed
    every      steps between two measurements on ``held`` (at most ``held_rows`` of it)
    save_s     seconds between two snapshots
    until_s    seconds after which to stop, saved; None for the recipe's last step
    """

    run: Path
    recipe: ChessRecipe
    shards: Sequence[Positions]
    held: Positions | None
    data: Mapping[str, Any]
    lessons: Mapping[str, Sequence[Positions]] = field(default_factory=dict)
    start: ChessModel | None = None
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
class Tally:
    """Sums since the last look."""

    began: float
    steps: int = 0
    waited: float = 0.0
    loss: dict[str, float] = field(default_factory=dict)


class ChessFit:
    """One run of training: heads, data, files."""

    def __init__(self, request: FitRequest) -> None:
        """Raises MissingInput or UsageError where data or heads do not fit."""
        self.request, self.recipe = request, request.recipe
        self._batches = _batches(request)
        backend = backend_for(request.device)
        start = {} if request.start is None else widened(request.start, self.recipe)
        self.heads: dict[Head, HeadTrainer] = {
            head: HeadTrainer(
                make_head(self.recipe, head), self.recipe, head, backend, start.get(head)
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
        if found.facts.get("kind") != KIND or found.facts["data"] != dict(self.request.data):
            raise UsageError(f"{self.request.run} was trained on other data", hint="choose --out")
        if {**found.facts["recipe"], "steps": 0} != {**plain_recipe(self.recipe), "steps": 0}:
            raise UsageError(f"{self.request.run} has another recipe", hint="choose another --out")
        for head, trainer in self.heads.items():
            own, weights = _of(head, found.state), _of(head, found.weights)
            own["params"] = join(trainer.network, weights, found.name)
            trainer.set_state(own, found.facts["heads"][head])
        self.step, self.seconds = found.facts["trainer"]["step"], found.facts["trainer"]["seconds"]
        self._best = found.facts["trainer"]["best"] or float("inf")
        self._metrics.cut(self.step)
        return True

    def run(self, interrupts: Interrupts, tell: Any) -> Figures | None:
        """Train to the recipe's last step, the time's end or an interrupt; save; return the last
        figures. ``tell(Figures)`` is called at each measurement. Raises TrainingDiverged.
        """
        request, last, tally = self.request, None, Tally(time.monotonic())
        began = saved = time.monotonic()
        before = self.seconds
        with Prefetch(self._batches.from_step(self.step), AHEAD, time.monotonic) as batches:
            while self.step < self.recipe.steps and not interrupts.seen:
                self._learn(next(batches), tally)
                now = time.monotonic()
                self.seconds = before + now - began
                timed_out = request.until_s is not None and now - began >= request.until_s
                if self.step % request.every == 0 or self.step == self.recipe.steps or timed_out:
                    tally.waited, waited = batches.waited_s, tally.waited
                    last = self._measure(tally, batches.waited_s - waited)
                    tell(last)
                    tally = Tally(time.monotonic(), waited=batches.waited_s)
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
            "data": dict(self.request.data),
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

    def _learn(self, batch: Any, tally: Tally) -> None:
        inputs = seen_by(self.recipe, batch.inputs)
        targets = {"policy": batch.move, "value": batch.win, "q": (batch.move, batch.action_value)}
        for head, trainer in self.heads.items():
            loss = trainer.step(inputs, targets[head])
            tally.loss[head] = tally.loss.get(head, 0.0) + loss
            if trainer.skipped_in_row >= MAX_SKIPPED:
                raise TrainingDiverged(f"{head}: {MAX_SKIPPED} steps in a row were not finite")
        self.step += 1
        tally.steps += 1

    def _measure(self, tally: Tally, waited: float) -> Figures:
        elapsed = time.monotonic() - tally.began
        loss = {head: total / tally.steps for head, total in tally.loss.items()}
        rows = tally.steps * self.recipe.batch
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


def _batches(request: FitRequest) -> ChessBatches:
    """Return the batches that the recipe asks for. Raises MissingInput."""
    recipe, parts = request.recipe, []
    try:
        for name in recipe.lessons.folders:
            if name not in request.lessons:
                raise ValueError(f"the recipe wants lessons of the kind {name!r}")
            rows = ChessRows(request.lessons[name])
            parts.append((rows, recipe.lessons.rows(name, recipe.batch)))
        games, best = ChessRows(request.shards), recipe.lessons.rows("best", recipe.batch)
        return ChessBatches(games, recipe.batch, recipe.seed, recipe.mirror, best, parts)
    except ValueError as fault:
        raise MissingInput(str(fault), hint="`chess lessons` makes lessons") from None


def value_loss(model: ChessModel, rows: Positions) -> float:
    """Return the mean cross-entropy, nats, of the expected score told with that of ``rows``."""
    total = 0.0
    for at in range(0, len(rows), 4096):
        part = rows[at : at + 4096]
        told = np.clip(model.win(features(part)).astype(np.float64), 1e-6, 1 - 1e-6)
        want = expected_score(part).astype(np.float64)
        total -= float((want * np.log(told) + (1 - want) * np.log(1 - told)).sum())
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


def _of(head: Head, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return one head's arrays under their own names."""
    mark = f"{head}/"
    return {k.removeprefix(mark): v for k, v in arrays.items() if k.startswith(mark)}
