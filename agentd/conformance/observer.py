"""Everything that one client says, over all its connections, held against the rules. Sans-IO.

Bytes of the client go in, messages that can be acted on come out, and what is to be said of the
rules goes to ``Findings``. A broken rule of rows or order is noted, and the client is answered as
if all were well, so that one fault does not hide the others.
"""

from collections import deque
from typing import NamedTuple

from agentd.conformance.findings import Findings
from agentd.conformance.rows import FrameCheck, StreamBook
from agentd.conformance.shape import GameShape, check_hello
from agentd.protocol import messages as m
from agentd.protocol.codec import FrameDecoder, decode_client, decode_hello
from agentd.protocol.connection import HANDSHAKE_FRAME, kind_of
from agentd.protocol.errors import Code, ProtocolError
from agentd.protocol.facts import check_numbers

MAX_LOGS = 100
"""Messages ``log`` a second."""
KEPT = 1024
"""Frames that are compared with what is sent again."""
_SINCE_2 = ("taken", "by", "elapsed", "success", "dt_ms", "level")


class SeenFrame(NamedTuple):
    """One ``step`` or ``teach`` as it came."""

    seq: int
    body: bytes
    message: m.Step | m.Teach
    check: FrameCheck | None  # of a step whose game is known, as it came first
    repeated: bool  # it came before, on another connection


class Observer:
    """One client. Call ``connect`` for each of its connections, ``open`` for each welcome."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.hello: m.Hello | None = None  # the newest
        self.shape: GameShape | None = None
        self.welcome: m.Welcome | None = None  # the newest, of the session under way
        self.pending: dict[int, SeenFrame] = {}  # frames that have no answer yet, by seq
        self.cut = False  # the connection was lost by no fault of the client
        self.left = False  # the client has said goodbye on this connection
        self.received = 0  # frames that were new
        self._kept: dict[int, SeenFrame] = {}  # the newest frames of the session, by seq
        self._book = StreamBook()
        self._before = StreamBook()  # as it was before the newest frame
        self._last_seq = 0
        self._decoder = FrameDecoder(HANDSHAKE_FRAME)
        self._opened = self._shaking = self._first_frame = self._anew = False
        self._logs: deque[float] = deque()

    # -- what the server does ------------------------------------------------------------------

    def connect(self) -> None:
        """The client has connected."""
        self._decoder = FrameDecoder(HANDSHAKE_FRAME)
        self._opened = self._shaking = self.left = False

    def open(self, welcome: m.Welcome) -> None:
        """The server has sent ``welcome``."""
        early = self._decoder.has_partial
        self.findings.check("R4 waits for welcome", not early, "no bytes before welcome", "some")
        assert self.hello is not None
        self._opened, self._shaking, self._first_frame = True, False, True
        self._decoder.max_frame = welcome.max_frame
        if not welcome.resumed:
            self._anew = self.hello.resume is not None
            self._book, self._last_seq = StreamBook(), 0
            self.pending.clear()
            self._kept.clear()
        self.welcome, self.cut = welcome, False

    def answer(self, seq: int, *, refused: bool = False) -> None:
        """The server has answered a frame; ``refused``: the newest one, with an error."""
        self.pending.pop(seq, None)
        if refused:
            self._book = self._before

    # -- what the client says ------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; they must not change afterwards."""
        self._decoder.feed(data)

    def next_message(self, now: float) -> m.ClientMessage | SeenFrame | None:
        """The next message, at ``now`` seconds of any clock; None when more bytes are needed.

        Between hello and welcome nothing is read. Raises ProtocolError where the client cannot be
        understood any further.
        """
        if self._shaking:
            return None
        try:
            body = self._decoder.next_frame()
            if body is None:
                return None
            self.findings.keep("R2 frame length")
            message = self._read(bytes(body))
        except ProtocolError as fault:
            self._blame(fault)
            raise
        for key in ("R2 frame body", "R2 message keys", "R2 message order"):
            self.findings.keep(key)
        if isinstance(message, m.Hello):
            self._take_hello(message)
        elif isinstance(message, m.Step | m.Teach):
            return self._take_frame(bytes(body), message)
        elif isinstance(message, m.Log):
            self._take_log(message, now)
        elif isinstance(message, m.Goodbye):
            self.left = True
            self.findings.keep("R9 goodbye")
        return message

    def _read(self, body: bytes) -> m.ClientMessage:
        if self._opened:
            assert self.welcome is not None
            message = decode_client(body, self.welcome.protocol)
        else:
            message = decode_hello(body)
        if isinstance(message, m.Hello) == self._opened or self.left:
            want = "hello" if not self._opened else "nothing" if self.left else "no second hello"
            state = "goodbye" if self.left else "welcome" if self._opened else "the connection"
            said = f"{kind_of(message)} after {state}"
            raise ProtocolError.unfit(Code.UNEXPECTED_MESSAGE, "type", want, said, said=said)
        return message

    def _blame(self, fault: ProtocolError) -> None:
        expected = " ".join(filter(None, (fault.field, fault.expected))) or fault.message
        self.findings.fail(self._rule_of(fault), expected, f"{fault.got}: {fault.message}")

    def _rule_of(self, fault: ProtocolError) -> str:
        field, field_type = fault.field or "", fault.expected or ""
        match fault.code:
            case Code.FRAME_TOO_LARGE:
                return "R2 frame length"
            case Code.BAD_FRAME:
                return "R2 frame length" if field == "length" else "R2 frame body"
            case Code.UNSUPPORTED_VERSION:
                return "R4 protocol range"
            case Code.UNEXPECTED_MESSAGE:
                return "R2 message order"
            case Code.BAD_HELLO:
                names = {"protocol": "R4 protocol range", "run": "R4 run"}
                names |= {"observation": "R4 schema", "action": "R4 schema"}
                return names.get(field.split(".")[0], "R4 hello")
        newer = field.split(".")[-1] in _SINCE_2 or (field, fault.got) == ("type", "'log'")
        if newer and self.welcome is not None and self.welcome.protocol == 1:
            return "R4 older version"
        is_bin = field_type.startswith("bin") or "extension" in f"{fault.got}"
        return "R3 tensors are bin" if is_bin else "R2 message keys"

    # -- hello ---------------------------------------------------------------------------------

    def _take_hello(self, hello: m.Hello) -> None:
        findings, before = self.findings, self.hello
        self._shaking = True
        self.shape = check_hello(hello, findings)
        if self.cut and before is not None and self.welcome is not None:
            self._check_return(hello, before, self.welcome.session)
        self.hello = hello

    def _check_return(self, hello: m.Hello, before: m.Hello, session: bytes) -> None:
        """Hold the hello of a client that had lost its connection against the one before."""
        right = hello.resume == session
        got = "none" if hello.resume is None else f"other bytes, {hello.resume.hex()}"
        self.findings.check("R7 resume", right, f"resume: {session.hex()}", got)
        if right:
            same = m.replace(before, resume=None) == m.replace(hello, resume=None)
            run = hello.run == before.run
            self.findings.check(
                "R4 run", run, f"run: {before.run.hex()}, as before", hello.run.hex()
            )
            if run:
                wish = "the hello of before, with resume"
                self.findings.check("R7 resume", same, wish, "a hello with other fields")

    # -- frames --------------------------------------------------------------------------------

    def _take_frame(self, body: bytes, message: m.Step | m.Teach) -> SeenFrame:
        repeated = self._is_repeated(message.seq, body)
        self._first_frame = False
        self.findings.keep("R3 tensors are bin")
        if repeated:
            frame = self._kept[message.seq]._replace(body=body, message=message, repeated=True)
        else:
            self.received += 1
            self._last_seq = message.seq
            frame = SeenFrame(message.seq, body, message, self._check_rows(message), False)
            self._kept[message.seq] = frame
            self._kept.pop(message.seq - KEPT, None)
        self.pending[message.seq] = frame
        assert self.welcome is not None
        if len(self.pending) > self.welcome.window:
            wish = f"at most {self.welcome.window} unanswered frames"
            self.findings.fail("R6 window", wish, f"{len(self.pending)} (seq {message.seq})")
        return frame

    def _check_rows(self, message: m.Step | m.Teach) -> FrameCheck | None:
        if self.shape is None:
            return None
        if isinstance(message, m.Teach):
            self._check_teach(message, self.shape)
            return None
        self._before = self._book.copy()
        rule = "R7 begins anew" if self._anew else "R5 first rows"
        return FrameCheck(self.shape, self._book, message, self.findings, rule)

    def _is_repeated(self, seq: int, body: bytes) -> bool:
        """Check that ``seq`` is in order; whether the frame is one that came before."""
        findings, last = self.findings, self._last_seq
        assert self.welcome is not None
        if self._first_frame and self.welcome.resumed:
            oldest = min(self.pending, default=last + 1)
            wish = f"seq {oldest} again, which has no answer" if self.pending else f"seq {oldest}"
            findings.check("R7 resend", seq <= oldest, wish, f"seq {seq}")
        kept = self._kept.get(seq)
        known = None if kept is None else kept.body
        if known is not None and self.welcome.resumed and seq <= last:
            at = next((i for i, (a, b) in enumerate(zip(known, body, strict=False)) if a != b), -1)
            got = f"{len(body)} bytes" + (f", other ones from byte {at} on" if at >= 0 else "")
            wish = f"seq {seq}: the {len(known)} bytes of before"
            findings.check("R7 resend", known == body, wish, got)
            return True
        anew = self._first_frame and self._anew and last == 0
        key = "R7 begins anew" if anew else "R6 seq"
        findings.check(key, seq == last + 1, f"seq {last + 1}", f"seq {seq}")
        return False

    def _check_teach(self, teach: m.Teach, shape: GameShape) -> None:
        first = shape.tensors[0]
        rows = len(teach.obs.get(first.name, b"")) // max(1, first.nbytes)
        for t in shape.tensors:
            got = len(teach.obs.get(t.name, b""))
            wish = f"obs.{t.name}: {rows * t.nbytes} bytes for {rows} rows"
            self.findings.check(
                "R3 tensor sizes", rows > 0 and got == rows * t.nbytes, wish, f"{got} bytes"
            )
        fits = rows > 0 and len(teach.target) % (4 * rows) == 0 and len(teach.target) > 0
        wish = f"target: a number or several for each of {rows} rows"
        self.findings.check("R8 teach", fits, wish, f"{len(teach.target)} bytes")
        if teach.weight is not None:
            weights = memoryview(bytes(teach.weight))
            right = len(weights) == 4 * rows and all(
                0 <= value < float("inf") for value in weights.cast("f")
            )
            self.findings.check("R8 teach", right, "weight: finite, not negative", "another one")

    def _take_log(self, log: m.Log, now: float) -> None:
        try:
            check_numbers(log.values, Code.BAD_LOG)
            self.findings.keep("R16 log")
        except ProtocolError as fault:
            self.findings.fail("R16 log", f"{fault.field}: {fault.expected}", str(fault.got))
        self._logs.append(now)
        while self._logs[0] < now - 1:
            self._logs.popleft()
        wish = f"at most {MAX_LOGS} messages a second"
        self.findings.check("R16 log", len(self._logs) <= MAX_LOGS, wish, f"{len(self._logs)}")
