"""A supervised training job: model, data and trainer, checked before anything is written."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from agentd.assembly.device import backend_for
from agentd.config.convert import dump_yaml
from agentd.engine.backend import Backend
from agentd.engine.data import (
    Batches,
    DataError,
    Dataset,
    Normalizer,
    find_normalizer,
    load_data,
    parts_of,
    split,
)
from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.network import Network
from agentd.engine.numpy_backend.gemm import choose_threads, limit_threads
from agentd.engine.strictyaml import ConfigError, Document
from agentd.engine.training import (
    Diverged,
    Trainer,
    TrainSpec,
    convert_spec,
    fit_network,
    plain_spec,
)
from agentd.engine.training.nevermind import read_model_file
from agentd.errors import UsageError
from agentd.runs import Run, Snapshot, fingerprint, load_weights

_FIXED = {"batch", "seed", "data.validation", "data.labels", "data.delimiter", "optimizer.lr"}
"""What a resumed run keeps, by the key of the model file."""


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
    choose_threads: bool = False
    members: tuple[int, int] | None = None  # how many train, and steps between two averages


@dataclass
class FitJob:
    """Everything a run needs, found and checked before anything is written."""

    spec: TrainSpec
    text: bytes
    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    facts: dict[str, Any]
    trainer: Trainer
    path: Path
    device: str = "cpu"
    notes: list[str] = field(default_factory=list)
    resumed: bool = False
    seconds: list[float] = field(default_factory=list)

    def describe(self) -> str:
        """What was understood of the data, in one line."""
        data, rows = self.train, f"{len(self.train):,} rows"
        if self.validation is not None:
            rows += f" and {len(self.validation):,} held out"
        shape = " x ".join(map(str, data.shape))
        targets = f"{data.outputs} numbers as targets"
        if data.classes:
            names = data.names or tuple(map(str, range(data.classes)))
            shown = ", ".join([*names[:8], "..."] if len(names) > 10 else names)
            targets = f"{data.classes} classes ({shown})"
        read = f"{data.description}; " if data.description else f"inputs {shape}; "
        return f"{data.file}: {rows}; {read}{targets}; device {self.device}"


def run_path(request: Request) -> Path:
    """The run's folder: as asked for, else named for the model. Raises UsageError."""
    if request.out is not None:
        return request.out
    if request.model is None:
        raise UsageError("nothing to train", hint="name a model file, or --resume with --out RUN")
    return Path("runs") / request.model.stem


def prepare(request: Request) -> FitJob:
    """Read model and data of a new run; nothing is written yet.

    Raises ConfigError, DataError, UsageError.
    """
    path = run_path(request)
    if request.model is None or request.train is None:
        raise UsageError("want a model file and --train DATA", hint="agentd new writes a model")
    if request.out is None:
        path = _free(path)
    Run(path).refuse_taken()
    document = read_model_file(request.model, request.optimizer)
    spec = _with_flags(document, request.flags)
    data = load(request.train, "train", spec)
    if data.classes and (data.labels() == data.labels()[0]).all():
        got = _first_class(data)
        raise DataError("one class only", file=data.file, expected="at least 2", got=got)
    backend = backend_for(request.device)
    threads = None
    if request.choose_threads and backend.name == "numpy":
        make = partial(new_trainer, document, spec, data, backend)
        threads = choose_threads(lambda: _trial(make(), data), os.cpu_count() or 1)
    trainer = new_trainer(document, spec, data, backend)
    if request.weights is not None:
        weights = load_weights(request.weights, trainer.network)
        trainer = new_trainer(document, spec, data, backend, weights)
    job = _assemble(spec, data, trainer, request.train, request.test, path)
    job.facts |= {"members": _members(request)} if request.members else {}
    job.device, job.notes = _device(backend), document.notes
    job.text = model_text(document, spec)
    if threads is not None:
        job.facts["threads"] = threads
        job.notes = [*job.notes, f"{threads} BLAS threads, by a short trial"]
    return job


def resume(request: Request, run: Run) -> FitJob:
    """Read a run and its data again. Raises UsageError where the data is not the same."""
    fixed = _FIXED & request.flags.keys()
    if fixed:
        names = ", ".join(f"--{key.rpartition('.')[2].removesuffix('s')}" for key in sorted(fixed))
        raise UsageError(f"{names} cannot change in a resumed run", hint="begin a new one")
    found = run.load()
    spec = _with_flags(Document(plain_spec(found.spec), str(run.model)), request.flags)
    source = request.train or Path(found.facts["source"])
    data = load(source, "train", spec, found)
    refuse_other_data(run, found, data, source)
    _refuse_other_members(run, found, request)
    threads = found.facts.get("threads")
    if request.choose_threads and threads is not None:
        limit_threads(threads)  # as chosen when it began: others may give other bits
    is_class, backend = data.classes > 0, backend_for(request.device)
    trainer = make_trainer(spec, found.network, is_class, found.normalizer, backend=backend)
    trainer.set_state(found.arrays, found.scalars)
    test = request.test or (Path(found.facts["test"]) if found.facts.get("test") else None)
    job = _assemble(spec, data, trainer, source, test, run.path)
    job.facts |= {"members": _members(request)} if request.members else {}
    job.resumed, job.device = True, _device(backend)
    if threads is not None:
        job.facts["threads"] = threads
    return job


def refuse_other_data(run: Run, found: Snapshot, data: Dataset, source: Path) -> None:
    """Raise UsageError unless ``data`` is what the run learns from."""
    now = fingerprint(data, source)
    for key in ("rows", "features", "classes", "crc32"):
        if now[key] != found.facts[key]:
            raise UsageError(
                f"{source} is not the data of {run.path}: {key} {found.facts[key]}, now {now[key]}",
                hint="begin a new run for other data",
            )


def _refuse_other_members(run: Run, found: Snapshot, request: Request) -> None:
    if found.facts.get("members") != _members(request):
        raise UsageError(
            f"{run.path} was trained with {_in_words(found.facts.get('members'))}, "
            f"and would go on with {_in_words(_members(request))}",
            hint="give it the same --members and --average-every",
        )


def _members(request: Request) -> list[int] | None:
    return None if request.members is None else list(request.members)


def _in_words(members: list[int] | None) -> str:
    if members is None:
        return "one trainer"
    return f"{members[0]} members, averaged every {members[1]} steps"


def _assemble(
    spec: TrainSpec, data: Dataset, trainer: Trainer, source: Path, test: Path | None, path: Path
) -> FitJob:
    facts = fingerprint(data, source)
    if test is None and "test" in parts_of(source):
        test = source
    facts["test"] = None if test is None else str(test.resolve())
    tested = None
    if test is not None:
        tested = load_beside(test, "test", spec, data, trainer.network.output_shape[0])
    learned, held = split(data, spec.data.validation, spec.seed)
    return FitJob(spec, b"", learned, held, tested, facts, trainer, path)


def load(path: Path, part: str, spec: TrainSpec, found: Snapshot | None = None) -> Dataset:
    """Read training data as ``spec`` says; a snapshot brings the classes' names."""
    options, classes = spec.reading()
    names, like = (found.names, found.columns) if found else ((), None)
    return load_data(path, part, options, classes=classes, names=names, like=like)


def load_beside(path: Path, part: str, spec: TrainSpec, data: Dataset, outputs: int) -> Dataset:
    """Read data that must look like ``data``: same inputs, by name where they have names, same
    classes. Raises DataError.

    A folder that holds only train-* files is taken as it is, whichever part is asked for.
    """
    if path.is_dir() and parts_of(path) == ("train",):
        part = "train"
    options, _ = spec.reading()
    target = "class" if data.classes else "value"
    options = msgspec.structs.replace(options, target=target)
    other = load_data(
        path,
        part,
        options,
        classes=outputs if data.classes else None,
        names=data.names,
        like=data.columns,
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


def _trial(trainer: Trainer, data: Dataset) -> Callable[[], object]:
    """A training step over and over on the first batch, for its time alone."""
    batches = Batches(data, trainer.batch, trainer.normalizer, ahead=0)
    batch = next(batches.epoch())

    def step() -> None:
        with suppress(Diverged), np.errstate(all="ignore"):
            trainer.step(batch)

    return step


def _device(backend: Backend) -> str:
    return "cpu" if backend.name == "numpy" else backend.name


def _first_class(data: Dataset) -> str:
    """The class of the first row, by its name if it has one."""
    found = int(data.labels()[0])
    return data.names[found] if data.names else str(found)


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
    return f"# from {document.file}\n{dump_yaml(spec)}".encode()


def new_trainer(
    document: Document,
    spec: TrainSpec,
    data: Dataset,
    backend: Backend,
    weights: NDArray[np.float32] | None = None,
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
    network: Network,
    is_class: bool,
    normalizer: Normalizer,
    weights: NDArray[np.float32] | None = None,
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
        memory=spec.memory,
    )
