"""What became of a configuration that was edited after its agent was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from agentd.config.convert import plain
from agentd.config.records import AgentConfig
from agentd.config.resolve import agent_config_from_wire

CHANGEABLE = (
    *("checkpoint", "dqn.batch", "dqn.clip_norm", "dqn.gamma", "dqn.target", "durability"),
    *("optimizer.lr",),
    *("exploration.end", "exploration.hold", "exploration.spread", "exploration.start"),
    *("exploration.steps", "pqn.gamma", "stream_q.gamma", "demonstrations"),
)
"""Keys, and all below them, that may change while an agent goes on. The others shape its network,
its memory, or what is in its checkpoints."""


class Change(NamedTuple):
    """One value that differs: its dotted key, what is in force, what is asked for."""

    key: str
    stored: Any
    wanted: Any

    def __str__(self) -> str:
        return f"{self.key}: {self.wanted!r} asked for, {self.stored!r} in force"


def changes(stored: AgentConfig, wanted: AgentConfig) -> list[Change]:
    """The values that differ between two configurations of one agent.

    Its settings for games are not among them: the operation ``settings`` has the last word.
    """
    before, after = dict(_leaves(plain(stored))), dict(_leaves(plain(wanted)))
    keys = dict.fromkeys([*before, *after])
    return [
        Change(key, before.get(key), after.get(key))
        for key in keys
        if before.get(key) != after.get(key) and key.split(".")[0] != "game"
    ]


def apply_changes(
    stored: AgentConfig, wanted: AgentConfig
) -> tuple[AgentConfig, list[Change], list[Change]]:
    """``stored`` with every value of ``wanted`` that may change, those changes, and the others."""
    made, left, tree = [], [], plain(stored)
    for change in changes(stored, wanted):
        if any(f"{change.key}.".startswith(f"{key}.") for key in CHANGEABLE):
            _set(tree, change.key.split("."), change.wanted)
            made.append(change)
        else:
            left.append(change)
    return agent_config_from_wire(tree), made, left


def _leaves(tree: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def _set(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
