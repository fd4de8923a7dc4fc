"""From hello to welcome (R4, R7, R12): who is it, may it, with which agent, from where on."""

import asyncio
import os
import re
from functools import partial

from agentd.auth import Grant, Tokens
from agentd.config.records import LimitsConfig
from agentd.protocol.codec import common_version
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.facts import MAX_DT_MS
from agentd.protocol.messages import LEVELLED, MAX_LEVEL, Hello, Welcome
from agentd.protocol.schema import Schema
from agentd.server.agents.agent import Agent
from agentd.server.agents.faults import as_protocol_errors
from agentd.server.agents.registry import Registry
from agentd.server.agents.sessions import begin_session
from agentd.server.batching.session import Session
from agentd.server.peers.connection import Connection

AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_unfit = partial(ProtocolError.unfit, Code.BAD_HELLO)
_NEEDS = {"eval": Grant.ACT, "play": Grant.ACT, "train": Grant.LEARN, "admin": Grant.ADMIN}


async def shake(
    connection: Connection,
    hello: Hello,
    *,
    tokens: Tokens,
    limits: LimitsConfig,
    registry: Registry,
    session_id: bytes,
) -> Welcome:
    """Check ``hello``, find its session or begin one, and let the connection carry it.

    A new session gets ``session_id``, 16 bytes. Raises ProtocolError, always fatal.
    """
    try:
        connection.grant = _check_grant(tokens, hello)
        _check_fields(limits, hello)
        if hello.role == "admin":
            return _welcome(limits, hello, os.urandom(16), hello.agent)
        schema = Schema.from_wire(hello.observation, hello.action, common_version(hello.protocol))
        agent = await registry.open(hello.agent, schema)
        if hello.dt_ms is not None and hello.role == "train":
            with as_protocol_errors():
                await asyncio.to_thread(registry.stored.keep_dt_ms, agent.name, hello.dt_ms)
        session, resumed = _find_session(registry, agent, hello, session_id, limits)
    except ProtocolError as fault:
        fault.fatal = True
        raise
    if connection.closing:  # it left meanwhile: its session waits, as if it had been welcomed
        agent.detach(session, None)
    else:
        connection.carry(agent, session, hello)
    facts = (agent.actor.version, resumed, session.last_seq, agent.config.game)
    return _welcome(limits, hello, session.id, agent.name, *facts)


def _check_grant(tokens: Tokens, hello: Hello) -> Grant:
    if hello.role not in _NEEDS:
        raise _unfit("role", " | ".join(_NEEDS), repr(hello.role)[:80])
    grant = tokens.grant(hello.token)
    if grant is Grant.NONE:
        raise ProtocolError(
            Code.UNAUTHORIZED,
            "the token is missing or unknown",
            field="token",
            expected="a token of this server",
            got="none" if hello.token is None else "an unknown one",
        )
    need = _NEEDS[hello.role]
    if grant < need:
        raise ProtocolError(
            Code.FORBIDDEN,
            f"role {hello.role} needs a token with grant {need.name.lower()}",
            field="role",
            expected=need.name.lower(),
            got=grant.name.lower(),
        )
    return grant


def _check_fields(limits: LimitsConfig, hello: Hello) -> None:
    if len(hello.run) != 16:
        raise _unfit("run", "16 bytes", f"{len(hello.run)} bytes")
    if not 1 <= len(hello.client) <= 128:
        raise ProtocolError.unfit(
            Code.BAD_HELLO, "client", "1..128 characters", f"{len(hello.client)}"
        )
    if hello.deadline_ms is not None and not 1 <= hello.deadline_ms <= 60_000:
        raise _unfit("deadline_ms", "1..60000", str(hello.deadline_ms))
    if hello.dt_ms is not None and not 0 < hello.dt_ms <= MAX_DT_MS:
        raise _unfit("dt_ms", f"more than 0 and at most {MAX_DT_MS:g}", f"{hello.dt_ms:g}")
    if hello.level is not None and not 0 <= hello.level <= MAX_LEVEL:
        raise _unfit("level", f"0..{MAX_LEVEL:g}", f"{hello.level:g}")
    if hello.level is not None and hello.role not in LEVELLED:
        raise _unfit("level", f"role {' or '.join(LEVELLED)}", f"role {hello.role}")
    if hello.role == "admin":
        return
    if not AGENT_NAME.match(hello.agent):
        raise ProtocolError.unfit(
            Code.BAD_HELLO, "agent", AGENT_NAME.pattern.removesuffix(r"\Z"), repr(hello.agent)[:80]
        )
    most = limits.max_streams
    if not 1 <= hello.streams <= most:
        raise _unfit("streams", f"1..{most}", str(hello.streams))


def _find_session(
    registry: Registry, agent: Agent, hello: Hello, session_id: bytes, limits: LimitsConfig
) -> tuple[Session, bool]:
    """The session that ``hello`` resumes and True, or a new one and False."""
    known = agent.sessions.get(hello.resume) if hello.resume is not None else None
    if known is not None:
        if known.run == hello.run and known.role == hello.role and known.streams == hello.streams:
            return known, True
        agent.end(known)  # the game began anew: its open episodes end as truncated
    return begin_session(registry, agent, hello, session_id, limits.max_sessions), False


def _welcome(
    limits: LimitsConfig,
    hello: Hello,
    session: bytes,
    agent: str,
    version: int = 0,
    resumed: bool = False,
    last_seq: int = 0,
    game: dict[str, float] | None = None,
) -> Welcome:
    protocol = common_version(hello.protocol)
    return Welcome(
        protocol=protocol,
        session=session,
        agent=agent,
        version=version,
        max_frame=limits.max_frame,
        max_rows=limits.max_rows,
        window=limits.window,
        heartbeat_s=limits.heartbeat_s,
        resumed=resumed,
        last_seq=last_seq,
        game=game if game and protocol > 1 else None,
    )
