"""What ``agentd export`` may be given: a run's folder, or an agent of a data directory."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from agentd.engine.quantization import quantize
from agentd.errors import MissingInput, UsageError
from agentd.export.build import Weights, agent_policy, network_policy
from agentd.export.graph import PolicyGraph
from agentd.memory.recorded import Recorded, read_recorded
from agentd.protocol.schema import Schema
from agentd.runs import Run, Snapshot
from agentd.server.agents.stored import StoredAgents
from agentd.store import read_checkpoint


@dataclass(frozen=True, eq=False)
class StoredPolicy:
    """A trained network as it was found, and what it computes."""

    policy: PolicyGraph
    network: Network
    flat: NDArray[np.float32]
    checkpoint: str
    updates: int
    folder: Path
    build: Callable[[Weights], PolicyGraph]
    agent: tuple[str, AgentConfig, Schema] | None = None

    def recorded(self) -> Recorded | None:
        """Rows that the agent was shown; None where there are none."""
        if self.agent is None:
            return None
        _, config, schema = self.agent
        return read_recorded(self.folder / "replay", format_of(config, schema))

    def rounded(self, rows: NDArray[Any] | None, *, ranges: bool = False) -> "StoredPolicy":
        """Return it with matrices in int8, fitted to inputs (n, ...) where there are any.

        With ``ranges``, which need some, what they are multiplied with is rounded too. Raises
        UsageError.
        """
        if rows is None and ranges:
            raise UsageError("--qdq: no rows are kept to take the ranges of inputs from")
        if rows is not None:
            rows = rows.reshape(len(rows), *self.network.input_shape)
        weights = quantize(self.network, self.flat, rows, ranges=ranges)
        return replace(self, policy=self.build(weights), flat=weights.flat)


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

    def build(weights: Weights) -> PolicyGraph:
        return network_policy(name, found.network, weights, found.normalizer, classes, facts)

    policy = build(found.weights)
    return StoredPolicy(policy, found.network, found.weights, found.name, 0, path, build)


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

    def build(weights: Weights) -> PolicyGraph:
        return agent_policy(name, config, schema, weights, facts, rows)

    policy, agent = build(flat), (name, config, schema)
    return StoredPolicy(policy, network, flat, label, updates, folder, build, agent)
