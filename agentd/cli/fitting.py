"""A supervised training run from request to outcome: data, run folder, view, saves, figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agentd.cli.fitting_view import FittingView, Keys
from agentd.cli.terminal import Terminal
from agentd.cli.training import Interrupts
from agentd.errors import AgentdError, UsageError
from agentd.learner.model import backend_for
from agentd.runs import EventWriter, MetricsLog, Run, Snapshot, fingerprint, load_weights
from engine.backend import Backend
from engine.data import DataError, Dataset, find_normalizer, load_data, parts_of, split
from engine.errors import ModelError, ShapeError
from engine.nevermind import read_model_file
from engine.strictyaml import ConfigError, Document
from engine.training import (
    Callback,
    Diverged,
    EpochReport,
    Evaluation,
    Trainer,
    TrainSpec,
    convert_spec,
    fit_network,
    plain_spec,
)


class TrainingDiverged(AgentdError):
    """Loss or gradient were not finite; the last saved state is untouched. Exit 70."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for; ``flags`` are values of the model file by dotted key."""

    model: Path | None
    train: Path | None
    test: Path | None
    flags: Mapping[str, Any]
    optimizer: Path | None = None
    weights: Path | None = None
    out: Path | None = None
    resume: bool = False
    device: str = "cpu"


@dataclass
class Outcome:
    """What a run came to."""

    run: Path
    epochs: int
    steps: int
    parameters: int
    stopped: str
    epoch_seconds: list[float]
    last: EpochReport | None
    test: Evaluation | None

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


@dataclass
class _Job:
    """Everything a run needs, found and checked before anything is written."""

    spec: TrainSpec
    text: bytes
    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    facts: dict[str, Any]
    trainer: Trainer
    path: Path
    resumed: bool = False
    seconds: list[float] = field(default_factory=list)


def run_training(request: Request, screen: Terminal) -> Outcome:
    """Train as ``request`` says. Raises ConfigError, DataError, UsageError, StorageError."""
    with ExitStack() as stack:
        if request.resume:
            run = Run.open(_run_path(request))
            stack.enter_context(run.lock())
            job = _resume(request, run)
        else:
            job = _prepare(request)
            run = Run.create(job.path, job.text)
            stack.enter_context(run.lock())
        run.sweep()
        return _Fit(job, run, screen).go()


def _run_path(request: Request) -> Path:
    if request.out is not None:
        return request.out
    if request.model is None:
        raise UsageError("nothing to train", hint="name a model file, or --resume with --out RUN")
    return Path("runs") / request.model.stem


def _prepare(request: Request) -> _Job:
    """Read model and data of a new run; nothing is written yet."""
    path = _run_path(request)
    if request.model is None or request.train is None:
        raise UsageError("want a model file and --train DATA", hint="agentd new writes a model")
    if request.out is None:
        path = _free(path)
    Run(path).refuse_taken()
    document = read_model_file(request.model, request.optimizer)
    spec = _with_flags(document, request.flags)
    data = load(request.train, "train", spec)
    backend = backend_for(request.device)
    trainer = new_trainer(document, spec, data, backend)
    if request.weights is not None:
        weights = load_weights(request.weights, trainer.network)
        trainer = new_trainer(document, spec, data, backend, weights)
    job = _assemble(spec, data, trainer, request.train, request.test, path)
    job.text = model_text(document, spec)
    return job


def _resume(request: Request, run: Run) -> _Job:
    """Read a run and its data again. Raises UsageError where the data is not the same."""
    fixed = {"batch", "seed", "data.validation", "optimizer.lr"} & request.flags.keys()
    if fixed:
        names = ", ".join(f"--{key.rpartition('.')[2]}" for key in sorted(fixed))
        raise UsageError(f"{names} cannot change in a resumed run", hint="begin a new one")
    found = run.load()
    spec = _with_flags(Document(plain_spec(found.spec), str(run.model)), request.flags)
    source = request.train or Path(found.facts["source"])
    data = load(source, "train", spec, found)
    now = fingerprint(data, source)
    for key in ("rows", "features", "classes", "crc32"):
        if now[key] != found.facts[key]:
            raise UsageError(
                f"{source} is not the data of {run.path}: {key} {found.facts[key]}, now {now[key]}",
                hint="begin a new run for other data",
            )
    is_class, backend = data.classes > 0, backend_for(request.device)
    trainer = make_trainer(spec, found.network, is_class, found.normalizer, backend=backend)
    trainer.set_state(found.arrays, found.scalars)
    test = request.test or (Path(found.facts["test"]) if found.facts.get("test") else None)
    job = _assemble(spec, data, trainer, source, test, run.path)
    job.resumed = True
    return job


def _assemble(
    spec: TrainSpec, data: Dataset, trainer: Trainer, source: Path, test: Path | None, path: Path
) -> _Job:
    facts = fingerprint(data, source)
    if test is None and "test" in parts_of(source):
        test = source
    facts["test"] = None if test is None else str(test.resolve())
    tested = None
    if test is not None:
        tested = load_beside(test, "test", spec, data, trainer.network.output_shape[0])
    learned, held = split(data, spec.data.validation, spec.seed)
    return _Job(spec, b"", learned, held, tested, facts, trainer, path)


def load(path: Path, part: str, spec: TrainSpec, found: Snapshot | None = None) -> Dataset:
    """Read training data as ``spec`` says; a snapshot brings the classes' names."""
    options, classes = spec.reading()
    names = found.names if found else ()
    return load_data(path, part, options, classes=classes, names=names)


def load_beside(path: Path, part: str, spec: TrainSpec, data: Dataset, outputs: int) -> Dataset:
    """Read data that must look like ``data``: same inputs, same classes. Raises DataError.

    A folder that holds only train-* files is taken as it is, whichever part is asked for.
    """
    if path.is_dir() and parts_of(path) == ("train",):
        part = "train"
    options, _ = spec.reading()
    target = "class" if data.classes else "value"
    options = msgspec.structs.replace(options, target=target)
    other = load_data(
        path, part, options, classes=outputs if data.classes else None, names=data.names
    )
    for what, want, got in (
        ("inputs", data.features, other.features),
        ("targets", outputs, other.outputs),
    ):
        if want != got:
            raise DataError(
                f"{what} of another size than the model's", file=str(path), expected=want, got=got
            )
    return other


def _free(path: Path) -> Path:
    """The first of NAME, NAME-2, NAME-3, ... that is no run yet."""
    for number in range(1, 10_000):
        found = path if number == 1 else path.with_name(f"{path.name}-{number}")
        if not found.exists():
            return found
    raise UsageError(f"{path}: too many runs of that name", hint="choose one with --out")


def _with_flags(document: Document, flags: Mapping[str, Any]) -> TrainSpec:
    """The document with the command line's values. Raises ConfigError, UsageError."""
    convert_spec(document)  # errors of the file itself, at its own lines
    tree = document.value
    for key, value in flags.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    try:
        return convert_spec(document)
    except ConfigError as fault:
        name = "--" + fault.key.rpartition(".")[2].replace("_", "-")
        wish = f": expected {fault.expected}" if fault.expected else ""
        came = f", got {fault.got}" if fault.got else ""
        raise UsageError(f"{name}: {fault.message}{wish}{came}") from None


def model_text(document: Document, spec: TrainSpec) -> bytes:
    """What the run keeps as model.yaml: the whole specification, with the flags in it."""
    from agentd.config.convert import dump_yaml

    return f"# from {document.file}\n{dump_yaml(spec)}".encode()


def new_trainer(
    document: Document, spec: TrainSpec, data: Dataset, backend: Backend, weights: Any = None
) -> Trainer:
    """The trainer of a new run. Raises ConfigError where layers or loss do not fit the data."""
    try:
        network = fit_network(spec, data)
        normalizer = find_normalizer(data, spec.data.normalize)
        return make_trainer(spec, network, data.classes > 0, normalizer, weights, backend)
    except (ModelError, ShapeError) as fault:
        key = "loss" if str(fault).startswith("class_weights") else "layers"
        raise document.error((key,), str(fault)) from None


def make_trainer(
    spec: TrainSpec,
    network: Any,
    is_class: bool,
    normalizer: Any,
    weights: Any = None,
    backend: Backend | None = None,
) -> Trainer:
    """A trainer as ``spec`` describes it, on the CPU without a ``backend``."""
    return Trainer(
        network,
        loss=spec.loss,
        optimizer=spec.optimizer,
        batch=spec.batch,
        seed=spec.seed,
        is_class=is_class,
        normalizer=normalizer,
        backend=backend,
        weights=weights,
        clock=time.perf_counter,
    )


class _Fit(Callback):
    """Runs a job: listens to the trainer, saves, writes metrics, keeps the view."""

    def __init__(self, job: _Job, run: Run, screen: Terminal) -> None:
        self.job, self.run, self.screen = job, run, screen
        self.log = MetricsLog(run.metrics)
        self.events: EventWriter | None = None
        self.last: EpochReport | None = None
        self._saved: tuple[int, int] | None = None
        self._best: tuple[Any, Any] | None = None
        self._next_save_s = 0.0
        self.interrupts = Interrupts()
        self.keys = Keys()
        steps = -(-len(job.train) // job.spec.batch)
        self.view = FittingView(screen, str(job.path), job.spec.epochs, steps, self.log.path)

    def go(self) -> Outcome:
        job, trainer = self.job, self.job.trainer
        self.log.cut(trainer.steps)
        self.events = EventWriter(self.run.path)
        if not job.resumed:
            self._save()  # from the first moment on there is something to resume
        try:
            with self.interrupts.trapped(), self.keys, self.view:
                trainer.fit(
                    job.train,
                    epochs=job.spec.epochs,
                    validation=job.validation,
                    stop=job.spec.stop,
                    callbacks=[self],
                )
        except Diverged as fault:
            raise TrainingDiverged(
                str(fault), hint=f"lower optimizer.lr; {self.run.path} holds the last good state"
            ) from None
        self._save()
        tested = None if job.test is None else trainer.evaluate(job.test)
        return Outcome(
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
        if every and trainer.steps % every == 0:
            self._save()
        if self.view.due():
            self.view.update(trainer)
        if self.keys.pressed("q"):
            trainer.stop("by `q`; --resume goes on")
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
        self.view.close_epoch(report)

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
