"""A supervised training run from request to outcome: run folder, saves, figures."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentd.engine.training import (
    Callback,
    Diverged,
    EpochReport,
    EvaluationReport,
    Rounds,
    Trainer,
)
from agentd.errors import TrainingDiverged
from agentd.interrupts import Interrupts
from agentd.runs import EventWriter, MetricsLog, Run
from agentd.runs.job import FitJob, Request, prepare, resume, run_path
from agentd.runs.tensorboard import cut_events

Watch = Callable[[FitJob, Path], AbstractContextManager[Callback]]
"""Makes what follows a run, from its job and its file of metrics: entered while it trains."""


@dataclass
class FitOutcome:
    """What a run came to."""

    run: Path
    epochs: int
    steps: int
    parameters: int
    stopped: str
    epoch_seconds: list[float]
    last: EpochReport | None
    test: EvaluationReport | None

    def record(self) -> dict[str, Any]:
        """The figures for --json; null where there was nothing to measure on."""
        found: dict[str, Any] = {
            "run": str(self.run),
            "epochs": self.epochs,
            "steps": self.steps,
            "parameters": self.parameters,
            "stopped": self.stopped,
            "epoch_seconds": self.epoch_seconds,
            "test_accuracy": self.test.accuracy if self.test else None,
            "test_loss": self.test.loss if self.test else None,
        }
        if self.last is not None:
            found |= {
                key: value
                for key, value in self.last.record().items()
                if key.startswith(("train_", "validation_"))
            }
        return found

    def text(self) -> str:
        """The figures for a person, one line each."""
        lines = [f"run        {self.run}"]
        if self.stopped:
            lines.append(f"stopped    {self.stopped}")
        lines.append(f"trained    {self.epochs} epochs, {self.steps:,} steps")
        lines.append(f"parameters {self.parameters:,}")
        if self.epoch_seconds:
            mean = sum(self.epoch_seconds) / len(self.epoch_seconds)
            lines.append(f"speed      {mean:.2f} s an epoch")
        if self.last is not None:
            lines.append("training   " + figures(self.last.train_loss, self.last.train_accuracy))
            held = self.last.validation
            if held is not None:
                lines.append("validation " + figures(held.loss, held.accuracy))
        if self.test is not None:
            lines.append("test       " + figures(self.test.loss, self.test.accuracy))
        return "\n".join(lines)


def figures(loss: float, accuracy: float | None) -> str:
    """A loss, and an accuracy where there is one, as text."""
    return f"loss {loss:.4f}" + ("" if accuracy is None else f", accuracy {accuracy:.2%}")


def run_training(
    request: Request, watch: Watch, rounds_of: Callable[[FitJob], Rounds] | None = None
) -> FitOutcome:
    """Train as ``request`` says, followed by what ``watch`` makes.

    ``rounds_of`` makes what takes the steps elsewhere; without it they are taken here.
    Raises ConfigError, DataError, UsageError, StorageError, TrainingDiverged.
    """
    with ExitStack() as stack:
        if request.resume:
            run = Run.open(run_path(request))
            stack.enter_context(run.lock())
            job = resume(request, run)
        else:
            job = prepare(request)
            run = Run.create(job.path, job.text)
            stack.enter_context(run.lock())
        run.sweep()
        return _Fit(job, run, watch, None if rounds_of is None else rounds_of(job)).go()


class _Fit(Callback):
    """Runs a job: listens to the trainer, saves, writes metrics."""

    def __init__(self, job: FitJob, run: Run, watch: Watch, rounds: Rounds | None) -> None:
        self.job, self.run, self.watch, self.rounds = job, run, watch, rounds
        self.log = MetricsLog(run.metrics)
        self.events: EventWriter | None = None
        self.last: EpochReport | None = None
        self._saved: tuple[int, int] | None = None
        self._best: tuple[Any, Any] | None = None
        self._next_save_s = 0.0
        self._steps = job.trainer.steps
        self.interrupts = Interrupts()

    def go(self) -> FitOutcome:
        job, trainer = self.job, self.job.trainer
        self.log.cut(trainer.steps)
        cut_events(self.run.path, trainer.steps)
        self.events = EventWriter(self.run.path)
        if not job.resumed:
            self._save()  # from the first moment on there is something to resume
        try:
            with self.interrupts.trapped(), self.watch(job, self.log.path) as watcher:
                trainer.fit(
                    job.train,
                    epochs=job.spec.epochs,
                    validation=job.validation,
                    stop=job.spec.stop,
                    callbacks=[self, watcher],
                    rounds=self.rounds,
                )
        except Diverged as fault:
            raise TrainingDiverged(
                str(fault), hint=f"lower optimizer.lr; {self.run.path} holds the last good state"
            ) from None
        self._save()
        tested = None if job.test is None else trainer.evaluate(job.test)
        return FitOutcome(
            run=self.run.path,
            epochs=trainer.epoch,
            steps=trainer.steps,
            parameters=trainer.network.n_trainable,
            stopped=trainer.stopped,
            epoch_seconds=job.seconds,
            last=self.last,
            test=tested,
        )

    def on_step(self, trainer: Trainer) -> None:
        every = self.job.spec.save.every_steps
        if every and trainer.steps // every > self._steps // every:
            self._save()
        self._steps = trainer.steps
        if self.interrupts.seen:
            trainer.stop("by Ctrl-C; --resume goes on")

    def on_epoch(self, trainer: Trainer, report: EpochReport) -> None:
        self.last = report
        self.job.seconds.append(round(report.seconds, 4))
        record = report.record()
        self.log.append(record)
        scalars = {k: v for k, v in record.items() if isinstance(v, float) and v == v}
        assert self.events is not None
        self.events.add(trainer.steps, {_tag(key): value for key, value in scalars.items()})
        if trainer.is_best:
            self._best = trainer.get_state()
        every = self.job.spec.save.every_epochs
        if every and trainer.epoch % every == 0 and time.monotonic() >= self._next_save_s:
            self._save()

    def _save(self) -> None:
        """Save, unless this very step is saved already; and the best epoch since the last save."""
        at = (self.job.trainer.steps, self.job.trainer.epoch)
        if at != self._saved:
            self.run.save(self.job.trainer, self.job.spec, self.job.facts)
            self._saved = at
        if self._best is not None:
            job, best = self.job, self._best
            self.run.save(job.trainer, job.spec, job.facts, best=True, state=best)
            self._best = None
        self._next_save_s = time.monotonic() + self.job.spec.save.min_seconds


def _tag(key: str) -> str:
    """``train_loss`` as TensorBoard groups it: loss/train."""
    side, _, what = key.partition("_")
    return f"{what}/{side}" if side in ("train", "validation") else key
