"""``agentd check`` on a daemon's file or a preset: what its agents will take of memory and disk."""

import os
from collections.abc import Iterable, Iterator
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
from agentd.config.presets import load_preset_file
from agentd.config.records import LimitsConfig, ServerConfig
from agentd.protocol.schema import Schema
from agentd.server.agents.stored import StoredAgents

MODEL_KEYS = {"layers", "ls", "layers_cfg"}
PRESET_KEYS = {"description", "play"}  # a daemon's file has `agent` too, but none of these


def is_daemon_file(tree: Any) -> bool:
    """Whether the content of a YAML file is a daemon's configuration and no model."""
    known = set(ServerConfig.__struct_fields__)
    return isinstance(tree, dict) and not MODEL_KEYS & tree.keys() and bool(known & tree.keys())


def is_preset_file(tree: Any) -> bool:
    """Whether the content of a YAML file is a preset: an agent and the game it is for."""
    return isinstance(tree, dict) and not MODEL_KEYS & tree.keys() and bool(PRESET_KEYS & set(tree))


def check_daemon(screen: Terminal, file: Path) -> None:
    """Check a daemon's configuration; tell each agent's estimate. Raises ConfigError."""
    config = resolve(file, {}, os.environ).config
    stored = StoredAgents(Path(config.data_dir) / "agents")
    sized = ((key, agent, _schema(stored, name)) for key, name, agent in _agents(config))
    _tell(screen, file, f"{file} is sound", sized, config.limits)


def check_preset(screen: Terminal, file: Path) -> None:
    """Check a preset; tell its agent's estimate. Raises ConfigError."""
    preset = load_preset_file(file)
    head = f"{file} is sound: a preset for {preset.play.game}"
    _tell(screen, file, head, [("agent", preset.agent, None)], LimitsConfig())


def _tell(
    screen: Terminal,
    file: Path,
    head: str,
    agents: Iterable[tuple[str, AgentConfig, Schema | None]],
    limits: LimitsConfig,
) -> None:
    """Tell the estimate of each (key in the file, agent, its schema where it has one)."""
    lines, found, too_large = [head], {}, None
    for key, agent, schema in agents:
        known = schema is not None
        try:
            budget = estimate(agent, schema, limits) if schema else estimate_least(agent, limits)
            if budget is not None:
                check_memory(budget, limits)
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


def _schema(stored: StoredAgents, name: str | None) -> Schema | None:
    """What a stored agent is bound to."""
    return stored.schema(name) if name is not None else None


def _sizes(budget: AgentSize | None, known: bool) -> str:
    if budget is None:
        return "what it takes follows from its game"
    least = "" if known else "at least "
    memory, disk = sum(budget.memory.values()), sum(budget.disk.values())
    return (
        f"{budget.parameters:,} parameters, {least}{in_bytes(memory)} of memory "
        f"({listed(budget.memory)}), {least}{in_bytes(disk)} of disk ({listed(budget.disk)})"
    )
