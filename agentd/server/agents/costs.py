"""What an agent may take, asked before anything of it is made or opened."""

import logging
from pathlib import Path

from agentd.assembly.budget import (
    check_memory,
    estimate,
    estimate_least,
    fit_disk,
    in_bytes,
    memory_limit,
)
from agentd.assembly.grids import fit_grid
from agentd.config import AgentConfig
from agentd.config.records import LimitsConfig
from agentd.machine import free_disk_bytes
from agentd.protocol.schema import Schema

log = logging.getLogger("agentd.costs")


def check_least(config: AgentConfig, limits: LimitsConfig) -> None:
    """Raise OverBudget when an agent is too large for this machine whatever game plays it."""
    budget = estimate_least(config, limits)
    if budget is not None:
        check_memory(budget, limits)


def settle(folder: Path, config: AgentConfig, schema: Schema, limits: LimitsConfig) -> AgentConfig:
    """Return the defaults for an agent that nobody configured.

    A game of small grids gets a model for grids; the ring is made to fit on the disk.

    Raises OverBudget, ModelError.
    """
    fitted = fit_grid(config, schema)
    if fitted != config:
        log.info("model, dqn and exploration are those for small grids agent=%s", folder.name)
        config = fitted
    check_memory(estimate(config, schema, limits), limits)
    settled = fit_disk(config, schema, limits, free_disk_bytes(folder), shrink=True)
    if settled != config:
        log.warning(
            "ring made smaller agent=%s replay.capacity=%d in place of %d: rows of %s",
            *(folder.name, settled.replay.capacity, config.replay.capacity),
            in_bytes(schema.row_bytes),
        )
    return settled


def check_costs(folder: Path, config: AgentConfig, schema: Schema, limits: LimitsConfig) -> None:
    """Raise OverBudget when an agent takes more than the limits allow; log what it takes.

    The ring of an agent that has one is not looked at: a disk that has become full since is no
    reason not to act. Raises ModelError.
    """
    budget = estimate(config, schema, limits)
    check_memory(budget, limits)
    free = free_disk_bytes(folder)
    if not (folder / "replay").exists():
        fit_disk(config, schema, limits, free, shrink=False)
    log.info(
        "agent=%s parameters=%d memory=%s of %s disk=%s of %s free",
        *(folder.name, budget.parameters, in_bytes(sum(budget.memory.values()))),
        in_bytes(memory_limit(limits)),
        *(in_bytes(sum(budget.disk.values())), in_bytes(free)),
    )
