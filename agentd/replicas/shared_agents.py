"""All agents of a shared learner, by name: opened when the first replica joins, and their calls."""

import asyncio
import contextlib
import json
import logging
import time
from pathlib import Path
from typing import NamedTuple

from agentd import __version__
from agentd.assembly.device import backend_for
from agentd.config import (
    AgentConfig,
    ConfigError,
    agent_config_from_wire,
    dump_agent_config,
    load_agent_config,
)
from agentd.config.changes import apply_changes
from agentd.config.records import LimitsConfig
from agentd.engine.errors import EngineError
from agentd.errors import AgentdError, ExitCode, StorageError
from agentd.protocol.errors import ProtocolError
from agentd.protocol.schema import Schema
from agentd.replicas.calls import CallRefused, NotJoined, Values, answer_of
from agentd.replicas.settings import require_shareable
from agentd.replicas.shared_agent import SharedAgent
from agentd.store import (
    DirectoryLock,
    checkpoint_files,
    keep_checkpoint,
    keep_dt_ms,
    list_checkpoints,
    write_file,
)

log = logging.getLogger("agentd.replicas")

GATHER_S = 1.0
"""Without a checkpoint of its own an agent waits so long for the newest that a replica has."""
_GIVE_S = 20.0
"""How long a replica may take to give the checkpoint that it was asked for."""
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


class _Offer(NamedTuple):
    """The newest checkpoint of a replica: its name, and who has it."""

    step: int
    checkpoint: str
    replica: str


class _Beginning:
    """An agent that replicas have asked for and that is not open yet."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.offers: dict[str, _Offer] = {}

    def best(self) -> _Offer | None:
        """The newest checkpoint that was offered."""
        return max(self.offers.values(), default=None)


class SharedAgents:
    """The shared learner as one object: `call` is all that a transport needs. A context manager.

    Everything runs in one event loop; a call that waits keeps no other one from its answer.
    """

    def __init__(self, data_dir: Path, device: str = "cpu") -> None:
        """Agents live in ``data_dir``/agents, as those of a daemon."""
        self._root, self._device = data_dir / "agents", device
        self._limits = LimitsConfig()
        self._agents: dict[str, SharedAgent] = {}
        self._beginning: dict[str, _Beginning] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self._root}: {error.strerror}") from error
        self._lock = DirectoryLock(data_dir / "lock", f"data directory {data_dir}")
        self._lock.acquire(5.0)
        backend_for(device)

    async def call(self, method: str, agent: str, arguments: Values) -> Values:
        """Answer one call of a relay; a fault is an answer too, see `calls.answer_of`."""
        try:
            return await self._answer(method, agent, arguments)
        except AgentdError as fault:
            return answer_of(fault)
        except (ConfigError, EngineError, ProtocolError) as fault:
            return answer_of(CallRefused(f"agent {agent}: {fault}", ExitCode.CONFIG))
        except (LookupError, TypeError, ValueError) as fault:
            log.exception("call %s agent=%s", method, agent)
            return answer_of(CallRefused(f"{method}: {fault!r}", ExitCode.PROTOCOL))

    async def close(self) -> None:
        """Save everything and let go of it."""
        for agent in self._agents.values():
            with contextlib.suppress(AgentdError):
                await agent.close()
        self._agents.clear()
        self._lock.release()

    async def _answer(self, method: str, name: str, said: Values) -> Values:
        if not 0 < len(name) <= 64 or not _NAME.issuperset(name) or name[0] in "._-":
            raise CallRefused(f"{name[:80]!r} is no name of an agent", ExitCode.PROTOCOL)
        folder = self._root / name
        if method == "join":
            return await self._join(name, said)
        if method == "give":
            return self._take_checkpoint(name, said)
        agent = self._agents.get(name)
        if agent is None:
            raise NotJoined
        if method == "checkpoint":
            files = await asyncio.to_thread(
                checkpoint_files, folder / "checkpoints", str(said["name"])
            )
            return {"files": files}
        if method not in ("push", "weights", "ask"):
            raise CallRefused(f"no call {method[:80]!r}", ExitCode.PROTOCOL)
        answer: Values = await getattr(agent, method)(said)
        return answer

    async def _join(self, name: str, said: Values) -> Values:
        if said["agentd"] != __version__:
            raise CallRefused(
                f"the replica runs agentd {said['agentd']}, the learner {__version__}",
                ExitCode.CONFIG,
                hint="all that share a learner run one version",
            )
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._agents:
                config = agent_config_from_wire(said["config"])
                require_shareable(config, name)
                if (answer := self._gather(name, said)) is not None:
                    return answer
                self._agents[name] = self._open(name, config, said)
                self._beginning.pop(name, None)
        return self._agents[name].join(said)

    def _gather(self, name: str, said: Values) -> Values | None:
        """Ask for the newest checkpoint where there is none here; None when all is there."""
        folder = self._root / name / "checkpoints"
        if list_checkpoints(folder):
            return None
        beginning = self._beginning.setdefault(name, _Beginning())
        if (offered := said.get("checkpoint")) is not None:
            step, replica = int(offered.split("-")[1]), str(said["replica"])
            beginning.offers[replica] = _Offer(step, offered, replica)
        waited, best = time.monotonic() - beginning.since, beginning.best()
        if waited < GATHER_S or (best and best.replica != said["replica"] and waited < _GIVE_S):
            return {"wait": 0.2}
        if best is None or waited >= _GIVE_S:
            return None
        return {"want": best.checkpoint} if best.replica == said["replica"] else {"wait": 0.2}

    def _take_checkpoint(self, name: str, said: Values) -> Values:
        """Keep a checkpoint that was asked for: the agent goes on from it."""
        beginning = self._beginning.get(name)
        wanted = None if beginning is None else beginning.best()
        if wanted is None or wanted.checkpoint != said["name"]:
            raise CallRefused("nobody asked for that checkpoint", ExitCode.PROTOCOL)
        keep_checkpoint(self._root / name / "checkpoints", said["name"], said["files"], keep=1)
        log.warning("agent=%s goes on from a replica's checkpoint %s", name, said["name"])
        return {}

    def _open(self, name: str, config: AgentConfig, said: Values) -> SharedAgent:
        folder, schema = self._root / name, Schema.from_wire(**said["schema"])
        path = folder / "config.yaml"
        if path.exists():
            config, _, left = apply_changes(load_agent_config(path), config)
            if left:
                raise CallRefused(f"agent {name} learns otherwise here: {left[0]}", ExitCode.CONFIG)
        write_file(path, dump_agent_config(config))
        if not (folder / "schema.json").exists():
            write_file(folder / "schema.json", json.dumps(schema.to_wire(), indent=1).encode())
        elif json.loads((folder / "schema.json").read_bytes()) != schema.to_wire():
            raise CallRefused(f"agent {name} has other games here", ExitCode.CONFIG)
        if (dt_ms := said.get("dt_ms")) is not None:
            keep_dt_ms(folder, float(dt_ms))
        return SharedAgent(folder, config, schema, self._device, self._limits)

    def kill(self) -> None:
        """Kill every learner process at once."""
        for agent in self._agents.values():
            agent.kill()
