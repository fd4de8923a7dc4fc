"""The learner process: rows in, weights out, checkpoints, and commands in between.

It ends at once when stdin ends, and otherwise only at the command ``stop``: SIGINT and SIGTERM are
for the daemon to answer. It never spins: with nothing to do it sleeps on stdin, having written into
shared memory at which row count it wants to be woken.
"""

import contextlib
import json
import logging
import signal
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from agentd.assembly.device import backend_for
from agentd.assembly.learner import learner_for
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.children import start_s
from agentd.config import AgentConfig, ConfigError, load_agent_config
from agentd.engine.errors import EngineError
from agentd.engine.learners.descent import ONLINE
from agentd.engine.learners.dqn_config import NOMINAL_DT_S
from agentd.engine.replay.rows import ReplayError
from agentd.errors import AgentdError, ExitCode, StorageError
from agentd.learner.checkpoints import Saver, StoredCheckpoint
from agentd.learner.control import Control, HungUp
from agentd.learner.heart import Heart
from agentd.learner.pace import NO_DUE
from agentd.learner.priority import SpareTime
from agentd.learner.updater import Progress, updater_for
from agentd.memory.ring_reader import open_reader
from agentd.memory.weight_board import Publication, WeightBoard
from agentd.protocol.schema import Schema
from agentd.store import DirectoryLock, UnknownCheckpoint, is_frozen, read_dt_ms

log = logging.getLogger(__name__)

_SLICE_S = 0.02
"""Longest that a command or the checkpoint's clock waits for updates."""
_NAP_S = 0.25
"""Longest sleep: how soon a lost notification is made up for."""
_STATS_EVERY_S = 0.1
_PUBLISH_EVERY_S = 0.005
"""A learner that is behind (free) publishes no more often than this."""
_PREDECESSOR_S = 10.0


def run(agent_dir: Path, device: str = "cpu") -> int:
    """Learn for the agent in ``agent_dir`` until told to stop; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    control = Control.on_standard_streams()
    try:
        lock = DirectoryLock(agent_dir / "learner.lock", f"agent {agent_dir.name}")
        lock.acquire(_PREDECESSOR_S)
        with lock:
            return _learn(agent_dir, device, control)
    except HungUp:
        return ExitCode.OK
    except (AgentdError, ConfigError, EngineError, ReplayError) as error:
        code = error.exit_code if isinstance(error, AgentdError) else ExitCode.CONFIG
        log.error("learner failed agent=%s error=%r", agent_dir.name, str(error))
        with contextlib.suppress(HungUp):
            control.send("failed", message=str(error), code=int(code))
        return code


def _learn(agent_dir: Path, device: str, control: Control) -> int:
    config = load_agent_config(agent_dir / "config.yaml")
    schema = read_schema(agent_dir / "schema.json")
    process = LearnerProcess(agent_dir, config, schema, device, control)
    process.begin()
    try:
        return process.loop()
    except HungUp:
        process.leave()
        raise


def read_schema(path: Path) -> Schema:
    """Read an agent's stored schema. Raises StorageError when it is not there or no schema."""
    try:
        wire = json.loads(path.read_bytes())
        return Schema.from_wire(wire["observation"], wire["action"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: {error}") from error


class LearnerProcess:
    """One agent's learner with its board, its checkpoints and its pipes."""

    def __init__(
        self, agent_dir: Path, config: AgentConfig, schema: Schema, device: str, control: Control
    ) -> None:
        """Open everything. Raises StorageError, ModelError, ShapeError, WeightsError."""
        network = network_for(config, schema)
        format, replay = format_of(config, schema), agent_dir / "replay"
        backend = backend_for(device, rowwise=bool(network.memory))
        dt_ms = read_dt_ms(agent_dir)
        dt_s = NOMINAL_DT_S if dt_ms is None else dt_ms / 1e3
        self._learner = learner_for(config, network, backend, format, dt_s)
        reader = open_reader(replay, format, taught=config.learner == "supervised")
        self._reader, self._backend, self._control = reader, backend, control
        self._depth = format.depth
        self._updater = updater_for(self._learner, reader, config)
        self._free = config.pace.mode != "paced"
        self._spare_time = SpareTime() if self._free and device == "cpu" else None
        self._board = WeightBoard.open(replay / "weights.board", network.n_params, writable=True)
        self._heart = Heart(self._board, start_s(device))
        self._saver = Saver(agent_dir / "checkpoints", config, schema, network, self._updater)
        self._published = self._posted = self._rated = time.monotonic()
        self._rated_updates = 0
        self._notified_for: int | None = None

    def begin(self) -> None:
        """Continue from the newest checkpoint, or from the board where that has newer weights.

        Weights that were published are never replaced by older ones.
        """
        found = self._saver.restore()
        updater = self._updater
        updater.frozen |= is_frozen(self._saver.folder.parent)
        behind = updater.progress.due > updater.pace.reached(self._reader.head)
        adopted, newest = self._adopt_board(behind), self._board.newest
        if behind:  # the rows of before are lost: there is nothing to wait for
            updater.jump()
            self._publish_afresh()
        elif newest is None or newest.due < updater.progress.due:
            self._publish()
        self._rated_updates = self._learner.updates
        self._post_stats(force=True)
        notes = [f"checkpoint {n} is damaged: {why}" for n, why in found.skipped] if found else []
        if adopted:
            source = "no checkpoint" if found is None else f"checkpoint {found.name}"
            optimizer = "a new optimizer" if found is None else "its optimizer"
            notes.append(f"{source}, but weights of version {adopted}: they go on with {optimizer}")
        if behind:
            notes.append("the ring is younger than the checkpoint; learning goes on from now")
        if self._depth > 1 and self._backend.holds(0):
            notes.append("inputs of several rows or actions are put together by the host")
        self._heart.beat()  # from here on a sign of life is wanted more often than during the start
        self._control.send(
            "ready",
            checkpoint=None if found is None else found.name,
            step=self._learner.updates,
            due=updater.progress.due,
            **self._flags(),
            **({"note": "; ".join(notes)} if notes else {}),
        )

    def _adopt_board(self, behind: bool) -> int:
        """Go on with the board's weights where they are newer and cannot be made again.

        A paced learner makes them again, bit for bit, from a checkpoint and the rows since; where
        these are lost (``behind``, or overwritten), and in a free one, what was published counts.
        Return the version that was adopted, 0 for none.
        """
        learner, updater = self._learner, self._updater
        newest = self._board.newest
        if newest is None or newest.version <= learner.updates:
            return 0
        whole = not behind and self._reader.window(updater.next_rows)[1]
        if whole and not self._free:
            return 0
        arrays, scalars = learner.get_state()
        found = self._board.read_into(arrays["params"])
        if found is None or not np.isfinite(arrays["params"]).all():
            return 0
        for name in ("target", ONLINE):
            if name in arrays:
                arrays[name] = arrays["params"].copy()
        learner.set_state(arrays, {**scalars, "updates": found.version})
        updater.progress = Progress(max(updater.progress.due, found.due))
        return found.version

    def loop(self) -> int:
        """Learn and obey until told to stop; return the exit code. Raises HungUp."""
        while self.turn(self._control.receive(self.pause_s())):
            pass
        return ExitCode.OK

    def pause_s(self) -> float:
        """Show a sign of life; return for how long a command may be waited for, in seconds."""
        self._heart.beat()
        return 0.0 if self._updater.ready() else self._nap()

    def turn(self, command: Mapping[str, Any] | None) -> bool:
        """Obey a command, or learn a little where there is none; return whether to go on."""
        self._board.wake_at = 0
        if command is not None:
            if not self._execute(command):
                return False
        elif self._updater.ready():
            self._train()
        if self._saver.wanted():
            self._save_quietly()
        self._post_stats()
        return True

    def _train(self) -> None:
        updater, spare = self._updater, self._spare_time
        with self._heart.updating():
            learn = partial(updater.advance, time.monotonic() + _SLICE_S, self._saver.stop_at())
            done = learn() if spare is None else spare.run(learn)
        if updater.diverged:
            note = f"learning paused after {self._learner.skipped_in_row} non-finite updates"
            log.error("learner diverged agent=%s %s", self._saver.folder.parent.name, note)
            self._control.send("state", note=note, **self._flags())
        elif done and self._worth_publishing():
            self._publish()

    def _worth_publishing(self) -> bool:
        """Whether anyone can ask for the weights as they are now.

        The server needs the last due point reached or the one before. Weights that it has seen
        already (before this process was started) are not published again.
        """
        newest, due = self._board.newest, self._updater.progress.due
        backlog = self._updater.backlog()
        if self._free:
            if newest is not None and newest.version >= self._learner.updates:
                return False
            return backlog == 0 or time.monotonic() - self._published > _PUBLISH_EVERY_S
        return backlog <= 1 and (newest is None or newest.due < due)

    def _publish_afresh(self) -> None:
        """Publish as the last due point and the one before: no older weights are left to read."""
        due = self._updater.progress.due
        self._publish(max(NO_DUE, due - 1))
        self._publish(due)

    def _publish(self, due: int | None = None) -> None:
        """Publish the weights as those of ``due``, or of the last due point."""
        due = self._updater.progress.due if due is None else due
        params = self._backend.to_host(self._learner.params)
        self._board.publish(params, Publication(due, self._learner.updates))
        self._published = time.monotonic()
        awaited = self._reader.awaited
        if awaited is not None and awaited <= due and awaited != self._notified_for:
            self._notified_for = awaited  # once for each wait: the word may stay set afterwards
            self._control.notify()

    def _nap(self) -> float:
        """Ask to be woken by rows; return for how long to sleep, 0 when they are there already."""
        if self._updater.paused:
            return _NAP_S
        self._board.wake_at = self._updater.next_rows
        return 0.0 if self._updater.ready() else _NAP_S

    def _execute(self, command: Mapping[str, Any]) -> bool:
        """Carry out one command of the server and answer it; return whether to go on."""
        do, number = command["do"], command["id"]
        try:
            match do:
                case "save":
                    self._answer_saved(number, self._save(kept=bool(command.get("kept", True))))
                case "load":
                    self._load(number, str(command["checkpoint"]))
                case "freeze":
                    self._freeze(number, on=bool(command["on"]))
                case "stop":
                    current = self._saver.last if self._saver.is_current() else None
                    if command["save"]:
                        self._answer_saved(number, current or self._save())
                    else:
                        self._control.send("stopped", id=number)
                    return False
        except StorageError as error:
            self._refuse(number, "STORAGE_FAILED", error)
            return bool(do != "stop")
        except (UnknownCheckpoint, EngineError, KeyError) as error:
            self._refuse(number, "UNKNOWN_CHECKPOINT", error)
        return True

    def _load(self, number: int, name: str) -> None:
        """Go on from a checkpoint, which becomes the newest by being saved again."""
        frozen = self._updater.frozen
        with self._heart.on_disk():
            self._saver.restore(name)
        self._updater.frozen = frozen
        self._updater.resume()
        self._publish_afresh()
        self._save_quietly()
        self._control.send(
            "loaded", id=number, checkpoint=name, step=self._learner.updates, **self._flags()
        )

    def _freeze(self, number: int, *, on: bool) -> None:
        """Switch learning off or on; kept across restarts, or refused with nothing changed."""
        updater = self._updater
        before = (updater.frozen, updater.diverged, updater.progress)
        updater.frozen = on
        if not on:
            updater.resume()
        try:
            self._save()
        except StorageError:
            updater.frozen, updater.diverged, updater.progress = before
            raise
        if not on:
            self._publish_afresh()
        self._control.send("frozen" if on else "thawed", id=number, **self._flags())

    def _save(self, *, kept: bool = False) -> StoredCheckpoint:
        with self._heart.on_disk():
            saved = self._saver.save(kept=kept)
        self._post_stats(force=True)
        return saved

    def leave(self) -> None:
        """Keep what was learned although nobody is left to ask for it: the server was killed."""
        with contextlib.suppress(HungUp):
            self._save_quietly()

    def _save_quietly(self) -> None:
        """Write an automatic checkpoint; a disk that refuses stops nothing, and is told once."""
        known = self._saver.degraded
        try:
            self._answer_saved(0, self._save())
        except StorageError as error:
            if not known:
                log.error("checkpoint failed agent=%s %s", self._saver.folder.parent.name, error)
                self._control.send("state", note=f"no checkpoint: {error}", **self._flags())

    def _answer_saved(self, number: int, saved: StoredCheckpoint) -> None:
        self._control.send(
            "saved",
            id=number,
            checkpoint=saved.name,
            step=saved.step,
            counters=None if saved.counters is None else list(saved.counters),
            **self._flags(),
        )

    def _refuse(self, number: int, code: str, error: Exception) -> None:
        answer = {"code": code, "message": str(error), "hint": getattr(error, "hint", None)}
        self._control.send("refused", id=number, **answer, **self._flags())

    def _flags(self) -> dict[str, bool | str | None]:
        updater = self._updater
        return {
            "frozen": updater.frozen,
            "diverged": updater.diverged,
            "degraded": self._saver.degraded,
            "good": self._saver.good,
        }

    def _post_stats(self, *, force: bool = False) -> None:
        """Put the statistics on the board, every now and then."""
        now = time.monotonic()
        if now - self._posted < _STATS_EVERY_S and not force:
            return
        self._posted = now
        figures = self._updater.stats()
        if now - self._rated >= 1.0:
            updates = self._learner.updates
            figures["updates_per_second"] = (updates - self._rated_updates) / (now - self._rated)
            self._rated, self._rated_updates = now, updates
        last = self._saver.last
        figures["checkpoint_step"] = last.step if last is not None else float("nan")
        figures["storage_degraded"] = float(self._saver.degraded)
        self._board.set_stats(figures)
