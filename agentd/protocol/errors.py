"""Everything that can be wrong on the wire: one closed table of codes (R10).

ProtocolError            carries a Code, what was expected and got, and whether it is fatal
└── FrameTooLarge        refused from the four header bytes
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from agentd.protocol.messages import Error, Reason


class Code(StrEnum):
    """The closed list of error codes of protocols 1 and 2, by family: value, goodbye, meaning.

    ``goodbye`` is the reason said before a fatal close.
    """

    goodbye: Reason
    meaning: str

    def __new__(cls, name: str, goodbye: Reason, meaning: str) -> Self:
        member = str.__new__(cls, name)
        member._value_, member.goodbye, member.meaning = name, goodbye, meaning
        return member

    # framing
    FRAME_TOO_LARGE = "FRAME_TOO_LARGE", "limit", "The header announces more than max_frame."
    BAD_FRAME = "BAD_FRAME", "protocol", "The body is not exactly one msgpack map."
    BAD_MESSAGE = "BAD_MESSAGE", "protocol", "A field is unknown, missing or mistyped."
    UNEXPECTED_MESSAGE = "UNEXPECTED_MESSAGE", "protocol", "Not allowed in this session state."
    BAD_SEQ = "BAD_SEQ", "protocol", "seq did not grow by 1."
    HELLO_TIMEOUT = "HELLO_TIMEOUT", "idle", "No hello in time."
    IDLE_TIMEOUT = "IDLE_TIMEOUT", "idle", "Silent for two heartbeats, or a frame unfinished."
    SLOW_READER = "SLOW_READER", "slow_reader", "The answers are not being read."
    # handshake
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION", "protocol", "No protocol version in common."
    BAD_HELLO = "BAD_HELLO", "protocol", "hello breaks a rule of R4."
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH", "protocol", "The agent has another schema."
    UNSUPPORTED_ACTION = "UNSUPPORTED_ACTION", "protocol", "No learner for this kind of action."
    UNAUTHORIZED = "UNAUTHORIZED", "auth", "The token is missing or unknown."
    LIMIT = "LIMIT", "limit", "The server is full; retry_ms says when to come back."
    SHUTTING_DOWN = "SHUTTING_DOWN", "shutdown", "The server is draining."
    FORBIDDEN = "FORBIDDEN", "auth", "The token's grant or the role does not allow this."
    UNKNOWN_AGENT = "UNKNOWN_AGENT", "error", "No such agent, and none is created."
    INTERNAL = "INTERNAL", "error", "The server failed; its log says why."
    # data
    BAD_SHAPE = "BAD_SHAPE", "error", "A tensor's byte count does not fit the schema."
    TOO_MANY_ROWS = "TOO_MANY_ROWS", "error", "More rows than max_rows."
    NOT_FINITE = "NOT_FINITE", "error", "NaN or Inf in a tensor."
    BAD_MASK = "BAD_MASK", "error", "A mask byte is not 0/1, or nothing is legal."
    BAD_KIND = "BAD_KIND", "error", "The row's kind does not fit its stream's state."
    UNKNOWN_STREAM = "UNKNOWN_STREAM", "error", "A stream id is not below `streams`."
    DUPLICATE_STREAM = "DUPLICATE_STREAM", "error", "A stream twice in one frame."
    BAD_TAKEN = "BAD_TAKEN", "error", "What was played is out of range or illegal, or `by` is."
    BAD_ELAPSED = "BAD_ELAPSED", "error", "An elapsed time is not above 0 and at most 100000."
    BAD_LOG = "BAD_LOG", "error", "A logged name or number is not allowed, or there are too many."
    BAD_TARGET = "BAD_TARGET", "error", "A taught class or target is out of range."
    NOT_SUPERVISED = "NOT_SUPERVISED", "error", "The agent does not learn from teach."
    ALREADY_REFUSED = (
        "ALREADY_REFUSED",
        "error",
        "Sent again after a restart: this seq was refused before it, or its row has left the ring.",
    )
    # operations
    AGENT_EXISTS = "AGENT_EXISTS", "error", "The name of the new agent is taken."
    AGENT_IN_USE = "AGENT_IN_USE", "error", "Sessions still use the agent."
    CANNOT_MIGRATE = "CANNOT_MIGRATE", "error", "The network cannot be carried to that schema."
    BAD_CONFIG = "BAD_CONFIG", "error", "The agent's configuration is not valid."
    UNKNOWN_CHECKPOINT = "UNKNOWN_CHECKPOINT", "error", "No such checkpoint, or it is damaged."
    STORAGE_FAILED = "STORAGE_FAILED", "error", "The data directory refused a write."

    @property
    def fatal(self) -> bool:
        """Whether the connection closes: the rule.

        FORBIDDEN, UNKNOWN_AGENT and INTERNAL become fatal when they end a handshake.
        """
        return self.goodbye != "error" and self is not Code.FORBIDDEN


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
        self.fatal = code.fatal if fatal is None else fatal

    @classmethod
    def unfit(
        cls,
        code: Code,
        field: str | None,
        expected: str,
        got: str,
        *,
        seq: int | None = None,
        row: int | None = None,
        said: str | None = None,
    ) -> ProtocolError:
        """Return the refusal of one field's value, of ``row`` where given: want this, got that.

        ``said`` is the message where that sentence would not do.
        """
        place = field if row is None else f"row {row}: {field}"
        message = said or f"{place}: want {expected}, got {got}"
        return cls(code, message, seq=seq, field=field, expected=expected, got=got)

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


_OTHER_PROTOCOLS = {
    b"GET ": "an HTTP request",
    b"POST": "an HTTP request",
    b"HEAD": "an HTTP request",
    b"PUT ": "an HTTP request",
    b"OPTI": "an HTTP request",
    b"PRI ": "an HTTP/2 request",
    b"SSH-": "an SSH greeting",
}


def _guess(size: int, max_frame: int) -> str:
    """What a length that cannot be one looks like, as the end of a sentence."""
    head = size.to_bytes(4, "little")
    if head in _OTHER_PROTOCOLS:
        return f": it looks like {_OTHER_PROTOCOLS[head]}, and this is the game port"
    if head[:2] in (b"\x16\x03", b"\x15\x03"):
        return ": it looks like TLS, and this port speaks without"
    if head[:1] in (b"{", b"["):
        return ": it looks like JSON, and a frame is a length (u32) and msgpack"
    if 32 <= int.from_bytes(head, "big") <= max_frame:
        return ": its bytes look reversed, and the length is little-endian"
    return ""


class FrameTooLarge(ProtocolError):
    """A header that announces more bytes than allowed: ``size``."""

    def __init__(self, size: int, max_frame: int) -> None:
        super().__init__(
            Code.FRAME_TOO_LARGE,
            f"a frame of {size} bytes is over the limit{_guess(size, max_frame)}",
            field="length",
            expected=f"1..{max_frame}",
            got=str(size),
        )
        self.size = size
