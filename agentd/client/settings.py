"""The arguments of ``connect``: who a client is, what it plays, how long it waits."""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

from agentd.client.address import Address
from agentd.client.choices import Actions, wire_action
from agentd.protocol.codec import PROTOCOLS
from agentd.protocol.errors import ProtocolError
from agentd.protocol.messages import LEVELLED, MAX_LEVEL, Hello
from agentd.protocol.schema import Schema

Role: TypeAlias = Literal["train", "eval", "play", "admin"]
TensorShape: TypeAlias = tuple[Any, Sequence[int]]
"""A dtype in any of NumPy's words and the shape of one row."""
Observation: TypeAlias = TensorShape | Mapping[str, TensorShape]
"""One tensor (it is then named ``obs``), or several by name."""

SOFTWARE = "agentd-python"
CONNECT_S = 10.0  # patience with one try: TCP, TLS and welcome
FAREWELL_S = 1.0  # patience with the server's goodbye
MAX_STREAMS = 2**32 - 1


class ConnectOptions(TypedDict, total=False):
    """Keyword arguments that every way to connect takes."""

    streams: int
    """Episodes that run side by side on this connection (1)."""
    role: Role
    """``train`` acts and learns (the default), ``eval`` and ``play`` are greedy and learn nothing,
    ``admin`` only operates."""
    token: str | None
    """Secret of R12; one in the address counts when this is not given."""
    run: bytes
    """16 bytes that name this start of the game; drawn at random when not given."""
    explain: bool
    """Answers carry ``q`` and ``explored``; and ``novelty`` of an agent that has it (R8)."""
    dt_ms: float | None
    """Nominal milliseconds between two rows of a stream; needs a server of protocol 2."""
    level: float | None
    """How strong the agent is to play in the roles ``eval`` and ``play``, 0 to 100; needs a server
    of protocol 2."""
    deadline_ms: int | None
    priority: Literal["realtime", "bulk"]
    tls: ssl.SSLContext | None
    """How to encrypt and whom to trust, for a server with a certificate."""
    wait: float
    """Seconds to keep trying for the first connection (0: one try)."""
    retry_for: float
    """Seconds to keep trying after a connection broke (60), 0 to give up at once."""
    resume_for: float
    """Of several addresses: seconds to try the one that was lost, whose session may be resumed
    there, before another one (5); at most half of ``retry_for``."""


@dataclass(frozen=True, slots=True)
class ConnectSettings:
    """ConnectOptions checked and put in order."""

    addresses: tuple[Address, ...]
    hello: Hello
    schema: Schema | None  # None for an admin
    tls: ssl.SSLContext | None
    wait: float
    retry_for: float
    resume_for: float

    @classmethod
    def read(
        cls,
        address: str | tuple[str, int] | Address,
        agent: str,
        observation: Observation | None,
        actions: Actions | None,
        options: ConnectOptions,
    ) -> ConnectSettings:
        """Check everything that can be checked without the server. Raises ValueError."""
        places = Address.parse_all(address)
        role = options.get("role", "train")
        run = options.get("run", os.urandom(16))
        if len(run) != 16:
            raise ValueError(f"run: want 16 bytes, got {len(run)}")
        token = options.get("token")
        common: dict[str, Any] = {
            "protocol": PROTOCOLS,
            "client": SOFTWARE,
            "role": role,
            "run": run,
            "token": places[0].token if token is None else token,
            "agent": agent,
        }
        schema = None
        if role != "admin":
            schema = read_schema(observation, actions)
            common |= schema.to_wire() | _playing(options, since=2 if schema.heads else 1)
        tls = options.get("tls")
        if tls is None and "wss" in {place.web for place in places}:
            tls = ssl.create_default_context()
        retry_for = _seconds("retry_for", options.get("retry_for", 60.0))
        resume_for = _seconds("resume_for", options.get("resume_for", 5.0))
        return cls(
            addresses=places,
            hello=Hello(**common),
            schema=schema,
            tls=tls,
            wait=_seconds("wait", options.get("wait", 0.0)),
            retry_for=retry_for,
            resume_for=min(resume_for, retry_for / 2),
        )


def _playing(options: ConnectOptions, since: int) -> dict[str, Any]:
    """The fields of hello that an admin leaves out; its actions need protocol ``since``."""
    streams = options.get("streams", 1)
    if not 1 <= streams <= MAX_STREAMS:
        raise ValueError(f"streams: want 1..{MAX_STREAMS}, got {streams}")
    fields: dict[str, Any] = {
        "streams": streams,
        "explain": options.get("explain", False),
        "deadline_ms": options.get("deadline_ms"),
        "priority": options.get("priority", "realtime"),
    }
    dt_ms = options.get("dt_ms")
    if dt_ms is not None:
        if not 0 < dt_ms < math.inf:
            raise ValueError(f"dt_ms: want milliseconds over 0, got {dt_ms}")
        fields["dt_ms"], since = float(dt_ms), 2
    level = options.get("level")
    if level is not None:
        if not 0 <= level <= MAX_LEVEL:
            raise ValueError(f"level: want 0..{MAX_LEVEL:g}, got {level}")
        if options.get("role") not in LEVELLED:
            raise ValueError(f"level: want role {' or '.join(LEVELLED)}")
        fields["level"], since = float(level), 2
    if since > PROTOCOLS[0]:  # a hello must be valid in the lowest version that it offers
        fields["protocol"] = (since, PROTOCOLS[1])
    return fields


def read_schema(observation: Observation | None, actions: Actions | None) -> Schema:
    """The schema that ``connect``'s arguments describe. Raises ValueError."""
    if observation is None or actions is None:
        raise ValueError("want an observation and actions (only role='admin' does without)")
    tensors = observation if isinstance(observation, Mapping) else {"obs": observation}
    wire = {
        name: {"dtype": np.dtype(dtype).name, "shape": [int(n) for n in shape]}
        for name, (dtype, shape) in tensors.items()
    }
    try:
        return Schema.from_wire(wire, wire_action(actions))
    except ProtocolError as fault:
        raise ValueError(fault.message) from None


def _seconds(name: str, value: float) -> float:
    if not value >= 0 or math.isinf(value):
        raise ValueError(f"{name}: want seconds of at least 0, got {value}")
    return value
