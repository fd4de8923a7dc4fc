"""Agents on disk: what lies where, and how it is read and written.

agents/<name>/config.yaml    how it learns; written at creation
agents/<name>/schema.json    what its games look like; bound by the first hello
agents/<name>/checkpoints/   durable weights and learner state
agents/<name>/replay/        rows and newest weights, memory-mapped
agents/<name>/frozen         there while an operator keeps it from learning
agents/<name>/timing.json    how long a row of its games takes, once one has said so
agents/<name>/exploring.json what an operator has said of its exploration
agents/.new-<name>/          an agent that is being made of another one, see `prepare`

What it means that one of them is missing or damaged: `agentd.server.agents.life`.
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path

from agentd.config import AgentConfig, ConfigError, dump_agent_config, load_agent_config
from agentd.errors import DamagedFile, StorageError
from agentd.memory.ring_reader import ROWS, TEACH, has_rows
from agentd.protocol.errors import ProtocolError
from agentd.protocol.schema import Schema
from agentd.store import Files, is_frozen, keep_dt_ms, list_checkpoints, set_frozen, write_file
from agentd.store.files import reach

CONFIG, SCHEMA = "config.yaml", "schema.json"
_DELETED, _NEW = ".deleted-", ".new-"


class StoredAgents:
    """The folder of all agents of a data directory. Every method may raise OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str) -> Path:
        """Where an agent is kept."""
        return self._root / name

    def make_root(self) -> None:
        """Create the folder of all agents; finish what was interrupted.

        A new agent whose predecessor is gone takes its place; any other one was not answered for.
        """
        Files().ensure_dir(self._root)
        for new in self._root.glob(f"{_NEW}*"):
            name = new.name.removeprefix(_NEW)
            if (self._root / f"{_DELETED}{name}").exists() and not (self._root / name).exists():
                new.rename(self._root / name)
            shutil.rmtree(new, ignore_errors=True)
        for left in self._root.glob(f"{_DELETED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def has(self, name: str) -> bool:
        """Whether there is an agent ``name``: configured, or with something that it has learned."""
        folder = self._root / name
        return (folder / CONFIG).exists() or _has_lived(folder)

    def names(self) -> list[str]:
        """The names of all agents, sorted."""
        found = (p.name for p in self._root.iterdir() if not p.name.startswith("."))
        return sorted(name for name in found if self.has(name))

    def learning(self) -> list[str]:
        """The names of agents that learn, sorted; not those whose configuration is damaged."""
        found = []
        for name in self.names() if self._root.is_dir() else []:
            with suppress(DamagedFile):
                found += [name] if self.config(name).learner != "none" else []
        return found

    def config(self, name: str) -> AgentConfig:
        """How an agent learns. Raises DamagedFile when no file holds a valid configuration."""
        if not (self._root / name / CONFIG).exists():
            raise _missing(self._root / name / CONFIG)
        try:
            return load_agent_config(self._root / name / CONFIG)
        except (ConfigError, UnicodeDecodeError) as fault:
            raise DamagedFile(f"{self._root / name / CONFIG}: {fault}") from fault

    def write_config(self, name: str, config: AgentConfig) -> None:
        """Create an agent, or change how it learns. Raises StorageError: nothing is made then."""
        folder = self._root / name
        if not self._root.is_dir():
            raise StorageError(f"{self._root} was removed while in use")
        is_new = not folder.exists()
        try:
            Files().ensure_dir(folder)
            write_file(folder / CONFIG, dump_agent_config(config))
        except (OSError, StorageError):
            if is_new:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    # -- made of another one -------------------------------------------------------------------

    def prepare(self, name: str, config: AgentConfig, schema: Schema) -> Path:
        """Begin to make an agent aside, where nobody sees it; its folder. Raises StorageError.

        It then takes its place by ``install``, or `discard` leaves nothing of it.
        """
        self.discard(name)
        self.write_config(f"{_NEW}{name}", config)
        self.bind(f"{_NEW}{name}", schema)
        return self._root / f"{_NEW}{name}"

    def install(self, name: str) -> None:
        """Let what was made aside be the agent ``name``, in place of any such; durable."""
        files, new, folder = Files(), self._root / f"{_NEW}{name}", self._root / name
        for each in (new, *(path for path in new.iterdir() if path.is_dir())):
            files.sync_dir(each)
        removed = self._root / f"{_DELETED}{name}"
        shutil.rmtree(removed, ignore_errors=True)
        if folder.exists():
            folder.rename(removed)
        reach("agent.removed")
        try:
            new.rename(folder)
        except OSError:
            if removed.exists():
                removed.rename(folder)
            raise
        files.sync_dir(self._root)
        shutil.rmtree(removed, ignore_errors=True)

    def discard(self, name: str) -> None:
        """Delete what was made aside, if anything."""
        shutil.rmtree(self._root / f"{_NEW}{name}", ignore_errors=True)

    # -- its files -----------------------------------------------------------------------------

    def schema(self, name: str) -> Schema | None:
        """The schema that an agent was bound to; None before its first hello.

        Raises DamagedFile when the file holds no schema, or is missing though games have played.
        """
        path = self._root / name / SCHEMA
        if not path.exists():
            if _has_lived(self._root / name):
                raise _missing(path)
            return None
        try:
            wire = json.loads(path.read_bytes())
            return Schema.from_wire(wire["observation"], wire["action"])
        except (ProtocolError, ValueError, LookupError, TypeError) as fault:
            raise DamagedFile(f"{path} holds no schema: {fault}") from fault

    def bind(self, name: str, schema: Schema) -> None:
        """Write an agent's schema unless it has one. Raises StorageError."""
        path = self._root / name / SCHEMA
        if not path.exists():
            text = json.dumps(schema.to_wire(), indent=1, sort_keys=True)
            write_file(path, text.encode())

    def keep_dt_ms(self, name: str, dt_ms: float) -> None:
        """Keep how long a row takes, in milliseconds, unless known. Raises StorageError."""
        keep_dt_ms(self._root / name, dt_ms)

    def is_frozen(self, name: str) -> bool:
        """Whether an operator keeps an agent from learning."""
        return is_frozen(self._root / name)

    def freeze(self, name: str, on: bool) -> None:
        """Keep an agent from learning, or let it again; durable. Raises StorageError."""
        set_frozen(self._root / name, on)

    def checkpoints(self, name: str) -> list[str]:
        """The names of an agent's checkpoints, newest first."""
        return list_checkpoints(self._root / name / "checkpoints")

    def forget_replay(self, name: str) -> None:
        """Delete the rows of an agent that was never bound: its creation has failed."""
        shutil.rmtree(self._root / name / "replay", ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete an agent's files; at once as others see it."""
        removed = self._root / f"{_DELETED}{name}"
        shutil.rmtree(removed, ignore_errors=True)
        (self._root / name).rename(removed)
        shutil.rmtree(removed)


def _has_lived(folder: Path) -> bool:
    """Whether an agent's folder holds what was learned: a checkpoint, or rows."""
    if list_checkpoints(folder / "checkpoints"):
        return True
    return any(has_rows(folder / "replay" / name) for name in (ROWS, TEACH))


def _missing(path: Path) -> DamagedFile:
    return DamagedFile(
        f"{path} is missing beside what the agent has learned: put it back, or delete the agent"
    )
