"""The exploration that is in force: an agent's schedule, or what an operator has said instead."""

import msgspec

from agentd.config import AgentConfig
from agentd.engine.rules.exploration import ExplorationConfig
from agentd.store import Exploring


def constant(schedule: ExplorationConfig, value: float) -> ExplorationConfig:
    """Return a schedule that stays at ``value``. Raises ValueError where its kind forbids it."""
    return msgspec.structs.replace(schedule, start=value, end=value, steps=1)


def exploration_of(config: AgentConfig, said: Exploring) -> tuple[ExplorationConfig, int]:
    """Return the schedule that holds, and the environment steps at which it began."""
    if said.value is None:
        return config.exploration, said.since
    try:
        return constant(config.exploration, said.value), 0
    except ValueError:  # a file that nobody of ours has written
        return config.exploration, 0


def share_explored(config: AgentConfig, said: Exploring, env_steps: int) -> float:
    """Return ε, or the temperature, after ``env_steps`` environment steps; 0 with noisy layers."""
    schedule, since = exploration_of(config, said)
    steps = env_steps - since
    return schedule.temperature(steps) if schedule.kind == "boltzmann" else schedule.epsilon(steps)
