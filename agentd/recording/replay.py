"""A recorded session said again to a daemon, its answers held against those of before.

The client's frames go out in their order, each when all that the server had said before it has been
heard again, so that what waited for what stays the same. Pings of the server are its own affair.
"""

import socket
from typing import Any, NamedTuple

import msgpack

from agentd.errors import AgentdError, ExitCode
from agentd.protocol.codec import HEADER
from agentd.recording.file import CONNECT, BadRecording, Entry, SessionFile

WAIT_S = 60.0
CHUNK = 65536
# What no two daemons say alike; of the others only the type counts.
VOLATILE = {"welcome": ("session", "version"), "act": ("version", "late"), "taught": ("version",)}
OPEN = {"stats", "info", "agents"}


class OtherSchema(AgentdError):
    """The daemon's agent has another schema than the recorded session."""

    exit_code = ExitCode.PROTOCOL


class Difference(NamedTuple):
    """The first answer that was another one."""

    frame: int  # how many frames of the server were alike before it
    seq: int | None
    field: str
    recorded: str
    replayed: str


class ReplayResult(NamedTuple):
    """What came of a replay."""

    sent: int  # frames
    compared: int  # answers
    difference: Difference | None
    versions_differ_from: int | None  # the first seq that other weights answered
    is_whole: bool  # the recording was not cut short


class SessionReplay:
    """One replay of one file against one address."""

    def __init__(
        self,
        file: SessionFile,
        address: tuple[str, int],
        *,
        agent: str | None = None,
        token: str | None = None,
        exact: bool = False,
    ) -> None:
        """``agent`` takes the place of the recorded one; ``exact`` compares versions as well."""
        self._file, self._address = file, address
        self._agent, self._token, self._exact = agent, token, exact
        self._socket: socket.socket | None = None
        self._data = b""
        self._session = bytes(16)
        self._sent = self._compared = 0
        self._versions: int | None = None

    def run(self) -> ReplayResult:
        """Replay the whole file, or up to the first difference.

        Raises OSError, OtherSchema, and BadRecording for a file without a session.
        """
        try:
            difference = self._play()
        finally:
            self._hang_up()
        if not self._sent:
            raise BadRecording(f"{self._file.path}: no frame of a client is in it")
        whole = any(entry.mark == "=" and entry.data != CONNECT.encode() for entry in self._entries)
        return ReplayResult(self._sent, self._compared, difference, self._versions, whole)

    @property
    def _entries(self) -> list[Entry]:
        return self._file.entries

    def _play(self) -> Difference | None:
        for entry in self._entries:
            if entry.mark == "=":
                self._hang_up()
                if entry.data == CONNECT.encode():
                    self._socket = socket.create_connection(self._address, WAIT_S)
                continue
            message = _read(entry)
            if entry.mark == ">":
                if message.get("type") != "pong" and not self._say(message, entry.data):
                    return self._differs(message, "connection", "open", "closed by the server")
            elif message.get("type") != "ping":
                found = self._compare(message)
                if found is not None:
                    return found
        return None

    # -- out -----------------------------------------------------------------------------------

    def _say(self, message: dict[str, Any], data: bytes) -> bool:
        if message.get("type") == "hello":
            data = self._renew(message)
        elif self._agent is not None and message.get("agent") == self._file.facts.get("agent"):
            data = _frame(message | {"agent": self._agent})
        self._sent += 1
        if self._socket is None:
            return False
        try:
            self._socket.sendall(data)
        except OSError:
            return True  # what the server had to say is still to be read
        return True

    def _renew(self, hello: dict[str, Any]) -> bytes:
        """A hello with the secrets of today."""
        fresh = {key: value for key, value in hello.items() if key not in ("token", "resume")}
        if self._token is not None:
            fresh["token"] = self._token
        if hello.get("resume") is not None:
            fresh["resume"] = self._session
        if self._agent is not None and "agent" in fresh:
            fresh["agent"] = self._agent
        return _frame(fresh)

    # -- in ------------------------------------------------------------------------------------

    def _compare(self, recorded: dict[str, Any]) -> Difference | None:
        replayed = self._hear()
        if replayed is None:
            return self._differs(recorded, "type", str(recorded.get("type")), "nothing")
        self._check_schema(recorded, replayed)
        if replayed.get("type") == "welcome":
            self._session = replayed.get("session", bytes(16))
        kind = recorded.get("type")
        if kind in OPEN and replayed.get("type") == kind:
            self._compared += 1
            return None
        if recorded.get("version") != replayed.get("version") and self._versions is None:
            self._versions = recorded.get("seq", 0)
        masked = ("session",) if self._exact else VOLATILE.get(str(kind), ())
        if self._agent is not None:
            masked = (*masked, "agent")
        for key in (*recorded, *(set(replayed) - set(recorded))):
            before, now = recorded.get(key), replayed.get(key)
            if key not in masked and before != now:
                return self._differs(recorded, key, _words(before), _words(now))
        self._compared += 1
        return None

    def _differs(self, recorded: dict[str, Any], field: str, before: str, now: str) -> Difference:
        place = f"{recorded.get('type')}.{field}"
        return Difference(self._compared, recorded.get("seq"), place, before, now)

    def _check_schema(self, recorded: dict[str, Any], replayed: dict[str, Any]) -> None:
        if replayed.get("code") == "SCHEMA_MISMATCH" and recorded.get("type") == "welcome":
            name = self._agent or self._file.facts.get("agent")
            raise OtherSchema(
                f"the session was recorded with {self._file.facts.get('schema')}, and the daemon's "
                f"agent {name} has another schema: {replayed.get('message')}",
                hint="--agent NAME plays it with another agent",
            )

    def _hear(self) -> dict[str, Any] | None:
        """The server's next message but its pings; None at the end of the stream."""
        while True:
            header = self._exactly(HEADER.size)
            body = header and self._exactly(*HEADER.unpack(header))
            if not body:
                return None
            message = _unpack(body)
            if message.get("type") != "ping":
                return message
            if self._socket is not None:
                self._socket.sendall(_frame({"type": "pong", "t": message.get("t")}))

    def _exactly(self, count: int) -> bytes | None:
        while len(self._data) < count:
            try:
                part = b"" if self._socket is None else self._socket.recv(CHUNK)
            except OSError:
                return None
            if not part:
                return None
            self._data += part
        part, self._data = self._data[:count], self._data[count:]
        return part

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._data = None, b""


def _read(entry: Entry) -> dict[str, Any]:
    return _unpack(entry.data[HEADER.size :])


def _unpack(body: bytes) -> dict[str, Any]:
    try:
        found = msgpack.unpackb(body)
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}


def _frame(message: dict[str, Any]) -> bytes:
    body = msgpack.packb(message)
    return HEADER.pack(len(body)) + bytes(body)


def _words(value: object) -> str:
    """A value of a message in a few words."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes {value[:32].hex()}{'…' if len(value) > 32 else ''}"
    return "nothing" if value is None else str(value)[:200]
