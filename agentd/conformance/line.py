"""A connection's bytes as frames of R2, whether it is bare TCP or a WebSocket (R13). Sans-IO."""

from agentd.conformance.findings import Findings
from agentd.protocol.codec import HEADER
from agentd.protocol.messages import Reason
from agentd.protocol.upgrade import HttpFault, accept_upgrade, answer, read_request
from agentd.protocol.websocket import (
    CLOSE_CODES,
    Opcode,
    WebSocketDecoder,
    WebSocketFault,
    encode_close,
    encode_frame,
    encode_message,
)

KEY = "R13 carrier"
MOST_MESSAGE = 8 << 20
GET = b"GET "


class LineBroken(Exception):
    """The client broke a rule of its carrier; ``last`` is what to send before closing."""

    def __init__(self, last: bytes) -> None:
        super().__init__("the carrier's rules are broken")
        self.last = last


class ServerLine:
    """One connection. ``over``: the client has closed its WebSocket."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._head: bytes | None = b""  # None: the carrier is known
        self._request: bytes | None = None  # not None: an upgrade is still to come
        self._decoder: WebSocketDecoder | None = None
        self.over = False

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; return the frames that they bring, and bytes to send back at once.

        Raises LineBroken.
        """
        if self._head is not None:
            data, self._head = self._head + data, None
            if len(data) < len(GET) and GET.startswith(data):
                self._head = data
                return b"", b""
            if data.startswith(GET):
                self._request = b""
        back = b""
        if self._request is not None:
            self._request += data
            data, back = self._upgrade(self._request)
        if self._decoder is None:
            return (data if self._request is None else b""), back
        self._decoder.receive(data)
        frames, more = self._messages(self._decoder)
        return frames, back + more

    def wrap(self, frames: bytes) -> bytes:
        """The bytes that carry any number of whole frames."""
        if self._decoder is None:
            return frames
        out, at = [], 0
        while at < len(frames):
            end = at + HEADER.size + HEADER.unpack_from(frames, at)[0]
            out.append(encode_message(frames[at:end]))
            at = end
        return b"".join(out)

    def closing(self, reason: Reason) -> bytes:
        """What follows a goodbye."""
        return b"" if self._decoder is None else encode_close(CLOSE_CODES[reason], reason)

    def _upgrade(self, request: bytes) -> tuple[bytes, bytes]:
        """What came behind the request, and the answer to it; nothing while it is not whole."""
        try:
            whole = read_request(request)
            if whole is None:
                return b"", b""
            head, rest = whole
            if head.path != "/":
                raise HttpFault(404, f"want GET / HTTP/1.1, got path {head.path}")
            if not head.wants_websocket:
                raise HttpFault(426, "want Upgrade: websocket and Connection: Upgrade")
            back = accept_upgrade(head)
        except HttpFault as fault:
            self._findings.fail(KEY, "an upgrade to WebSocket 13", fault.text)
            last = answer(fault.status, fault.text.encode(), "text/plain", fault.headers)
            raise LineBroken(last) from None
        self._request, self._decoder = None, WebSocketDecoder(MOST_MESSAGE, masked=True)
        return rest, back

    def _messages(self, decoder: WebSocketDecoder) -> tuple[bytes, bytes]:
        frames, back = b"", b""
        try:
            while (event := decoder.next_event()) is not None:
                opcode, payload = event
                if opcode is Opcode.BINARY:
                    self._findings.keep(KEY)
                    frames += payload
                elif opcode is Opcode.PING:
                    back += encode_frame(Opcode.PONG, payload)
                elif opcode is Opcode.CLOSE:
                    self.over = True
                    back += encode_frame(Opcode.CLOSE, payload[:2])
        except WebSocketFault as fault:
            self._findings.fail(KEY, fault.expected or "", f"{fault.got}: {fault.message}")
            raise LineBroken(encode_close(fault.close)) from None
        return frames, back
