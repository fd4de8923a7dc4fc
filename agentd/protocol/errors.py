"""Everything that can be wrong on the wire: one closed table of codes (R10).

ProtocolError            carries a Code, what was expected and got, and whether it is fatal
└── FrameTooLarge        refused from the four header bytes
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from agentd.protocol.messages import Error, Reason


class Code(StrEnum):
    """The closed list of error codes of protocol 1."""

    FRAME_TOO_LARGE = "FRAME_TOO_LARGE"
    BAD_FRAME = "BAD_FRAME"
    BAD_MESSAGE = "BAD_MESSAGE"
    UNEXPECTED_MESSAGE = "UNEXPECTED_MESSAGE"
    BAD_SEQ = "BAD_SEQ"
    HELLO_TIMEOUT = "HELLO_TIMEOUT"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    SLOW_READER = "SLOW_READER"
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    BAD_HELLO = "BAD_HELLO"
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    UNAUTHORIZED = "UNAUTHORIZED"
    LIMIT = "LIMIT"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    FORBIDDEN = "FORBIDDEN"
    UNKNOWN_AGENT = "UNKNOWN_AGENT"
    INTERNAL = "INTERNAL"
    BAD_SHAPE = "BAD_SHAPE"
    TOO_MANY_ROWS = "TOO_MANY_ROWS"
    NOT_FINITE = "NOT_FINITE"
    BAD_MASK = "BAD_MASK"
    BAD_KIND = "BAD_KIND"
    UNKNOWN_STREAM = "UNKNOWN_STREAM"
    DUPLICATE_STREAM = "DUPLICATE_STREAM"
    BAD_TARGET = "BAD_TARGET"
    NOT_SUPERVISED = "NOT_SUPERVISED"
    ALREADY_REFUSED = "ALREADY_REFUSED"
    AGENT_EXISTS = "AGENT_EXISTS"
    AGENT_IN_USE = "AGENT_IN_USE"
    BAD_CONFIG = "BAD_CONFIG"
    UNKNOWN_CHECKPOINT = "UNKNOWN_CHECKPOINT"
    STORAGE_FAILED = "STORAGE_FAILED"


class CodeInfo(NamedTuple):
    """What follows from a code. ``goodbye`` is the reason said before a fatal close."""

    fatal: bool
    goodbye: Reason
    meaning: str


_FRAMING = {
    Code.FRAME_TOO_LARGE: CodeInfo(True, "limit", "The header announces more than max_frame."),
    Code.BAD_FRAME: CodeInfo(True, "protocol", "The body is not exactly one msgpack map."),
    Code.BAD_MESSAGE: CodeInfo(True, "protocol", "A field is unknown, missing or mistyped."),
    Code.UNEXPECTED_MESSAGE: CodeInfo(True, "protocol", "Not allowed in this session state."),
    Code.BAD_SEQ: CodeInfo(True, "protocol", "seq did not grow by 1."),
    Code.HELLO_TIMEOUT: CodeInfo(True, "idle", "No hello in time."),
    Code.IDLE_TIMEOUT: CodeInfo(True, "idle", "Silent for two heartbeats, or a frame unfinished."),
    Code.SLOW_READER: CodeInfo(True, "slow_reader", "The answers are not being read."),
}
_HANDSHAKE = {
    Code.UNSUPPORTED_VERSION: CodeInfo(True, "protocol", "No protocol version in common."),
    Code.BAD_HELLO: CodeInfo(True, "protocol", "hello breaks a rule of R4."),
    Code.SCHEMA_MISMATCH: CodeInfo(True, "protocol", "The agent has another schema."),
    Code.UNAUTHORIZED: CodeInfo(True, "auth", "The token is missing or unknown."),
    Code.LIMIT: CodeInfo(True, "limit", "The server is full; retry_ms says when to come back."),
    Code.SHUTTING_DOWN: CodeInfo(True, "shutdown", "The server is draining."),
    Code.FORBIDDEN: CodeInfo(False, "auth", "The token's grant or the role does not allow this."),
    Code.UNKNOWN_AGENT: CodeInfo(False, "error", "No such agent, and none is created."),
    Code.INTERNAL: CodeInfo(False, "error", "The server failed; its log says why."),
}
_DATA = {
    Code.BAD_SHAPE: CodeInfo(False, "error", "A tensor's byte count does not fit the schema."),
    Code.TOO_MANY_ROWS: CodeInfo(False, "error", "More rows than max_rows."),
    Code.NOT_FINITE: CodeInfo(False, "error", "NaN or Inf in a tensor."),
    Code.BAD_MASK: CodeInfo(False, "error", "A mask byte is not 0/1, or nothing is legal."),
    Code.BAD_KIND: CodeInfo(False, "error", "The row's kind does not fit its stream's state."),
    Code.UNKNOWN_STREAM: CodeInfo(False, "error", "A stream id is not below `streams`."),
    Code.DUPLICATE_STREAM: CodeInfo(False, "error", "A stream twice in one frame."),
    Code.BAD_TARGET: CodeInfo(False, "error", "A taught class or target is out of range."),
    Code.NOT_SUPERVISED: CodeInfo(False, "error", "The agent does not learn from teach."),
    Code.ALREADY_REFUSED: CodeInfo(False, "error", "This seq was refused before a restart."),
}
_OPERATIONS = {
    Code.AGENT_EXISTS: CodeInfo(False, "error", "create: the name is taken."),
    Code.AGENT_IN_USE: CodeInfo(False, "error", "Sessions still use the agent."),
    Code.BAD_CONFIG: CodeInfo(False, "error", "The agent's configuration is not valid."),
    Code.UNKNOWN_CHECKPOINT: CodeInfo(False, "error", "No such checkpoint, or it is damaged."),
    Code.STORAGE_FAILED: CodeInfo(False, "error", "The data directory refused a write."),
}

CODES: dict[Code, CodeInfo] = {**_FRAMING, **_HANDSHAKE, **_DATA, **_OPERATIONS}
"""Every code, by family. ``fatal`` is the rule; FORBIDDEN, UNKNOWN_AGENT and INTERNAL become
fatal when they end a handshake."""


class ProtocolError(Exception):
    """A message that breaks the protocol: what is wrong, where, what was expected and got."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        seq: int | None = None,
        field: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        retry_ms: int | None = None,
        fatal: bool | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.seq = seq
        self.field = field
        self.expected = expected
        self.got = got
        self.retry_ms = retry_ms
        self.fatal = CODES[code].fatal if fatal is None else fatal

    @classmethod
    def unfit(
        cls,
        code: Code,
        field: str,
        expected: str,
        got: str,
        *,
        seq: int | None = None,
        row: int | None = None,
    ) -> ProtocolError:
        """Return the refusal of one field's value, of ``row`` where given: want this, got that."""
        place = field if row is None else f"row {row}: {field}"
        message = f"{place}: want {expected}, got {got}"
        return cls(code, message, seq=seq, field=field, expected=expected, got=got)

    @property
    def goodbye_reason(self) -> Reason:
        """The closed-list reason to say before closing."""
        return CODES[self.code].goodbye

    def to_message(self) -> Error:
        """The ``error`` message that tells the peer."""
        return Error(
            code=str(self.code),
            message=self.message,
            fatal=self.fatal,
            seq=self.seq,
            field=self.field,
            expected=self.expected,
            got=self.got,
            retry_ms=self.retry_ms,
        )


class FrameTooLarge(ProtocolError):
    """A header that announces more bytes than allowed."""

    def __init__(self, size: int, max_frame: int) -> None:
        super().__init__(
            Code.FRAME_TOO_LARGE,
            f"a frame of {size} bytes is over the limit",
            field="length",
            expected=f"1..{max_frame}",
            got=str(size),
        )
