"""How an agent explores, as an operator says it: a constant, its schedule, or that begun anew."""

import asyncio
import logging

from agentd.assembly.exploration import exploration_of, share_explored
from agentd.protocol.errors import Code, ProtocolError
from agentd.server.agents.agent import Agent
from agentd.server.agents.faults import as_protocol_errors
from agentd.server.agents.registry import Registry
from agentd.server.batching.learning import Learning
from agentd.store import Exploring, keep_exploring

log = logging.getLogger("agentd.exploring")

MOST_TEMPERATURE = 1e9


async def change_exploration(
    registry: Registry, name: str, value: float | None, again: bool
) -> tuple[str, float]:
    """Explore by ``value`` from now on, by the schedule begun ``again``, or by the schedule.

    Durable, and in force at once. Returns the kind of exploration, and ε or the temperature that
    holds now. Raises ProtocolError UNKNOWN_AGENT, BAD_CONFIG, LIMIT or STORAGE_FAILED.
    """
    registry.facts(name)
    agent = await registry.ensure(name)
    async with registry.lock(name):
        learning = _require_explores(agent, value, again)
        steps = learning.env_steps
        said = Exploring(value) if value is not None else Exploring(since=steps if again else 0)
        folder = registry.stored.folder(name)
        with as_protocol_errors():
            await asyncio.to_thread(keep_exploring, folder, said)
        agent.actor.explore(*exploration_of(agent.config, said))
    log.info("exploration agent=%s value=%s since=%d", name, value, said.since)
    return agent.config.exploration.kind, share_explored(agent.config, said, steps)


def _require_explores(agent: Agent, value: float | None, again: bool) -> Learning:
    """The learning half of an agent that may explore so. Raises BAD_CONFIG."""
    learning, schedule = agent.learning, agent.config.exploration
    if learning is None or not learning.learns_steps:
        want, got = "a learner of rewards", agent.config.learner
        said = f"agent {agent.name} never explores: its learner is {got}"
        raise ProtocolError.unfit(Code.BAD_CONFIG, "agent", want, got, said=said)
    if schedule.kind == "noisy" and (again or value is not None):
        said = f"agent {agent.name} explores by its noisy layers: there is no number to set"
        want = "exploration.kind epsilon or boltzmann"
        raise ProtocolError.unfit(Code.BAD_CONFIG, "value", want, "noisy", said=said)
    if again and value is not None:
        want = "a value, or again, or neither"
        raise ProtocolError.unfit(Code.BAD_CONFIG, "again", want, "both")
    most = 1.0 if schedule.kind == "epsilon" else MOST_TEMPERATURE
    if value is not None and not 0.0 <= value <= most:
        raise ProtocolError.unfit(Code.BAD_CONFIG, "value", f"0..{most:g}", f"{value:g}")
    return learning
