"""One connection of the client that is checked, seen from the server that checks it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from agentd.conformance.answers import Answers, reply_to
from agentd.conformance.line import LineBroken, ServerLine
from agentd.conformance.observer import Observer, SeenFrame
from agentd.protocol import messages as m
from agentd.protocol.codec import encode
from agentd.protocol.errors import Code, ProtocolError

PONG_S = 3.0
"""Seconds that a pong may take: a quarter of the default heartbeat is generous."""
CHUNK = 65536
PIECE_S = 0.001


class Over(Exception):
    """The client has left, or cannot be understood: this scene ends here."""


class Absent(Over):
    """No client came."""


class Visit:
    """Reads all that the client says, answers pings and operations, hands out its frames.

    observer  what has become of the rules
    patience  seconds that the client may take for anything
    silent    while True nothing is answered by itself
    """

    def __init__(
        self,
        observer: Observer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        patience: float,
    ) -> None:
        self.observer = observer
        self.patience = patience
        self.silent = False
        self._reader, self._writer = reader, writer
        self._line = ServerLine(observer.findings)
        self._frames: deque[SeenFrame] = deque()
        self._hello: m.Hello | None = None
        self._pings: deque[tuple[int | float, float]] = deque()  # t, and when it was sent
        self._asked = False  # an operation with an open map was replied to
        self._held: bytearray | None = None  # to be sent behind what is sent in pieces
        self._wake = asyncio.Event()
        self.ended = False  # no more bytes will come
        self.broken = False  # the client cannot be understood
        self.retired = False  # the client has another connection by now
        self.parted = False  # we have ended this connection ourselves
        observer.connect()
        self._task = asyncio.create_task(self._read())

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def waiting(self) -> int:
        """Frames that have come and were not taken."""
        return len(self._frames)

    @property
    def pinging(self) -> bool:
        """Whether a pong is still due."""
        return bool(self._pings)

    @property
    def deserted(self) -> bool:
        """Whether the client has closed without a word, and for no reason that we know."""
        known = self.broken or self.retired or self.parted or self.observer.left
        return self.ended and not known

    # -- what the client says ------------------------------------------------------------------

    async def hello(self) -> m.Hello:
        """Wait for the hello. Raises Over."""
        await self._until(lambda: self._hello is not None, "a hello")
        assert self._hello is not None
        return self._hello

    async def frame(self) -> SeenFrame:
        """Wait for the next frame. Raises Over."""
        await self._until(lambda: bool(self._frames), "a frame")
        return self._frames.popleft()

    async def end(self, seconds: float) -> bool:
        """Wait until the client has closed; False when it has not after ``seconds``."""
        return await self.within(seconds, lambda: self.ended)

    async def within(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Wait until something is so; False when it is not after ``seconds``, or at the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not done() and not self.ended:
                    self._wake.clear()
                    await self._wake.wait()
        return done()

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        if await self.within(self.patience, done):
            return
        if self.ended:
            self._complain_about_the_end()
            raise Over(f"the client closed its connection where {what} was due")
        raise Over(f"{what} did not come within {self.patience:g} s")

    async def _read(self) -> None:
        try:
            while (data := await self._reader.read(CHUNK)) and not self.retired:
                frames, back = self._line.receive(data)
                self._put(back)
                if frames:
                    self.observer.receive(frames)
                    self._pump()
                if self._line.over:
                    self._writer.close()
                    break
        except LineBroken as fault:
            self.broken = True
            self._put(fault.last)
            self._writer.close()
        except OSError:
            pass
        finally:
            self.ended = True
            if self._asked and self.deserted:
                self.broken = True
                wish = "unknown keys in the reply to be ignored"
                self.observer.findings.fail("R11 open maps", wish, "the end of the stream")
            self._wake.set()

    def _pump(self) -> None:
        """Take the messages that are complete."""
        try:
            while (message := self.observer.next_message(self._now)) is not None:
                self._take(message)
        except ProtocolError as fault:
            self.broken = self.retired = True
            fault.fatal = True
            self.send(fault.to_message(), m.Goodbye(reason=fault.code.goodbye))
            self._put(self._line.closing(fault.code.goodbye))
            self._writer.close()
        self._wake.set()

    def _take(self, message: m.ClientMessage | SeenFrame) -> None:
        if self._asked:
            self._asked = False
            self.observer.findings.keep("R11 open maps")
        match message:
            case SeenFrame():
                self._frames.append(message)
            case m.Hello():
                self._hello = message
            case m.Ping(t=t) if not self.silent:
                self.send(m.Pong(t=t))
            case m.Pong(t=t):
                self._take_pong(t)
            case m.Goodbye() if not self.silent:
                self.send(m.Goodbye(reason="client_done"))
                self._put(self._line.closing("client_done"))
                self._writer.close()
            case _ if isinstance(message, m.Operation) and not self.silent:
                self.send(reply_to(message))
                self._asked = isinstance(message, m.Stats | m.Info | m.Agents)

    def _take_pong(self, t: int | float) -> None:
        findings = self.observer.findings
        if not self._pings:
            findings.fail("R9 ping", "no pong without a ping", f"pong t: {t!r}")
            return
        sent, when = self._pings.popleft()
        kinds = f"t: {sent!r} ({type(sent).__name__})"
        findings.check("R9 ping", t == sent, kinds, f"t: {t!r} ({type(t).__name__})")
        took = self._now - when
        findings.check("R9 pong in time", took <= PONG_S, f"within {PONG_S:g} s", f"{took:.1f} s")

    def _complain_about_the_end(self) -> None:
        if self.deserted:
            wish = "goodbye before the connection closes"
            self.observer.findings.fail("R9 goodbye", wish, "the end of the stream")

    def check_pings(self) -> None:
        """Note the pings that should have been answered by now."""
        for _, when in self._pings:
            waited = self._now - when
            if waited > PONG_S and not self.ended:
                wish = f"a pong within {PONG_S:g} s"
                self.observer.findings.fail("R9 pong in time", wish, f"none after {waited:.0f} s")

    # -- what we say ---------------------------------------------------------------------------

    def send(self, *messages: m.ServerMessage) -> None:
        """Send messages in one piece."""
        self.write(b"".join(map(encode, messages)))

    def write(self, data: bytes) -> None:
        """Send whole frames, if anybody is there to take them."""
        self._put(self._line.wrap(data))

    def _put(self, data: bytes) -> None:
        if self._held is not None:
            self._held += data
        elif data and not self._writer.is_closing():
            self._writer.write(data)

    async def dribble(self, data: bytes, sizes: Sequence[int] = ()) -> None:
        """Send bytes in pieces of ``sizes``, then one by one; whatever else is said comes after."""
        at, data = 0, self._line.wrap(data)
        self._held = bytearray()
        for size in (*sizes, *[1] * len(data)):
            if at >= len(data) or self._writer.is_closing():
                break
            self._writer.write(data[at : at + size])
            at += size
            await asyncio.sleep(PIECE_S)
        held, self._held = self._held, None
        self._put(bytes(held))

    def ping(self, t: int | float) -> bytes:
        """Return the bytes of a ping whose pong is waited for from now on."""
        self._pings.append((t, self._now))
        return encode(m.Ping(t=t))

    def welcome(self, session: bytes, **facts: object) -> None:
        """Send the welcome; ``facts`` replace its usual values."""
        hello = self.observer.hello
        assert hello is not None
        usual = {
            "protocol": min(2, hello.protocol[1]),
            "session": session,
            "agent": hello.agent,
            "version": 1,
            "max_frame": 8 << 20,
            "max_rows": 4096,
            "window": 8,
            "heartbeat_s": 15.0,
            "resumed": False,
            "last_seq": 0,
        }
        message = m.Welcome(**(usual | facts))  # type: ignore[arg-type]
        self.observer.open(message)
        self.send(message)
        self._pump()

    def refuse(self, frame: SeenFrame) -> None:
        """Answer a frame with an error that is not fatal."""
        name = next(iter(frame.message.obs), "x")
        fault = ProtocolError.unfit(
            Code.NOT_FINITE, f"obs.{name}", "finite numbers", "nan", seq=frame.seq, row=0
        )
        self.observer.answer(frame.seq, refused=True)
        self.send(fault.to_message())

    def fail(self, code: Code, message: str, retry_ms: int | None = None) -> None:
        """Send a fatal error and the goodbye that belongs to it."""
        self.parted = True
        fault = ProtocolError(code, message, retry_ms=retry_ms, fatal=True)
        self.send(fault.to_message(), m.Goodbye(reason=code.goodbye))
        self._put(self._line.closing(code.goodbye))

    def goodbye(self) -> None:
        """Say goodbye."""
        self.parted = True
        self.send(m.Goodbye(reason="shutdown"))
        self._put(self._line.closing("shutdown"))

    def close(self) -> None:
        """Close our side; what was sent still goes out."""
        self.parted = self.observer.cut = True
        self._writer.close()

    def abort(self) -> None:
        """Break the connection."""
        self.parted = self.observer.cut = True
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Break the connection and wait until nothing of it is left."""
        self._writer.transport.abort()
        self._task.cancel()
        await asyncio.wait([self._task])


class Player:
    """Answers a client's frames on one connection after the other."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.version = 1
        self._given: dict[int, bytes] = {}  # answers of this session, by seq

    def begin(self) -> None:
        """A new session begins."""
        self._given.clear()

    def encode(self, visit: Visit, frame: SeenFrame, *, late: bool = False) -> bytes:
        """Return the bytes of the answer; a frame that came before gets the one it had."""
        visit.observer.answer(frame.seq)
        if frame.repeated and frame.seq in self._given:
            return self._given[frame.seq]
        self.version += 1
        data = encode(self.answers.frame(frame, self.version, late))
        self._given[frame.seq] = data
        return data

    def answer(self, visit: Visit, frame: SeenFrame, *, late: bool = False) -> None:
        """Answer a frame."""
        visit.write(self.encode(visit, frame, late=late))

    async def rounds(self, visit: Visit, count: int) -> None:
        """Answer so many frames. Raises Over."""
        for _ in range(count):
            self.answer(visit, await visit.frame())

    async def tries(
        self, visit: Visit, key: str, action: Callable[[SeenFrame], Awaitable[None]]
    ) -> None:
        """Do something with the next frame, and see whether the client plays on. Raises Over.

        ``action`` is awaited with the frame; the rule is kept when a further frame comes.
        """
        frame = await visit.frame()
        before = visit.observer.received
        await action(frame)
        await self.goes_on(visit, key, before)

    async def goes_on(self, visit: Visit, key: str, before: int) -> None:
        """Note whether a frame comes after the first ``before`` ones. Raises Over."""
        findings, observer = visit.observer.findings, visit.observer
        if not await visit.within(visit.patience, lambda: observer.received > before):
            if observer.left:
                raise Over("the client has said goodbye")
            got = "the end of the stream" if visit.ended else f"nothing for {visit.patience:g} s"
            if not visit.broken:
                findings.fail(key, "the client plays on", got)
            raise Over(got)
        findings.keep(key)
