"""What a run asks of an agent that exists: applied where it can be, named where it cannot."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from agentd.config import (
    AgentConfig,
    agent_config_from_wire,
    dump_agent_config,
    load_agent_config,
    plain,
)
from agentd.config.changes import apply_changes
from agentd.store import DirectoryLock, write_file


def change_settings(
    data_dir: Path,
    agent: str,
    wanted: AgentConfig,
    asked: Collection[str],
    tell: Callable[[str], None],
) -> None:
    """Give a stored agent the values of ``wanted`` at the dotted keys ``asked``.

    ``tell`` gets a line for each that differs, applied or not. Nothing happens where there is no
    such agent. Raises Locked while a daemon serves it, ConfigError for values that do not go with
    the agent's others, StorageError.
    """
    path = data_dir / "agents" / agent / "config.yaml"
    if not asked or not path.exists():
        return
    with DirectoryLock(data_dir / "lock", f"data directory {data_dir}"):
        stored = load_agent_config(path)
        config, made, left = apply_changes(stored, _with(stored, wanted, asked))
        if made:
            write_file(path, dump_agent_config(config))
    for change in made:
        tell(f"changed {change.key}: {change.wanted!r}, before {change.stored!r}")
    for change in left:
        tell(f"not changed {change}; another --agent NAME begins with it")


def _with(stored: AgentConfig, wanted: AgentConfig, asked: Collection[str]) -> AgentConfig:
    """``stored`` with the values of ``wanted`` at ``asked``."""
    tree, source = plain(stored), plain(wanted)
    for key in asked:
        *path, last = key.split(".")
        inner: Any = tree
        value: Any = source
        for name in path:
            inner, value = inner.setdefault(name, {}), value[name]
        inner[last] = value[last]
    return agent_config_from_wire(tree)
