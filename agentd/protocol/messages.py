"""The nouns of protocols 1 and 2 (R4–R20): frozen records, typed on decode, unknown keys refused.

Tensor fields arrive as memoryviews into the received bytes and may be any bytes-like on the way
out. ``None`` fields are left out of the encoding. Protocol 2 adds keys and types to those of
protocol 1: what a session of version 1 may send is ``ClientMessage1``.
"""

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
Keep: TypeAlias = Literal["nothing", "weights"]
LEVELLED, MAX_LEVEL = ("eval", "play"), 100.0
"""Roles that may ask for a level, and the level of best play."""
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


class _OfAgent(Message, frozen=True, kw_only=True):
    """Base of what is about one agent."""

    agent: str


class _OfCheckpoint(_OfAgent, frozen=True, kw_only=True):
    """Base of what is about one checkpoint of an agent, which holds ``step`` updates."""

    checkpoint: str
    step: int


# -- from the client ------------------------------------------------------------------------------


class Hello1(Message, tag="hello", frozen=True, kw_only=True, gc=True):
    """First words in version 1."""

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


class Hello(Hello1, tag="hello", frozen=True, kw_only=True, gc=True):
    """First words. An admin needs only ``protocol``, ``client``, ``role`` and ``run``.

    dt_ms  nominal milliseconds between two rows of a stream
    level  how strong the agent is to play, 0 to 100
    """

    dt_ms: float | None = None
    level: float | None = None


class Step1(Message, tag="step", frozen=True, kw_only=True):
    """N rows in version 1."""

    seq: int
    stream: Bin  # u32[N]
    kind: Bin  # u8[N]
    reward: Bin  # f32[N]
    obs: Tensors
    mask: Bin | None = None  # u8[N * A]


class Step(Step1, tag="step", frozen=True, kw_only=True):
    """N rows of states and rewards; answered by ``act``."""

    taken: Bin | None = None  # i32[N] or i32[N * branches]: what was played before each row
    by: Bin | None = None  # u8[N]: 0 the agent, 1 a person, 2 a script chose it
    elapsed: Bin | None = None  # f32[N]: nominal steps that led to each row
    success: Bin | None = None  # u8[N]: whether an episode that ends here was won


class Teach(Message, tag="teach", frozen=True, kw_only=True):
    """N rows with their right answers; answered by ``taught``."""

    seq: int
    obs: Tensors
    target: Bin  # i32[N] or f32[N * K]
    weight: Bin | None = None  # f32[N]


class Log(Message, tag="log", frozen=True, kw_only=True):
    """Numbers of the game's own, to be shown under the agent's name; not answered."""

    values: dict[str, float]


class Agents(Message, tag="agents", frozen=True, kw_only=True):
    """List the agents."""


class Info(_OfAgent, tag="info", frozen=True, kw_only=True):
    """Tell an agent's schema, configuration and checkpoints."""


class Create(_OfAgent, tag="create", frozen=True, kw_only=True, gc=True):
    """Make an agent from a configuration (a map, never a path)."""

    config: dict[str, Any]


class Save(_OfAgent, tag="save", frozen=True, kw_only=True):
    """Write a checkpoint; answered after it is on disk."""


class Load(_OfAgent, tag="load", frozen=True, kw_only=True):
    """Go back to a checkpoint by its name."""

    checkpoint: str


class Unload(_OfAgent, tag="unload", frozen=True, kw_only=True):
    """Save and drop an agent from memory."""


class Delete(_OfAgent, tag="delete", frozen=True, kw_only=True):
    """Remove an agent and its files."""


class Freeze(_OfAgent, tag="freeze", frozen=True, kw_only=True):
    """Stop (``on``) or resume learning; acting goes on."""

    on: bool


class Stats(Message, tag="stats", frozen=True, kw_only=True):
    """Tell the counters of one agent, or of the server and all agents."""

    agent: str | None = None


class Settings(_OfAgent, tag="settings", frozen=True, kw_only=True):
    """Change some of an agent's settings for its games."""

    values: dict[str, float]


class Reset(_OfAgent, tag="reset", frozen=True, kw_only=True):
    """Begin an agent anew, all of it or, with ``keep`` weights, only its rows."""

    keep: Keep = "nothing"


class Explore(_OfAgent, tag="explore", frozen=True, kw_only=True):
    """Explore by a constant, by the schedule begun again, or, with neither, by the schedule."""

    value: float | None = None  # ε, or the temperature
    again: bool = False


class Copy(_OfAgent, tag="copy", frozen=True, kw_only=True):
    """Make an agent ``to`` that knows what this one knows."""

    to: str
    replay: bool = False  # its rows too


class Migrate(_OfAgent, tag="migrate", frozen=True, kw_only=True, gc=True):
    """Make an agent ``to`` of another schema, whose network keeps what fits."""

    to: str
    observation: dict[str, dict[str, Any]]
    action: dict[str, Any]


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
    game: dict[str, float] | None = None  # of version 2: settings of the agent for its games


class ActReply(Message, tag="act", frozen=True, kw_only=True):
    """One action a row, -1 on ended rows; ``version`` names the weights that chose."""

    seq: int
    action: Bin  # i32[N] or i32[N * branches]
    version: int
    q: Bin | None = None  # f32[N * A]
    explored: Bin | None = None  # u8[N]
    late: bool = False  # of version 2: given at the deadline, by an older policy
    novelty: Bin | None = None  # of version 2: f32[N], of a classifier that gathers evidence


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


class InfoReply(_OfAgent, tag="info", frozen=True, kw_only=True, gc=True):
    """One agent's facts."""

    info: dict[str, Any]


class Created(_OfAgent, tag="created", frozen=True, kw_only=True):
    """The agent exists."""


class Saved(_OfCheckpoint, tag="saved", frozen=True, kw_only=True):
    """The checkpoint is on disk, synced and checked."""


class Loaded(_OfCheckpoint, tag="loaded", frozen=True, kw_only=True):
    """The agent continues from the checkpoint."""


class Unloaded(_OfAgent, tag="unloaded", frozen=True, kw_only=True):
    """The agent is on disk only."""


class Deleted(_OfAgent, tag="deleted", frozen=True, kw_only=True):
    """The agent is gone."""


class Frozen(_OfAgent, tag="frozen", frozen=True, kw_only=True):
    """Learning is off (``on``) or on again."""

    on: bool


class StatsReply(Message, tag="stats", frozen=True, kw_only=True, gc=True):
    """Counters."""

    server: dict[str, Any]
    agents: dict[str, dict[str, Any]]


class GameSettings(Message, tag="settings", frozen=True, kw_only=True):
    """All settings of an agent for its games: for its sessions, and with its name as a reply."""

    values: dict[str, float]
    agent: str | None = None


class WasReset(_OfAgent, tag="reset", frozen=True, kw_only=True):
    """The agent begins anew; ``checkpoint`` holds what it knew, where it knew something."""

    checkpoint: str | None = None


class ExploringReply(_OfAgent, tag="exploring", frozen=True, kw_only=True):
    """How the agent explores now: by which kind, and ε or the temperature that holds."""

    kind: str
    value: float


class _MadeOfAgent(_OfAgent, frozen=True, kw_only=True):
    """Base of what tells of an agent ``to`` made of another, with ``step`` updates behind it."""

    to: str
    step: int


class Copied(_MadeOfAgent, tag="copied", frozen=True, kw_only=True):
    """The copy exists."""


class Migrated(_MadeOfAgent, tag="migrated", frozen=True, kw_only=True):
    """The agent of the other schema exists."""


Operation1: TypeAlias = Agents | Info | Create | Save | Load | Unload | Delete | Freeze | Stats
Operation2: TypeAlias = Settings | Reset | Explore | Copy | Migrate
Operation: TypeAlias = Operation1 | Operation2
ClientMessage1: TypeAlias = Hello1 | Step1 | Teach | Ping | Pong | Goodbye | Operation1
ClientMessage: TypeAlias = Hello | Step | Teach | Log | Ping | Pong | Goodbye | Operation
OperationReply: TypeAlias = (
    AgentsReply
    | InfoReply
    | Created
    | Saved
    | Loaded
    | Unloaded
    | Deleted
    | Frozen
    | StatsReply
    | GameSettings
    | WasReset
    | ExploringReply
    | Copied
    | Migrated
)
ServerMessage: TypeAlias = (
    Welcome | ActReply | TaughtReply | Ping | Pong | Goodbye | Error | OperationReply
)


def replace(hello: Hello, **changes: Any) -> Hello:
    """A copy of ``hello`` with other fields."""
    return msgspec.structs.replace(hello, **changes)
