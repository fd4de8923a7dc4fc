"""``agentd check`` on a daemon's configuration: what its agents will take of memory and disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentd.assembly.budget import (
    AgentSize,
    OverBudget,
    check_memory,
    estimate,
    estimate_least,
    in_bytes,
    listed,
)
from agentd.cli.screen.terminal import Terminal
from agentd.config import AgentConfig, resolve
from agentd.config.records import ServerConfig
from agentd.server.agents.stored import StoredAgents

MODEL_KEYS = {"layers", "ls", "layers_cfg"}


def is_daemon_file(tree: Any) -> bool:
    """Whether the content of a YAML file is a daemon's configuration and no model."""
    known = set(ServerConfig.__struct_fields__)
    return isinstance(tree, dict) and not MODEL_KEYS & tree.keys() and bool(known & tree.keys())


def check_daemon(screen: Terminal, file: Path) -> None:
    """Check a daemon's configuration; tell each agent's estimate. Raises ConfigError."""
    config = resolve(file, {}, os.environ).config
    stored = StoredAgents(Path(config.data_dir) / "agents")
    lines, found, too_large = [f"{file} is sound"], {}, None
    for key, name, agent in _agents(config):
        try:
            budget, known = _estimate(stored, name, agent, config)
            if budget is not None:
                check_memory(budget, config.limits)
        except OverBudget as fault:
            too_large = too_large or OverBudget(
                *(fault.message,),
                file=str(file),
                key=f"{key}.{fault.key}",
                expected=fault.expected,
                got=fault.got,
                hint=fault.hint,
            )
            continue
        lines.append(f"  {key}: {_sizes(budget, known)}")
        if budget is not None:
            sums = {"memory_bytes": sum(budget.memory.values())}
            sums["disk_bytes"] = sum(budget.disk.values())
            found[key] = {"parameters": budget.parameters, **sums, "at_least": not known}
    if too_large is not None:
        raise too_large
    screen.report({"file": str(file), "agents": found}, "\n".join(lines))


def _agents(config: ServerConfig) -> Iterator[tuple[str, str | None, AgentConfig]]:
    """Key in the file, name if it has one, and configuration of every agent."""
    yield "agent", None, config.agent
    for name, agent in config.agents.items():
        yield f"agents.{name}", name, agent


def _estimate(
    stored: StoredAgents, name: str | None, agent: AgentConfig, config: ServerConfig
) -> tuple[AgentSize | None, bool]:
    """What an agent takes, and whether that is for the game it is bound to."""
    schema = stored.schema(name) if name is not None else None
    if schema is not None:
        return estimate(agent, schema, config.limits), True
    return estimate_least(agent, config.limits), False


def _sizes(budget: AgentSize | None, known: bool) -> str:
    if budget is None:
        return "what it takes follows from its game"
    least = "" if known else "at least "
    memory, disk = sum(budget.memory.values()), sum(budget.disk.values())
    return (
        f"{budget.parameters:,} parameters, {least}{in_bytes(memory)} of memory "
        f"({listed(budget.memory)}), {least}{in_bytes(disk)} of disk ({listed(budget.disk)})"
    )
