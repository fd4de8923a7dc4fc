"""What begins with ``GET ``: an HTTP request, and the WebSocket that may follow (R13).

A `WebCarrier` stands between a `Connection` and its socket: to the socket it is the protocol, to
the connection the transport. Messages become frames of R2 on their way in and frames
become messages on their way out, so all that the connection does is the same for both carriers.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol, cast

from agentd.protocol.codec import HEADER, decode_server
from agentd.protocol.connection import HANDSHAKE_FRAME
from agentd.protocol.errors import Code
from agentd.protocol.messages import Error
from agentd.protocol.upgrade import HttpFault, HttpRequest, accept_upgrade, answer, read_request
from agentd.protocol.websocket import (
    CLOSE_CODES,
    CloseCode,
    Opcode,
    WebSocketDecoder,
    WebSocketFault,
    encode_close,
    encode_frame,
    encode_message,
    read_close,
)
from agentd.server.peers.connection import Connection
from agentd.server.peers.script import client_script
from agentd.server.peers.visitors import Visitors

FAREWELL_S = 1.0
"""How long the peer's close is waited for."""

PLAIN, SCRIPT = "text/plain; charset=utf-8", "text/javascript; charset=utf-8"
HERE = "this is agentd's game port: games connect by TCP or WebSocket, people to the HTTP port"

_STATUS = {Code.HELLO_TIMEOUT: 408, Code.LIMIT: 503, Code.SHUTTING_DOWN: 503}


class House(Protocol):
    """Whom a carrier asks, and tells."""

    visitors: Visitors

    def note_http_refusal(self, connection: Connection, status: int, text: str) -> None:
        """Count and log an error that answers a request."""


class WebCarrier(asyncio.Protocol):
    """One connection's request and, once it is ``upgraded``, its WebSocket."""

    def __init__(self, house: House, connection: Connection, *, upgraded: bool) -> None:
        self._house, self._connection = house, connection
        self._request: bytearray | None = None if upgraded else bytearray()
        self._decoder = WebSocketDecoder(HANDSHAKE_FRAME, masked=True)
        self._code: CloseCode | None = None  # where the goodbye's reason does not tell it
        self._paused = self._closed = False
        self._farewell: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Begin on the socket of a connection that has read the first bytes of a request."""
        self._transport = transport
        transport.set_protocol(self)
        self.data_received(data)

    # -- asyncio's callbacks -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on the socket of a WebSocket that another process took in."""
        self._transport = cast(asyncio.Transport, transport)
        self._connection.connection_made(cast(asyncio.BaseTransport, self))

    def data_received(self, data: bytes) -> None:
        """Take bytes, and hand on every message that is whole."""
        if self._request is not None:
            self._take_request(data)
            return
        if not self._paused and not self._connection.closing:
            frame = self._decoder.whole(data)
            if frame is not None:
                self._connection.data_received(frame)
                return
        self._connection.heard = time.monotonic()
        self._decoder.receive(data)
        self._pump()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """The peer has read."""
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._farewell is not None:
            self._farewell.cancel()
        self._connection.connection_lost(exc)

    # -- the request ---------------------------------------------------------------------------

    def _take_request(self, data: bytes) -> None:
        if self._connection.closing or self._request is None:
            return
        self._request += data
        try:
            whole = read_request(bytes(self._request))
            if whole is None:
                return
            request, rest = whole
            self._answer(request)
        except HttpFault as fault:
            self._house.note_http_refusal(self._connection, fault.status, fault.text)
            self._end_http(fault.status, f"{fault.text}\n".encode(), PLAIN, fault.headers)
            return
        if not self._connection.closing:
            self._request = None
            if rest:
                self.data_received(rest)

    def _answer(self, request: HttpRequest) -> None:
        """Upgrade, or bring the script. Raises HttpFault."""
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if (refusal := self._house.visitors.refusal(origin, host)) is not None:
            raise HttpFault(403, refusal)
        if request.path == "/agentd.js" and (script := client_script()) is not None:
            headers = {} if origin is None else {"Access-Control-Allow-Origin": origin}
            self._end_http(200, script, SCRIPT, headers)
        elif request.path != "/":
            raise HttpFault(404, f"nothing is here; {HERE}")
        elif not request.wants_websocket:
            raise HttpFault(426, HERE, {"Upgrade": "websocket"})
        else:
            self._transport.write(accept_upgrade(request))

    def _end_http(
        self, status: int, body: bytes, media: str, headers: dict[str, str] | None = None
    ) -> None:
        self._end(answer(status, body, media, headers))
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _end(self, last: bytes) -> None:
        """Send the last bytes and let go, once the peer has or after a while."""
        if not self._closed:
            self._closed = True
            self._connection.hang_up()
            self._transport.write(last)
            self.resume_reading()
            loop = asyncio.get_running_loop()
            self._farewell = loop.call_later(FAREWELL_S, self._transport.close)

    # -- messages in ---------------------------------------------------------------------------

    def _pump(self) -> None:
        """Hand on what is whole, unless the connection holds the peer back."""
        connection, decoder = self._connection, self._decoder
        if connection.welcomed:
            decoder.max_message = connection.limits.max_frame
        try:
            while not self._paused and (event := decoder.next_event()) is not None:
                self._take(*event)
        except WebSocketFault as fault:
            self._code = fault.close
            if connection.closing:
                self._transport.close()
            else:
                connection.refuse(fault)
        if not connection.closing:
            connection.wire.begun = decoder.has_partial
            connection.note_partial()

    def _take(self, opcode: Opcode, payload: bytes) -> None:
        connection = self._connection
        if opcode is Opcode.CLOSE:
            read_close(payload)
            self._end(encode_frame(Opcode.CLOSE, payload[:2]))
            self._transport.close()
        elif connection.closing:
            pass
        elif opcode is Opcode.PING:
            self._transport.write(encode_frame(Opcode.PONG, payload))
        elif opcode is Opcode.BINARY:
            connection.partial_since = None
            connection.data_received(payload)

    def unread(self) -> bytes:
        """Take out the bytes that no message was made of."""
        return self._decoder.rest()

    # -- the transport of the connection ---------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send one frame as a message."""
        if self._request is None:
            self._transport.write(encode_message(data))
        else:
            self._refuse_request(data)

    def _refuse_request(self, data: bytes) -> None:
        """Say what the connection says of a peer whose request has not come."""
        message = decode_server(data[HEADER.size :])
        if isinstance(message, Error):
            status = _STATUS.get(Code[message.code], 400)
            self._end_http(status, f"{message.message}\n".encode(), PLAIN)

    def close(self) -> None:
        """Say close, and end when the peer has said it too."""
        reason = self._connection.reason
        self._end(encode_close(self._code or CLOSE_CODES[reason], reason))

    def abort(self) -> None:
        """End now."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Read nothing for now."""
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, first what has come already."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
            self._pump()

    def set_write_buffer_limits(self, high: int | None = None) -> None:
        """As of a transport."""
        self._transport.set_write_buffer_limits(high=high)

    def get_extra_info(self, name: str) -> Any:
        """As of a transport."""
        return self._transport.get_extra_info(name)
