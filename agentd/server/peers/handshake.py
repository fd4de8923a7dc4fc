"""From hello to welcome (R4, R7, R12): who is it, may it, with which agent, from where on."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from agentd.auth import Grant
from agentd.protocol.connection import PROTOCOL
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.messages import Hello, Welcome
from agentd.protocol.schema import Schema
from agentd.server.batching.session import Session

if TYPE_CHECKING:
    from agentd.server.peers.connection import Connection
    from agentd.server.server import Server

__all__ = ["AGENT_NAME", "shake"]

AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_NEEDS = {"eval": Grant.ACT, "play": Grant.ACT, "train": Grant.LEARN, "admin": Grant.ADMIN}


async def shake(server: Server, connection: Connection, hello: Hello) -> Welcome:
    """Check ``hello``, find or make its session, attach the connection. Faults are fatal."""
    try:
        connection.grant = _check_grant(server, hello)
        _check_fields(server, hello)
        if hello.role == "admin":
            return _welcome(server, os.urandom(16), hello.agent, 0, False, 0)
        schema = Schema.from_wire(hello.observation, hello.action)
        session, resumed = await _find_session(server, hello, schema)
    except ProtocolError as fault:
        fault.fatal = True
        raise
    if connection.closing:  # it left while we looked: its session waits, as if it had been welcomed
        if session.connection is None:
            session.detach(server.now())
        return _welcome(server, session.id, session.agent.name, 0, resumed, session.last_seq)
    session.wishes(hello)
    _attach(connection, session)
    version = session.agent.actor.version
    return _welcome(server, session.id, session.agent.name, version, resumed, session.last_seq)


def _check_grant(server: Server, hello: Hello) -> Grant:
    if hello.role not in _NEEDS:
        raise _bad("role", " | ".join(_NEEDS), repr(hello.role)[:80])
    grant = server.tokens.grant(hello.token)
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


def _check_fields(server: Server, hello: Hello) -> None:
    if len(hello.run) != 16:
        raise _bad("run", "16 bytes", f"{len(hello.run)} bytes")
    if not 1 <= len(hello.client) <= 128:
        raise _bad("client", "1..128 characters", f"{len(hello.client)}")
    if hello.deadline_ms is not None and not 1 <= hello.deadline_ms <= 60_000:
        raise _bad("deadline_ms", "1..60000", str(hello.deadline_ms))
    if hello.role == "admin":
        return
    if not AGENT_NAME.match(hello.agent):
        raise _bad("agent", AGENT_NAME.pattern.removesuffix(r"\Z"), repr(hello.agent)[:80])
    most = server.config.limits.max_streams
    if not 1 <= hello.streams <= most:
        raise _bad("streams", f"1..{most}", str(hello.streams))


async def _find_session(server: Server, hello: Hello, schema: Schema) -> tuple[Session, bool]:
    agent = await server.registry.open(hello.agent, schema)
    known = agent.sessions.get(hello.resume) if hello.resume is not None else None
    if known is not None:
        if known.run == hello.run and known.role == hello.role and known.streams == hello.streams:
            return known, True
        _displace(known)  # the game began anew: what was open ends as truncated
        agent.end_session(known)
    return agent.begin_session(hello, server.config.limits.window, server.new_session_id()), False


def _attach(connection: Connection, session: Session) -> None:
    _displace(session)
    session.connection = connection
    session.detached_at = None
    session.wanted = 0
    connection.session = session


def _displace(session: Session) -> None:
    """End a connection that still holds the session: the newer one wins."""
    if session.connection is not None:
        before, session.connection = session.connection, None
        before.session = None
        before.close("replaced")


def _welcome(
    server: Server, session: bytes, agent: str, version: int, resumed: bool, last_seq: int
) -> Welcome:
    limits = server.config.limits
    return Welcome(
        protocol=PROTOCOL,
        session=session,
        agent=agent,
        version=version,
        max_frame=limits.max_frame,
        max_rows=limits.max_rows,
        window=limits.window,
        heartbeat_s=limits.heartbeat_s,
        resumed=resumed,
        last_seq=last_seq,
    )


def _bad(field: str, expected: str, got: str) -> ProtocolError:
    return ProtocolError(
        Code.BAD_HELLO,
        f"{field}: want {expected}, got {got}",
        field=field,
        expected=expected,
        got=got,
    )
