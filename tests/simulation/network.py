"""Sockets of the simulation: bytes take their time, come in pieces, stop coming, or are cut off.

Between two ends the order of bytes is kept, as TCP keeps it; between connections it is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from tests.simulation.edges import Timetable


class Dialer(Protocol):
    """A client's side of a connection."""

    def connected(self, link: Link) -> None: ...
    def received(self, data: bytes) -> None: ...
    def lost(self) -> None: ...


class Network:
    """All connections. ``wrote`` is called before the server's bytes leave it.

    ``said`` hears what arrives, b"<" for the server's bytes and b">" for a client's.
    """

    def __init__(
        self,
        timetable: Timetable,
        wrote: Callable[[], None],
        said: Callable[[bytes, bytes], None],
    ) -> None:
        self.timetable, self.wrote, self.said = timetable, wrote, said
        self.links: list[Link] = []
        self.slow_s = 0.0  # what every packet takes longer at present
        self._factory: Callable[[], asyncio.Protocol] | None = None
        self._ports = 40_000

    def serve(self, factory: Callable[[], asyncio.Protocol] | None) -> None:
        """Take connections from now on, or no more."""
        self._factory = factory

    def delay_s(self) -> float:
        chance = self.timetable.chance
        return self.slow_s * chance.random() + 0.0002 + 0.001 * chance.random()

    def dial(self, dialer: Dialer) -> None:
        """Connect; the dialer hears how it went."""
        self.timetable.later(self.delay_s(), lambda: self._arrive(dialer))

    def die(self) -> None:
        """The serving process is gone: the kernel closes its sockets."""
        self.serve(None)
        for link in list(self.links):
            link.cut(server_hears=False)

    def _arrive(self, dialer: Dialer) -> None:
        if self._factory is None:
            dialer.lost()
            return
        self._ports += 1
        link = Link(self, dialer, self._factory(), self._ports)
        self.links.append(link)
        link.open()


class Link(asyncio.Transport):
    """One connection: the transport of its server's end, and the wire to its client.

    silent   nothing is carried any more and nobody is told: a cable was pulled
    reading  whether the client reads
    deaf     the client has given it up, and hears nothing of it any more
    """

    def __init__(
        self, network: Network, dialer: Dialer, protocol: asyncio.Protocol, port: int
    ) -> None:
        super().__init__({"peername": ("127.0.0.1", port)})
        self._network, self._timetable = network, network.timetable
        self._dialer, self._protocol = dialer, protocol
        self.silent, self.reading, self.deaf = False, True, False
        self._open = True
        self._closing = self._choked = self._held = False
        self._high, self._unread = 65536, 0
        self._outbox: deque[bytes] = deque()  # written and not read by the client
        self._inbox: deque[bytes] = deque()  # come and not read by the server
        self._last = {"up": 0.0, "down": 0.0}

    def open(self) -> None:
        """Tell both ends that they are connected."""
        self._protocol.connection_made(self)
        if self._open:
            self._carry("down", lambda: self._dialer.connected(self))

    def _carry(self, way: str, arrive: Callable[[], None]) -> None:
        when = max(self._last[way], self._timetable.now + self._network.delay_s())
        self._last[way] = when
        self._timetable.at(when, lambda: None if self.silent or not self._open else arrive())

    # -- the client's end ------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Carry bytes to the server, sometimes in two pieces."""
        chance = self._timetable.chance
        if len(data) > 1 and chance.random() < 0.05:
            at = chance.randrange(1, len(data))
            self._send_piece(data[:at])
            data = data[at:]
        self._send_piece(data)

    def _send_piece(self, data: bytes) -> None:
        self._carry("up", lambda: self._come(data))

    def hang_up(self) -> None:
        """The client closes: what it has sent arrives, then the end."""
        self._carry("up", lambda: self._end(None))

    def cut(self, *, server_hears: bool = True) -> None:
        """Both ends hear that the connection was reset; what was on its way is lost."""
        if self._open:
            self._shut()
            if server_hears:
                self._protocol.connection_lost(ConnectionResetError())
            self._tell_lost()

    def read_again(self) -> None:
        """A client that has not read for a while reads all that waits."""
        self.reading = True
        while self._outbox and self._open:
            self._deliver(self._outbox.popleft())

    # -- the server's end ------------------------------------------------------------------------

    def _come(self, data: bytes) -> None:
        self._network.said(b">", data)
        if self._held:
            self._inbox.append(data)
        else:
            self._protocol.data_received(data)

    def write(self, data: Any) -> None:
        if not self._open or self._closing:
            return
        self._network.wrote()
        data = bytes(data)
        self._unread += len(data)
        self._carry("down", lambda: self._read(data))
        if self._unread > self._high and not self._choked:
            self._choked = True
            self._protocol.pause_writing()

    def _read(self, data: bytes) -> None:
        self._network.said(b"<", data)
        if self.reading:
            self._deliver(data)
        else:
            self._outbox.append(data)

    def _deliver(self, data: bytes) -> None:
        self._unread -= len(data)
        if self._choked and self._unread <= self._high // 4:
            self._choked = False
            self._protocol.resume_writing()
        if not self.silent and not self.deaf:
            self._dialer.received(data)
        if self._closing and self._unread == 0:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._open:
            self._shut()
            self._protocol.connection_lost(error)
            self._tell_lost()

    def _tell_lost(self) -> None:
        if not self.silent:
            lost = self._dialer.lost
            self._timetable.later(self._network.delay_s(), lambda: None if self.deaf else lost())

    def _shut(self) -> None:
        self._open = False
        self._network.links.remove(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or 65536

    def close(self) -> None:
        if self._open and not self._closing:
            self._closing = True
            if self._unread == 0:
                self._timetable.later(0.0, lambda: self._end(None))

    def is_closing(self) -> bool:
        return self._closing or not self._open

    def abort(self) -> None:
        if self._open:
            self._timetable.later(0.0, lambda: self._end(None))

    def pause_reading(self) -> None:
        self._held = True

    def resume_reading(self) -> None:
        self._held = False
        while self._inbox and not self._held and self._open:
            self._protocol.data_received(self._inbox.popleft())
