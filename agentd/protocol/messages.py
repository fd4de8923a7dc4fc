"""The nouns of protocol 1 (R4–R11): frozen records, typed on decode, unknown keys refused.

Tensor fields arrive as memoryviews into the received bytes and may be any bytes-like on the way
out. ``None`` fields are left out of the encoding.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

Bin: TypeAlias = memoryview
Tensors: TypeAlias = Annotated[dict[str, Bin], msgspec.Meta(max_length=64)]
Reason: TypeAlias = Literal[
    "client_done",
    "shutdown",
    "idle",
    "slow_reader",
    "auth",
    "protocol",
    "limit",
    "replaced",
    "error",
]
GOODBYE_REASONS: tuple[str, ...] = Reason.__args__  # type: ignore[attr-defined]


class Message(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="type",
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """Base of every message; ``type`` on the wire is the tag."""


# -- from the client ------------------------------------------------------------------------------


class Hello(Message, tag="hello", frozen=True, kw_only=True, gc=True):
    """First words. An admin needs only ``protocol``, ``client``, ``role`` and ``run``."""

    protocol: tuple[int, int]
    client: str
    role: str
    run: bytes
    agent: str = ""
    observation: dict[str, dict[str, Any]] | None = None
    action: dict[str, Any] | None = None
    streams: int = 0
    token: str | None = None
    resume: bytes | None = None
    explain: bool = False
    deadline_ms: int | None = None
    priority: Literal["realtime", "bulk"] = "realtime"


class Step(Message, tag="step", frozen=True, kw_only=True):
    """N rows of states and rewards; answered by ``act``."""

    seq: int
    stream: Bin  # u32[N]
    kind: Bin  # u8[N]
    reward: Bin  # f32[N]
    obs: Tensors
    mask: Bin | None = None  # u8[N * A]


class Teach(Message, tag="teach", frozen=True, kw_only=True):
    """N rows with their right answers; answered by ``taught``."""

    seq: int
    obs: Tensors
    target: Bin  # i32[N] or f32[N * K]
    weight: Bin | None = None  # f32[N]


class Agents(Message, tag="agents", frozen=True, kw_only=True):
    """List the agents."""


class Info(Message, tag="info", frozen=True, kw_only=True):
    """Tell an agent's schema, configuration and checkpoints."""

    agent: str


class Create(Message, tag="create", frozen=True, kw_only=True, gc=True):
    """Make an agent from a configuration (a map, never a path)."""

    agent: str
    config: dict[str, Any]


class Save(Message, tag="save", frozen=True, kw_only=True):
    """Write a checkpoint; answered after it is on disk."""

    agent: str


class Load(Message, tag="load", frozen=True, kw_only=True):
    """Go back to a checkpoint by its name."""

    agent: str
    checkpoint: str


class Unload(Message, tag="unload", frozen=True, kw_only=True):
    """Save and drop an agent from memory."""

    agent: str


class Delete(Message, tag="delete", frozen=True, kw_only=True):
    """Remove an agent and its files."""

    agent: str


class Freeze(Message, tag="freeze", frozen=True, kw_only=True):
    """Stop (``on``) or resume learning; acting goes on."""

    agent: str
    on: bool


class Stats(Message, tag="stats", frozen=True, kw_only=True):
    """Tell the counters of one agent, or of the server and all agents."""

    agent: str | None = None


# -- either way -----------------------------------------------------------------------------------


class Ping(Message, tag="ping", frozen=True, kw_only=True):
    """Are you there? ``t`` comes back unchanged."""

    t: int | float


class Pong(Message, tag="pong", frozen=True, kw_only=True):
    """I am."""

    t: int | float


class Goodbye(Message, tag="goodbye", frozen=True, kw_only=True):
    """Said before an orderly close."""

    reason: Reason


# -- from the server ------------------------------------------------------------------------------


class Welcome(Message, tag="welcome", frozen=True, kw_only=True):
    """The session stands."""

    protocol: int
    session: bytes
    agent: str
    version: int
    max_frame: int
    max_rows: int
    window: int
    heartbeat_s: float
    resumed: bool
    last_seq: int


class ActReply(Message, tag="act", frozen=True, kw_only=True):
    """One action a row, -1 on ended rows; ``version`` names the weights that chose."""

    seq: int
    action: Bin  # i32[N] or i32[N * branches]
    version: int
    q: Bin | None = None  # f32[N * A]
    explored: Bin | None = None  # u8[N]


class TaughtReply(Message, tag="taught", frozen=True, kw_only=True):
    """The rows are queued for learning."""

    seq: int
    queued: int
    version: int


class Error(Message, tag="error", frozen=True, kw_only=True):
    """What was wrong; the connection closes after a fatal one."""

    code: str
    message: str
    fatal: bool
    seq: int | None = None
    field: str | None = None
    expected: str | None = None
    got: str | None = None
    retry_ms: int | None = None


class AgentsReply(Message, tag="agents", frozen=True, kw_only=True, gc=True):
    """Names and short facts of all agents."""

    agents: list[dict[str, Any]]


class InfoReply(Message, tag="info", frozen=True, kw_only=True, gc=True):
    """One agent's facts."""

    agent: str
    info: dict[str, Any]


class Created(Message, tag="created", frozen=True, kw_only=True):
    """The agent exists."""

    agent: str


class Saved(Message, tag="saved", frozen=True, kw_only=True):
    """The checkpoint is on disk, synced and checked."""

    agent: str
    checkpoint: str
    step: int


class Loaded(Message, tag="loaded", frozen=True, kw_only=True):
    """The agent continues from the checkpoint."""

    agent: str
    checkpoint: str
    step: int


class Unloaded(Message, tag="unloaded", frozen=True, kw_only=True):
    """The agent is on disk only."""

    agent: str


class Deleted(Message, tag="deleted", frozen=True, kw_only=True):
    """The agent is gone."""

    agent: str


class Frozen(Message, tag="frozen", frozen=True, kw_only=True):
    """Learning is off (``on``) or on again."""

    agent: str
    on: bool


class StatsReply(Message, tag="stats", frozen=True, kw_only=True, gc=True):
    """Counters."""

    server: dict[str, Any]
    agents: dict[str, dict[str, Any]]


Operation: TypeAlias = Agents | Info | Create | Save | Load | Unload | Delete | Freeze | Stats
ClientMessage: TypeAlias = Hello | Step | Teach | Ping | Pong | Goodbye | Operation
ServerMessage: TypeAlias = (
    Welcome
    | ActReply
    | TaughtReply
    | Ping
    | Pong
    | Goodbye
    | Error
    | AgentsReply
    | InfoReply
    | Created
    | Saved
    | Loaded
    | Unloaded
    | Deleted
    | Frozen
    | StatsReply
)


def replace(hello: Hello, **changes: Any) -> Hello:
    """A copy of ``hello`` with other fields."""
    return msgspec.structs.replace(hello, **changes)
