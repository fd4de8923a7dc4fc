"""What ``agentd export`` may be given: a run's folder, or an agent of a data directory."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd import __version__
from agentd.assembly.network import network_for
from agentd.assembly.rows import format_of
from agentd.assembly.weights import initial_weights
from agentd.config import AgentConfig, default_data_dir
from agentd.engine.network import Network
from agentd.engine.network.weights import join
from agentd.errors import MissingInput, UsageError
from agentd.export.build import agent_policy, network_policy
from agentd.export.graph import PolicyGraph
from agentd.memory.mapped_file import RingDamaged
from agentd.memory.ring_reader import ROWS, ReplayRingReader
from agentd.protocol.schema import Schema
from agentd.runs import Run, Snapshot
from agentd.server.agents.stored import StoredAgents
from agentd.store import read_checkpoint

_MOST_RECORDED = 50_000


@dataclass(frozen=True, eq=False)
class StoredPolicy:
    """A trained network as it was found, and what it computes."""

    policy: PolicyGraph
    network: Network
    flat: NDArray[np.float32]
    checkpoint: str
    updates: int
    folder: Path
    agent: tuple[str, AgentConfig, Schema] | None = None

    def recorded(self) -> NDArray[np.uint8] | None:
        """Raw rows that the agent was shown, (n, row_bytes); None where there are none."""
        if self.agent is None or not (self.folder / "replay" / ROWS).is_file():
            return None
        try:
            _, config, schema = self.agent
            reader = ReplayRingReader(self.folder / "replay" / ROWS, format_of(config, schema))
        except RingDamaged:
            return None
        head = reader.head
        low, _ = reader.window(head)
        rows = np.arange(max(low, head - _MOST_RECORDED), head)
        return np.array(reader.rows(head).obs[rows % (reader.capacity + reader.slack)])


def run_policy(path: Path, found: Snapshot) -> StoredPolicy:
    """Return a supervised run's network."""
    classes = found.network.output_shape[0] if found.is_class else 0
    facts: dict[str, Any] = {
        "agentd": __version__,
        "run": path.resolve().name,
        "checkpoint": found.name,
    }
    if classes:
        facts |= {"action": {"kind": "discrete", "n": classes}, "action_names": list(found.names)}
    name = path.resolve().name
    given = name, found.network, found.weights, found.normalizer
    policy = network_policy(*given, classes, facts)
    return StoredPolicy(policy, found.network, found.weights, found.name, 0, path)


def is_run(path: Path) -> bool:
    """Whether a path is that of a supervised run's folder."""
    return Run(path).exists


def find_agent(given: str, data_dir: Path | None, names: tuple[str, ...] = ()) -> StoredPolicy:
    """Return the agent ``NAME``, ``NAME@CHECKPOINT``, or the one of a data directory's path.

    ``names`` are those of its actions. Raises MissingInput, UnknownCheckpoint, DamagedFile.
    """
    name, _, checkpoint = given.partition("@")
    root = data_dir or default_data_dir(os.environ)
    if (Path(name).expanduser() / "agents").is_dir():
        root, name = Path(name).expanduser(), ""
    stored = StoredAgents(root / "agents")
    known = stored.names() if (root / "agents").is_dir() else []
    if not name and len(known) == 1:
        name = known[0]
    if name not in known:
        hint = f"agents there: {', '.join(known)}" if known else "`agentd serve` keeps agents"
        said = f"no run in {given} and no agent {name!r} in {root}"
        raise MissingInput(said if name else f"{root} holds {len(known)} agents", hint=hint)
    config, schema = stored.config(name), stored.schema(name)
    if schema is None:
        raise MissingInput(f"agent {name!r} has met no game yet: nothing says what it sees")
    return _agent_policy(stored.folder(name), config, schema, checkpoint, names)


def _agent_policy(
    folder: Path, config: AgentConfig, schema: Schema, checkpoint: str, names: tuple[str, ...]
) -> StoredPolicy:
    name, network = folder.name, network_for(config, schema, acting=True)
    found = read_checkpoint(folder / "checkpoints", checkpoint or None)
    if found is None:
        flat, label, updates, rows = initial_weights(config, network), "", 0, 0
    else:
        flat, label, updates = join(network, found.weights), found.name, found.step
        rows = int(found.facts.get("counters", {}).get("env_steps", 0))
    facts: dict[str, Any] = {
        "agentd": __version__,
        "agent": name,
        "checkpoint": label,
        "updates": updates,
        "reward_scale": config.reward.scale,
    }
    if names:
        if len(names) != schema.n_actions:
            raise UsageError(f"--actions: want {schema.n_actions} names, got {len(names)}")
        facts["action_names"] = list(names)
    policy = agent_policy(name, config, schema, flat, facts, rows)
    return StoredPolicy(policy, network, flat, label, updates, folder, (name, config, schema))
