"""The relay: what stands in a learner's place where the learner is shared.

Towards the daemon it is a learner: it obeys the pipes, beats on the board, publishes weights there.
Two threads speak with the shared learner, one for rows and one for weights; while it is away both
ask again and again, the rows wait in the ring, and the games are played with the last weights.
"""

import argparse
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agentd import __version__
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.config import AgentConfig, load_agent_config, plain
from agentd.errors import AgentdError, ExitCode
from agentd.learner.control import Control, HungUp
from agentd.learner.priority import be_nice, yield_to_others
from agentd.learner.process import read_schema
from agentd.memory.mapped_file import RingCounters
from agentd.memory.ring_reader import open_reader
from agentd.memory.weight_board import Publication, WeightBoard
from agentd.replicas.calls import Call, CallRefused, LearnerAway, NotJoined, Values
from agentd.replicas.identity import keep_number, read_identity
from agentd.replicas.settings import require_shareable, weights_every_s
from agentd.replicas.shipping import Shipper
from agentd.replicas.source import RowSource
from agentd.store import (
    DirectoryLock,
    UnknownCheckpoint,
    checkpoint_files,
    keep_checkpoint,
    list_checkpoints,
    read_dt_ms,
)

log = logging.getLogger("agentd.replicas")

_NAP_S = 0.25
_AGAIN_S = 0.2
"""How soon a learner that is away is asked again."""
_LAST_ROWS_S = 3.0
"""What the last rows may take when the daemon ends."""
_ASK_S = 60.0
_FIRST_S = 3.0


class Relay:
    """One agent's relay. ``dial`` opens a way to the shared learner, one for each thread."""

    def __init__(
        self,
        agent_dir: Path,
        control: Control,
        dial: Callable[[], Call],
        rows_every_s: float,
        weights_s: float | None,
    ) -> None:
        """Open the agent's files. Raises StorageError, ConfigError, ModelError."""
        self._folder, self._name = agent_dir, agent_dir.name
        self._control, self._dial = control, dial
        self._config: AgentConfig = load_agent_config(agent_dir / "config.yaml")
        require_shareable(self._config, self._name)
        schema = read_schema(agent_dir / "schema.json")
        format, network = format_of(self._config, schema), network_for(self._config, schema)
        taught = self._config.learner == "supervised"
        self._reader = open_reader(agent_dir / "replay", format, taught=taught)
        self._board = WeightBoard.open(
            agent_dir / "replay/weights.board", network.n_params, writable=True
        )
        self._board.patience_s = 0.0
        most = max(16, self._reader.slack // 2)
        self._shipper = Shipper(RowSource(self._reader), most, schema.row_bytes)
        self._rows_every_s = rows_every_s
        self._weights_every_s = weights_every_s(weights_s, network.n_params)
        self._schema = schema.to_wire()
        self._state: Values = {}
        self._said: Values = {}
        self._whoami: Values = {}  # empty: not joined
        self._fault: AgentdError | None = None  # nothing will come of this any more
        self._away = ""  # why the learner does not answer
        self._begin_at: int | None = None  # where the thread that sends rows is to go on
        self._mutex = threading.Lock()
        self._joining, self._mirroring = threading.Lock(), threading.Lock()
        self._rows_came, self._ending = threading.Event(), threading.Event()
        self._answers: list[Values] = []
        self._saved = next(iter(list_checkpoints(agent_dir / "checkpoints")), None)
        self._version: list[int] | None = None
        self._synced: RingCounters | None = None  # rows that this process put on the disk

    # -- the main thread: what the daemon sees ---------------------------------------------------

    def loop(self) -> int:
        """Relay until told to stop; return the exit code. Raises HungUp, AgentdError."""
        threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._ship_rows, self._bring_weights)
        ]
        for thread in threads:
            thread.start()
        self._await_learner()
        self._control.send("ready", **self._flags())
        while True:
            self._board.beats += 1
            if self._fault is not None:
                raise self._fault
            self._board.wake_at = 0 if self._rows_came.is_set() else self._reader.head + 1
            command = self._control.receive(min(_NAP_S, self._weights_every_s))
            if self._reader.head >= self._board.wake_at > 0:
                self._rows_came.set()
            self._board.wake_at = 0
            self._tell()
            if command is not None:
                if command["do"] == "stop":
                    return self._stop(command)
                threading.Thread(target=self._execute, args=(command,), daemon=True).start()

    def _await_learner(self) -> None:
        """Give the learner a moment, so that an orderly start is no trouble that is told."""
        until = time.monotonic() + _FIRST_S
        while not self._whoami and self._fault is None and time.monotonic() < until:
            self._board.beats += 1
            time.sleep(0.02)

    def _tell(self) -> None:
        """Say what has changed: answers, how the learner is, what the others have played."""
        with self._mutex:
            answers, self._answers = self._answers, []
        for answer in answers:
            self._control.send(**answer)
        flags, shared = self._flags(), self._shared()
        if flags != self._said.get("flags"):
            note = {"note": flags.pop("words")} if flags["words"] else {}
            self._control.send("state", **flags, **note)
            self._said["flags"] = self._flags()
        if shared != self._said.get("shared") and self._whoami:
            self._control.send("shared", **shared)
            self._said["shared"] = shared

    def _flags(self) -> Values:
        """The learner's flags; ``degraded`` also while it is away."""
        flags = {"frozen": False, "diverged": False, "degraded": False, "good": None}
        flags |= self._state.get("flags", {})
        words = ""
        if self._away:
            flags["degraded"], words = True, f"{self._away}; rows wait in the ring"
        elif self._state.get("failure"):
            flags["degraded"], words = True, f"the shared learner: {self._state['failure']}"
        elif why := self._state.get("why"):
            words = "; ".join(str(each) for each in why.values())
        return flags | {"words": words}

    def _shared(self) -> Values:
        return {
            "env_steps": int(self._state.get("elsewhere", 0)),
            "replica": self._whoami.get("number", 0),
            "replicas": int(self._state.get("replicas", 0)),
            "relay_lost_rows": self._shipper.lost,
        }

    def _stop(self, command: Mapping[str, Any]) -> int:
        """Send the last rows, fetch the last checkpoint, and end."""
        number = command["id"]
        self._ending.set()
        self._rows_came.set()
        self._sync()
        until = time.monotonic() + _LAST_ROWS_S
        while self._whoami and self._behind() and time.monotonic() < until:
            self._board.beats += 1
            time.sleep(0.01)
        if command["save"] and self._saved is None and self._whoami:
            self._execute({"do": "save", "id": number, "kept": False}, _LAST_ROWS_S)
        if not command["save"]:
            self._control.send("stopped", id=number)
        elif self._saved is None:
            why = self._away or "it has none yet"
            message = f"no checkpoint has come from the shared learner: {why}"
            self._control.send("refused", id=number, code="STORAGE_FAILED", message=message)
        else:
            self._control.send("saved", **self._saved_facts(number))
        return ExitCode.OK

    def _behind(self) -> bool:
        return self._shipper.at < self._reader.head

    # -- the threads -----------------------------------------------------------------------------

    def _guarded(self, work: Callable[[Call], float]) -> None:
        """Do ``work`` again and again, each time after as many seconds as it returned."""
        call = self._dial()
        while True:
            try:
                pause = work(call) if self._join(call) else _AGAIN_S
            except NotJoined:
                self._whoami, pause = {}, 0.0
            except LearnerAway as fault:
                self._away, self._whoami, pause = fault.message, {}, _AGAIN_S
            except AgentdError as fault:
                self._fault = fault
                return
            except Exception as fault:
                log.exception("relay agent=%s", self._name)
                self._fault = AgentdError(f"relay: {fault!r}")
                return
            time.sleep(pause)

    def _join(self, call: Call) -> bool:
        """Be known to the shared learner; False when that takes longer."""
        with self._joining:
            if self._whoami:
                return True
            who = read_identity(self._reader.path)
            said: Values = {
                "replica": who.name,
                "ring": who.ring,
                "agentd": __version__,
                "schema": self._schema,
                "config": plain(self._config),
                "dt_ms": read_dt_ms(self._folder),
                "checkpoint": next(iter(list_checkpoints(self._folder / "checkpoints")), None),
            }
            answer = call("join", self._name, said)
            if (wanted := answer.get("want")) is not None:
                self._give(call, str(wanted))
                return False
            if "taken" not in answer:
                return False
            if answer["taken"] > self._reader.head:  # power was lost: other rows have these numbers
                read_identity(self._reader.path, anew=True)
                return False
            keep_number(self._reader.path, who, int(answer["number"]))
            self._begin_at = int(answer["taken"])
            known = {key: answer[key] for key in ("serial", "number")}
            self._whoami = {"replica": who.name, **known}
            self._version = None
            self._away = ""
            self._rows_came.set()
            return True

    def _give(self, call: Call, name: str) -> None:
        try:
            files = checkpoint_files(self._folder / "checkpoints", name)
        except UnknownCheckpoint:  # pruned meanwhile: the next join names another one
            return
        call("give", self._name, {"name": name, "files": files}, _ASK_S)

    def _ship_rows(self, call: Call) -> float:
        self._rows_came.wait(_NAP_S)
        began = time.monotonic()
        with self._joining:
            begin_at, self._begin_at = self._begin_at, None
        if begin_at is not None:
            self._shipper.begin(begin_at)
        if not self._shipper.ship(call, self._name, self._whoami):
            self._rows_came.clear()
        if self._ending.is_set():
            return 0.001
        return max(0.0, self._rows_every_s - (time.monotonic() - began))

    def _bring_weights(self, call: Call) -> float:
        began = time.monotonic()
        said = self._whoami | {"version": self._version, "wait_s": _NAP_S}
        answer = call("weights", self._name, said | {"env_steps": self._reader.counters.env_steps})
        self._publish(answer)
        saved = answer.get("saved")
        if saved is not None and saved != self._saved:
            self._mirror(call, str(saved))
        return max(0.0, self._weights_every_s - (time.monotonic() - began))

    def _publish(self, answer: Values) -> None:
        params, version = answer.pop("params", None), answer.pop("version", None)
        self._state = answer
        figures = answer.get("stats", {})
        if params is None or version is None:
            self._board.set_stats(figures)
            return
        publication = Publication(*version)
        if publication != self._board.newest:
            self._board.publish(np.frombuffer(params, np.float32), publication)
        self._board.set_stats(figures)
        self._version = version

    def _mirror(self, call: Call, name: str) -> None:
        """Keep the learner's newest checkpoint here too: its machine may be lost."""
        try:
            with self._mirroring:  # both threads may have heard of it
                if name == self._saved:
                    return
                files = call("checkpoint", self._name, {"name": name}, _ASK_S)["files"]
                keep = self._config.checkpoint.keep
                keep_checkpoint(self._folder / "checkpoints", name, files, keep)
                self._saved = name
        except (UnknownCheckpoint, CallRefused) as fault:  # pruned meanwhile: a newer one comes
            log.info("checkpoint %s did not come: %s", name, fault)

    def _execute(self, command: Mapping[str, Any], within_s: float = _ASK_S) -> None:
        """Pass a command on and have its answer told."""
        number, do = command["id"], command["do"]
        call = self._dial()
        try:
            if not self._whoami:
                raise LearnerAway(self._away or "the shared learner has not answered yet")
            said = self._whoami | {key: value for key, value in command.items() if key != "id"}
            self._state = self._state | call("ask", self._name, said, within_s)
            if do in ("save", "load"):
                self._sync()
                self._mirror(call, str(self._state["saved"]))
            answer = self._answer(do, command)
        except AgentdError as fault:
            answer = {"event": "refused", "id": number, "code": "STORAGE_FAILED"}
            answer |= {"message": fault.message, "hint": fault.hint, **self._flags()}
        with self._mutex:
            self._answers.append(answer)

    def _answer(self, do: str, command: Mapping[str, Any]) -> Values:
        number, flags = command["id"], self._flags()
        if do == "freeze":
            return {"event": "frozen" if command["on"] else "thawed", "id": number, **flags}
        if do == "save":
            return {"event": "saved", **self._saved_facts(number)}
        return {"event": "loaded", **self._saved_facts(number)}

    def _saved_facts(self, number: int) -> Values:
        name = str(self._saved)
        facts = {"id": number, "checkpoint": name, "step": int(name.split("-")[1])}
        synced = None if self._synced is None else list(self._synced)
        return {**facts, "counters": synced, **self._flags()}

    def _sync(self) -> None:
        """Put the rows on disk, and remember which are there for certain."""
        counters = self._reader.counters
        self._reader.sync()
        self._synced = counters


def take_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that a daemon starts every relay with, whatever carries its calls."""
    parser.add_argument("--learner", required=True, metavar="ADDRESS")
    parser.add_argument("--rows-every", type=float, default=0.05)
    parser.add_argument("--weights-every", type=float)
    parser.add_argument("--agent-dir", type=Path, required=True)
    parser.add_argument("--device", default="cpu")


def open_control() -> Control:
    """Take the pipes of the daemon; signals are for the daemon to answer."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    return Control.on_standard_streams()


def run(
    agent_dir: Path,
    dial: Callable[[], Call],
    rows_every_s: float,
    weights_s: float | None,
    control: Control,
) -> int:
    """Relay for the agent in ``agent_dir`` until told to stop; return the exit code.

    From here on this process has a low priority: no game waits for a relay.
    """
    be_nice()
    yield_to_others()
    try:
        lock = DirectoryLock(agent_dir / "learner.lock", f"agent {agent_dir.name}")
        lock.acquire(10.0)
        with lock:
            return Relay(agent_dir, control, dial, rows_every_s, weights_s).loop()
    except HungUp:
        return ExitCode.OK
    except (AgentdError, ValueError) as error:
        code = error.exit_code if isinstance(error, AgentdError) else ExitCode.CONFIG
        log.error("relay failed agent=%s error=%r", agent_dir.name, str(error))
        with contextlib.suppress(HungUp):
            control.send("failed", message=str(error), code=int(code))
        return code
