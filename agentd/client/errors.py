"""What can go wrong for a client: one tree.

    ClientError
    ├── Unreachable       nobody answers at the address, or the server stayed away too long
    │   └── NotAgentd         ... or something else answers there
    ├── Refused           the server said ``error``: code, field, expected, got
    │   ├── DataRefused       ... about one frame; nothing of it was learned, the session goes on
    │   └── OperationRefused  ... about one operation; the session goes on
    ├── SessionLost       the server no longer knows our episodes: begin new ones
    ├── ServerTooOld      this needs a newer protocol than the server speaks
    ├── OutcomeUnknown    the connection broke while an operation was on its way
    ├── WindowFull        too many frames are unanswered: receive first
    └── ClientClosed      the client was closed before, or gave up

A server that breaks the protocol raises ``agentd.protocol.errors.ProtocolError``; arguments that
do not fit the schema raise ValueError or TypeError before anything is sent.
"""

from agentd.protocol.errors import Code, FrameTooLarge, ProtocolError
from agentd.protocol.messages import Error

# Refusals that time may cure: come back later with the same words.
_PASSING = {
    Code.HELLO_TIMEOUT,
    Code.IDLE_TIMEOUT,
    Code.SLOW_READER,
    Code.LIMIT,
    Code.SHUTTING_DOWN,
    Code.INTERNAL,
}
# Goodbyes after which coming back makes sense; after the others it would be the same again.
PASSING_GOODBYES = {"shutdown", "idle", "slow_reader", "limit", "error"}


class ClientError(Exception):
    """Base of everything that a client raises about its server."""


class Unreachable(ClientError, ConnectionError):
    """Nobody answers at the address, or the server stayed away for longer than ``retry_for``."""


class NotAgentd(Unreachable):
    """Something answers at the address, and it is no game port of agentd."""

    def __init__(self, address: object, fault: FrameTooLarge) -> None:
        head = int(fault.got or 0).to_bytes(4, "little")
        if head == b"HTTP":
            what = "that is an HTTP port; games connect to the game port, 7331 where nobody chose"
        elif head[:2] in (b"\x15\x03", b"\x16\x03"):
            what = "that port speaks TLS, and this client was not told to"
        else:
            what = f"what answers there does not speak the protocol: it begins with {head!r}"
        super().__init__(f"{address}: {what}")


class Refused(ClientError, ProtocolError):
    """The server said ``error`` and closed; ``field``, ``expected`` and ``got`` as it sent them."""

    def __init__(self, error: Error) -> None:
        super().__init__(
            Code[error.code],
            error.message,
            seq=error.seq,
            field=error.field,
            expected=error.expected,
            got=error.got,
            retry_ms=error.retry_ms,
            fatal=error.fatal,
        )

    @property
    def passing(self) -> bool:
        """True when the same words may be welcome later."""
        return self.code in _PASSING


class DataRefused(Refused):
    """One frame was refused whole; the streams stand where they stood before it."""


class OperationRefused(Refused):
    """One operation was refused; nothing changed."""


class SessionLost(ClientError):
    """The server did not resume the session; frames without an answer are gone.

    The client itself stands: its next frame must open a new episode (kind ``first``) in every
    stream.
    """


class ServerTooOld(ClientError):
    """The server speaks an older protocol than this needs; nothing was sent, all else works."""


class OutcomeUnknown(ClientError):
    """The connection broke while an operation was on its way: it may or may not have happened."""


class WindowFull(ClientError):
    """``window`` frames are unanswered; receive one before the next is sent."""


class ClientClosed(ClientError):
    """The client was closed, or gave up on its server, before this call."""
