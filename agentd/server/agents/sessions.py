"""Sessions over all agents of a process: begun within the limit, ended when nobody resumes them."""

from __future__ import annotations

import logging

from agentd.memory.session_table import TableFull
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello
from agentd.server.agents.agent import Agent
from agentd.server.agents.registry import Registry
from agentd.server.batching.session import Session

log = logging.getLogger("agentd.sessions")


def begin_session(
    registry: Registry, agent: Agent, hello: Hello, session_id: bytes, limit: int
) -> Session:
    """Begin a session; at the limit of those that train, one that waits for a resume gives way.

    Raises ProtocolError LIMIT when every session is connected.
    """
    try:
        return agent.begin(hello, session_id)
    except TableFull:
        if not _end_one_that_waits(registry):
            raise ProtocolError(
                Code.LIMIT,
                "too many sessions train",
                field="session",
                expected=f"at most {limit}",
                retry_ms=1_000,
            ) from None
        return agent.begin(hello, session_id)


def expire_sessions(registry: Registry, before: float) -> None:
    """End sessions that have waited for a resume since before ``before``, monotonic seconds."""
    for agent in registry.loaded.values():
        for session in list(agent.sessions.values()):
            if session.detached_at is not None and session.detached_at < before:
                log.info("session ended agent=%s rows open episodes cut", agent.name)
                agent.end(session)


def _end_one_that_waits(registry: Registry) -> bool:
    """End one session that waits for a resume: one that never played first, then the oldest."""
    waiting = [
        (session.last_seq > 0, session.detached_at, agent, session)
        for agent in registry.loaded.values()
        for session in agent.sessions.values()
        if session.detached_at is not None and session.slot >= 0
    ]
    if not waiting:
        return False
    *_, agent, session = min(waiting, key=lambda each: each[:2])
    log.warning("session ended agent=%s: too many sessions train", agent.name)
    agent.end(session)
    return True
