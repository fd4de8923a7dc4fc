"""The operations of R11, R19 and R20: each verb is one function; no verb takes a URL or a path."""

from collections.abc import Callable

from agentd.auth import Grant
from agentd.protocol import messages as m
from agentd.protocol.connection import kind_of
from agentd.protocol.errors import Code, ProtocolError
from agentd.server.agents.exploring import change_exploration
from agentd.server.agents.game_settings import change_settings
from agentd.server.agents.lineage import copy_agent, migrate_agent, reset_agent
from agentd.server.agents.registry import Registry
from agentd.server.peers.handshake import AGENT_NAME


async def operate(
    grant: Grant,
    operation: m.Operation,
    registry: Registry,
    stats: Callable[[str | None], m.StatsReply],
) -> m.ServerMessage:
    """Do one operation for a connection with grant admin; ``stats`` answers `stats`.

    Raises ProtocolError, never fatal.
    """
    _require_allowed(grant, operation)
    match operation:
        case m.Agents():
            return m.AgentsReply(agents=registry.list())
        case m.Info(agent=agent):
            return m.InfoReply(agent=agent, info=await registry.info(agent))
        case m.Create(agent=agent, config=config):
            await registry.create(agent, config)
            return m.Created(agent=agent)
        case m.Save(agent=agent):
            checkpoint, step = await registry.save(agent)
            return m.Saved(agent=agent, checkpoint=checkpoint, step=step)
        case m.Load(agent=agent, checkpoint=checkpoint):
            step = await registry.load(agent, checkpoint)
            return m.Loaded(agent=agent, checkpoint=checkpoint, step=step)
        case m.Unload(agent=agent):
            await registry.unload(agent)
            return m.Unloaded(agent=agent)
        case m.Delete(agent=agent):
            await registry.delete(agent)
            return m.Deleted(agent=agent)
        case m.Freeze(agent=agent, on=on):
            await registry.freeze(agent, on)
            return m.Frozen(agent=agent, on=on)
        case m.Stats(agent=agent):
            return stats(agent)
        case _:
            return await _operate_2(operation, registry)


async def _operate_2(operation: m.Operation2, registry: Registry) -> m.ServerMessage:
    """Do one operation of protocol 2."""
    match operation:
        case m.Settings(agent=agent, values=values):
            game = await change_settings(registry, agent, values)
            return m.GameSettings(agent=agent, values=game)
        case m.Reset(agent=agent, keep=keep):
            checkpoint = await reset_agent(registry, agent, weights=keep == "weights")
            return m.WasReset(agent=agent, checkpoint=checkpoint)
        case m.Explore(agent=agent, value=value, again=again):
            kind, now = await change_exploration(registry, agent, value, again)
            return m.ExploringReply(agent=agent, kind=kind, value=now)
        case m.Copy(agent=agent, to=to, replay=replay):
            step = await copy_agent(registry, agent, to, replay=replay)
            return m.Copied(agent=agent, to=to, step=step)
        case m.Migrate(agent=agent, to=to, observation=observation, action=action):
            step = await migrate_agent(registry, agent, to, observation, action)
            return m.Migrated(agent=agent, to=to, step=step)


def _require_allowed(grant: Grant, operation: m.Operation) -> None:
    if grant < Grant.ADMIN:
        raise ProtocolError(
            Code.FORBIDDEN,
            f"{kind_of(operation)} needs a token with grant admin",
            field="type",
            expected="grant admin",
            got=f"grant {grant.name.lower()}",
        )
    for field in ("agent", "to"):
        name = getattr(operation, field, None)
        if name is not None and not AGENT_NAME.match(name):
            raise ProtocolError(
                Code.UNKNOWN_AGENT,
                f"no agent can have the name {name!r:.80}",
                field=field,
                expected=AGENT_NAME.pattern.removesuffix(r"\Z"),
                got=repr(name)[:80],
            )
