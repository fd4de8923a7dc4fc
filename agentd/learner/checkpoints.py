"""A learner's whole state into checkpoints and back, and when to write one."""

import contextlib
import datetime
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from agentd import __version__
from agentd.assembly.exploration import exploration_of
from agentd.config import AgentConfig, plain
from agentd.engine.errors import EngineError
from agentd.engine.network import Network
from agentd.engine.network.weights import join, split
from agentd.errors import StorageError, TrainingDiverged
from agentd.learner.updater import Progress, Updater
from agentd.machine import return_free_memory
from agentd.memory.mapped_file import RingCounters
from agentd.protocol.schema import Schema
from agentd.store import (
    Checkpoint,
    Exploring,
    Files,
    Footing,
    UnknownCheckpoint,
    list_checkpoints,
    read_checkpoint,
    read_exploring,
    sweep,
    write_checkpoint,
)

log = logging.getLogger(__name__)

_FIRST_S = 5.0
"""When an agent that has learned gets its first checkpoint: a start does not wait for the disk."""
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0
_RETRY_SHARE = 5
"""A checkpoint that was refused is tried again after so many times what the try took."""


def checkpoint_facts(
    config: AgentConfig,
    schema: Schema,
    scalars: Mapping[str, Any],
    progress: Progress,
    counters: RingCounters,
    exploring: Exploring,
) -> dict[str, Any]:
    """Return what the manifest says in a checkpoint of a learner that learns."""
    schedule, since = exploration_of(config, exploring)
    return {
        "agentd": __version__,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": plain(config),
        "schema": schema.to_wire(),
        "learner": dict(scalars),
        "progress": list(progress),
        "counters": counters._asdict(),
        "epsilon": schedule.epsilon(counters.env_steps - since),
        "frozen": False,
        "diverged": False,
    }


class StoredCheckpoint(NamedTuple):
    """A checkpoint on disk: its name, its updates, and the rows that are on disk with it.

    ``counters`` is None for a checkpoint that an earlier process wrote: a power failure since then
    may have taken rows that it counts.
    """

    name: str
    step: int
    counters: RingCounters | None


class Saver:
    """Writes and reads the checkpoints of one updater.

    degraded  the last one could not be written; learning goes on and it is tried again soon
    good      the newest that was written while updates were finite; None where there is none
    """

    def __init__(
        self,
        folder: Path,
        config: AgentConfig,
        schema: Schema,
        network: Network,
        updater: Updater,
        files: Files | None = None,
    ) -> None:
        self.folder, self.config, self.schema = folder, config, schema
        self.degraded = False
        self.last: StoredCheckpoint | None = None
        self.good: str | None = None
        self._network, self._updater, self._files = network, updater, files or Files()
        self._written = time.monotonic()
        self._saved_rows = 0
        self._retry_at = 0.0
        self._footing = Footing(folder.parent, updater.reader.path)
        sweep(folder, self._files)

    def restore(self, name: str | None = None) -> Checkpoint | None:
        """Continue from the named checkpoint, or the newest whole one; None when there is none.

        Raises UnknownCheckpoint, NoValidCheckpoint, StorageError, and EngineError or KeyError when
        it is of another model or optimizer.
        """
        found = read_checkpoint(self.folder, name, self._files)
        if found is None:
            return None
        arrays = {**found.state, "params": join(self._network, found.weights)}
        updater, facts = self._updater, found.facts
        before = updater.learner.get_state()
        try:
            updater.learner.set_state(arrays, facts["learner"])
        except (EngineError, KeyError):
            updater.learner.set_state(*before)  # never half of one state and half of another
            raise
        updater.progress = Progress(*facts["progress"])
        updater.frozen, updater.diverged = facts["frozen"], facts["diverged"]
        self._saved_rows = min(facts["counters"]["head"], updater.reader.head)
        self.last = StoredCheckpoint(found.name, found.step, None)
        self.good = self._newest_good(found)
        return found

    def save(self, *, kept: bool = False) -> StoredCheckpoint:
        """Write a checkpoint; return once it is on disk.

        Raises StorageError, also for a state that is not finite: learning is paused then.
        """
        began = time.monotonic()
        try:
            saved = self._save(kept)
        except (StorageError, TrainingDiverged) as error:
            self.degraded = True
            now = time.monotonic()
            pause = max(_FIRST_RETRY_S, _RETRY_SHARE * (now - began))
            self._retry_at = now + min(pause, _LAST_RETRY_S)
            if isinstance(error, TrainingDiverged):
                self._updater.diverged = True
                raise StorageError(f"{error}; learning is paused") from error
            raise
        return_free_memory()  # a checkpoint is made of copies of all that the learner holds
        self.degraded = False
        self._written = time.monotonic()
        self.last = saved
        updater = self._updater
        if not updater.diverged and updater.learner.skipped_in_row == 0:
            self.good = saved.name
        return saved

    def stop_at(self) -> int | None:
        """Return the number of updates at which the next checkpoint falls, if it is by updates."""
        every = self.config.checkpoint.every_updates
        return None if every is None else (self._updater.learner.updates // every + 1) * every

    def wanted(self) -> bool:
        """Whether a checkpoint should be written now.

        By updates, by seconds, and, paced, before the rows since the last one leave the ring:
        only with them can a killed learner do the same updates again.
        """
        now, updates = time.monotonic(), self._updater.learner.updates
        if self.degraded:
            return now >= self._retry_at
        if updates == (0 if self.last is None else self.last.step):
            return False
        if self.last is None and now - self._written >= _FIRST_S:
            return True
        rules, reader = self.config.checkpoint, self._updater.reader
        if rules.every_updates is not None and updates % rules.every_updates == 0:
            return True
        if rules.every_seconds is not None and now - self._written >= rules.every_seconds:
            return True
        paced = self.config.pace.mode == "paced"
        return paced and self._updater.next_rows - self._saved_rows > reader.slack // 4

    def is_current(self) -> bool:
        """Whether the last checkpoint holds the present state."""
        return self.last is not None and self.last.step == self._updater.learner.updates

    def _newest_good(self, found: Checkpoint) -> str | None:
        """The name of ``found``, or of the newest before it that holds no diverged state."""
        names = list_checkpoints(self.folder, self._files)
        for name in names[names.index(found.name) :]:
            with contextlib.suppress(UnknownCheckpoint):
                each = found if name == found.name else read_checkpoint(self.folder, name)
                if each is not None and not each.facts["diverged"]:
                    return name
        return None

    def _save(self, kept: bool) -> StoredCheckpoint:
        self._footing.require()
        updater = self._updater
        counters = self._sync_rows()
        arrays, scalars = updater.learner.get_state()
        params: NDArray[Any] = arrays.pop("params")
        exploring = read_exploring(self.folder.parent)
        facts = checkpoint_facts(
            self.config, self.schema, scalars, updater.progress, counters, exploring
        )
        facts |= {"frozen": updater.frozen, "diverged": updater.diverged}
        step = updater.learner.updates
        weights = split(self._network, params)
        keep = self.config.checkpoint.keep
        name = write_checkpoint(
            self.folder, step, facts, weights, arrays, keep=keep, kept=kept, files=self._files
        )
        self._saved_rows = counters.head
        return StoredCheckpoint(name, step, counters)

    def _sync_rows(self) -> RingCounters:
        """Put the rows on disk; return the counters that are there for certain."""
        counters = self._updater.reader.counters
        try:
            self._updater.reader.sync()
        except OSError as error:
            raise StorageError(f"replay ring: {error.strerror}") from error
        return counters
