"""A run's folder, and the trained model in it.

    RUN/model.yaml      what was asked for, as it was written
    RUN/checkpoints/    durable snapshots, newest last (see `agentd.store`)
    RUN/best/           the same, of the best epoch so far
    RUN/metrics.jsonl   one line an epoch
    RUN/events.out.tfevents.*   the same for TensorBoard
    RUN/lock            held while a process trains here

A checkpoint's weights are the network's by name, and the inputs' `normalize.shift` and
`normalize.scale`; its state is the optimizer's; its manifest holds the configuration, the counters
and what the data was; and what `agentd calibrate` found, where it was asked.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from agentd.engine.data import Columns, Dataset, Normalizer
from agentd.engine.learners.learner import Arrays, Scalars
from agentd.engine.network import Network
from agentd.engine.network.weights import join, split
from agentd.engine.strictyaml import Document, Record
from agentd.engine.training import Trainer, TrainSpec, convert_spec, make_network, plain_spec
from agentd.errors import MissingInput, UsageError
from agentd.store import (
    Checkpoint,
    DirectoryLock,
    Files,
    list_checkpoints,
    read_checkpoint,
    sweep,
    write_checkpoint,
    write_file,
)

KIND = "supervised"
Probability = Annotated[float, Meta(ge=0, le=1)]
_ROWS = 8192
_WIDEST = 10_000  # columns of a table that a checkpoint lists
_SHIFT, _SCALE = "normalize.shift", "normalize.scale"


class Calibration(Record, frozen=True, kw_only=True):
    """What held-out rows tell about a network's probabilities (see `agentd.engine.doubt`).

    threshold  the largest -ln p that comes into a set of classes; ``coverage`` what it promises
    ece        the calibration error on these rows, and with the temperature found on them
    """

    temperature: Annotated[float, Meta(gt=0)]
    coverage: Annotated[float, Meta(gt=0, lt=1)]
    threshold: Annotated[float, Meta(ge=0)]
    rows: Annotated[int, Meta(ge=1)]
    source: str
    ece: Probability
    ece_after: Probability


@dataclass(frozen=True)
class Snapshot:
    """A trained model as it was saved, with all that its training needs to go on.

    arrays, scalars: what `Trainer.set_state` takes; facts: about the data it was trained on.
    """

    name: str
    spec: TrainSpec
    network: Network
    weights: NDArray[np.float32]
    normalizer: Normalizer
    names: tuple[str, ...]
    facts: dict[str, Any]
    arrays: Arrays
    scalars: Scalars
    calibration: Calibration | None = None

    @property
    def columns(self) -> Columns | None:
        """The columns of the table that it was trained on, where that is known."""
        found = self.facts.get("columns")
        return None if found is None else msgspec.convert(found, Columns)

    @property
    def is_class(self) -> bool:
        """Whether it was trained on classes."""
        return bool(self.facts["classes"])


class Run:
    """The folder of one run; `lock` it while training."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.model = path / "model.yaml"
        self._files = files

    @classmethod
    def create(cls, path: Path, text: bytes, files: Files | None = None) -> Run:
        """Begin a run: ``text`` is the model file. Raises UsageError where there is one already."""
        run = cls(path, files)
        run.refuse_taken()
        write_file(run.model, text, files)
        return run

    def refuse_taken(self) -> None:
        """Raise UsageError unless a run may begin here: nothing is there, or one never saved."""
        if self.exists and list_checkpoints(self.path / "checkpoints", self._files):
            raise UsageError(
                f"{self.path} holds a run already", hint="add --resume, or choose another --out"
            )
        if not self.exists and self.path.is_dir() and any(self.path.iterdir()):
            raise UsageError(f"{self.path} is not empty and no run", hint="choose another --out")

    @classmethod
    def open(cls, path: Path) -> Run:
        """Return the run in ``path``. Raises MissingInput where there is none."""
        run = cls(path)
        if not run.exists:
            raise MissingInput(f"no run in {path}", hint="`agentd train` makes one")
        return run

    @property
    def exists(self) -> bool:
        return self.model.is_file()

    def lock(self) -> DirectoryLock:
        """Return the lock that the run's one trainer holds; clears what a killed one left."""
        return DirectoryLock(self.path / "lock", f"run {self.path}")

    def sweep(self) -> None:
        """Delete what interrupted writes left. Only while holding the lock."""
        for folder in ("checkpoints", "best"):
            sweep(self.path / folder, self._files)

    def save(
        self,
        trainer: Trainer,
        spec: TrainSpec,
        data: Mapping[str, Any],
        *,
        best: bool = False,
        state: tuple[Arrays, Scalars] | None = None,
    ) -> str:
        """Save durably what the trainer is; return the checkpoint's name. Raises StorageError.

        ``data`` are facts about the training data, as `fingerprint` gives them. A save of the best
        replaces the one before. ``state`` is what the trainer was, to save that instead.
        """
        arrays, scalars = state or trainer.get_state()
        arrays = dict(arrays)
        weights = split(trainer.network, arrays.pop("params"))
        weights[_SHIFT], weights[_SCALE] = trainer.normalizer.shift, trainer.normalizer.scale
        facts = {
            "kind": KIND,
            "config": plain_spec(spec),
            "input_shape": list(trainer.network.input_shape),
            "outputs": trainer.network.output_shape[0],
            "data": dict(data),
            "trainer": scalars,
        }
        keep = 1 if best else spec.save.keep
        return write_checkpoint(
            self._folder(best),
            scalars["steps"],
            facts,
            weights,
            arrays,
            keep=keep,
            files=self._files,
        )

    def calibrate(self, found: Calibration, *, best: bool = False) -> str:
        """Save the newest whole checkpoint, or the best epoch's, once more with what was found.

        A training that goes on saves without it again: it holds for these weights. Returns the new
        checkpoint's name. Raises as `load`, StorageError. Only while holding the lock.
        """
        old = self._read(best)
        keep = 1 if best else _snapshot(old).spec.save.keep
        facts = old.facts | {"calibration": msgspec.to_builtins(found)}
        return write_checkpoint(
            self._folder(best),
            old.step,
            facts,
            old.weights,
            old.state,
            keep=keep,
            files=self._files,
        )

    def load(self, *, best: bool = False) -> Snapshot:
        """Return the newest whole checkpoint, or the best epoch's.

        Raises MissingInput where none was written, NoValidCheckpoint where all are damaged.
        """
        return _snapshot(self._read(best))

    def _folder(self, best: bool) -> Path:
        return self.path / ("best" if best else "checkpoints")

    def _read(self, best: bool) -> Checkpoint:
        found = read_checkpoint(self._folder(best), None, self._files)
        if found is None:
            what = "best epoch" if best else "checkpoint"
            raise MissingInput(f"{self.path} holds no {what} yet")
        return found


def fingerprint(data: Dataset, source: Path) -> dict[str, Any]:
    """Return facts that tell whether data is the same: sizes, classes, a checksum."""
    checksum = zlib.crc32(np.ascontiguousarray(data.targets).data)
    for start in range(0, len(data.inputs), _ROWS):  # the file may be larger than memory
        rows = np.ascontiguousarray(data.inputs[start : start + _ROWS])
        checksum = zlib.crc32(rows.data, checksum)
    return {
        "source": str(source.resolve()),
        "rows": len(data.inputs),
        "features": data.features,
        "classes": data.classes,
        "names": list(data.names),
        "crc32": checksum,
        **_columns(data),
    }


def _columns(data: Dataset) -> dict[str, Any]:
    """Return what tells the columns of a table apart; nothing for a very wide one."""
    if data.columns is None or data.columns.width > _WIDEST:
        return {}
    return {"columns": msgspec.to_builtins(data.columns)}


def _snapshot(found: Checkpoint) -> Snapshot:
    facts = found.facts
    if facts.get("kind") != KIND:
        raise MissingInput(f"checkpoint {found.name} is not that of a supervised run")
    spec = convert_spec(Document(facts["config"], f"checkpoint {found.name}"))
    network = make_network(spec, tuple(facts["input_shape"]), facts["outputs"])
    named = dict(found.weights)
    normalizer = Normalizer(named.pop(_SHIFT), named.pop(_SCALE))
    weights, calibrated = join(network, named), facts.get("calibration")
    return Snapshot(
        name=found.name,
        spec=spec,
        network=network,
        weights=weights,
        normalizer=normalizer,
        names=tuple(facts["data"]["names"]),
        facts=facts["data"],
        arrays={**found.state, "params": weights},
        scalars=facts["trainer"],
        calibration=None if calibrated is None else msgspec.convert(calibrated, Calibration),
    )
