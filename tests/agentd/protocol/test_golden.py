"""Recorded exchanges are replayed through the server's machine: the same bytes, for ever.

A transcript's lines: ``#`` comment · ``> hex`` bytes from the client, as one chunk · ``= type seq``
the message that the machine then gives · ``! CODE`` the fault that it raises · ``< hex`` one
frame of the server, which the machine must make byte for byte.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from agentd.protocol import codec
from agentd.protocol import messages as m
from agentd.protocol.codec import HEADER, FrameDecoder, decode_server
from agentd.protocol.connection import ServerConnection, State, kind_of
from agentd.protocol.errors import Code, ProtocolError

GOLDEN = sorted((Path(__file__).parent / "golden").glob("**/*.txt"))
SPOKE_1 = {"version"}
"""Transcripts of a server that spoke version 1 alone, and said so."""
MAX = 8 << 20


def read(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, rest = line.partition(" ")
        assert mark in "#>=!<", line
        if mark != "#":
            yield mark, rest


class Replay:
    """Plays a transcript's server: what the machine gives is what the next line says."""

    def __init__(self) -> None:
        self.wire = ServerConnection(MAX)
        self.fault: ProtocolError | None = None

    def line(self, mark: str, rest: str) -> None:
        if mark == ">":
            assert self.wire.next_event() is None  # everything said so far was in the transcript
            self.wire.receive(bytes.fromhex(rest))
        elif mark == "=":
            event = self.wire.next_event()
            assert event is not None
            seq = getattr(event, "seq", None)
            assert kind_of(event) + (f" {seq}" if seq is not None else "") == rest
        elif mark == "!":
            with pytest.raises(ProtocolError) as caught:
                self.wire.next_event()
            self.fault = caught.value
            assert self.fault.code == rest
        else:
            self.answer(bytes.fromhex(rest))

    def answer(self, frame: bytes) -> None:
        message = decode_server(frame[HEADER.size :])
        if self.fault is not None and isinstance(message, m.Error):
            told = self.fault.to_message()  # its sentences may be worded better; these may not
            assert (message.code, message.fatal) == (told.code, told.fatal)
            assert (message.field, message.seq) == (told.field, told.seq)
        if self.fault is not None and isinstance(message, m.Goodbye):
            assert message.reason == self.fault.code.goodbye
        welcome = isinstance(message, m.Welcome)
        made = self.wire.welcome(message) if welcome else self.wire.send(message)
        assert made == frame


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    found: Path = request.param
    if found.stem in SPOKE_1:
        monkeypatch.setattr(codec, "PROTOCOLS", (1, 1))
    return found


def test_transcript(path: Path) -> None:
    replay = Replay()

    for mark, rest in read(path):
        replay.line(mark, rest)

    assert replay.wire.next_event() is None
    assert (replay.fault is None) or replay.wire.state is State.CLOSED


def test_transcript_byte_by_byte(path: Path) -> None:
    """Where the stream is cut changes nothing: the same messages, the same fault."""
    replay, said = Replay(), list(read(path))
    for at, (mark, rest) in enumerate(said):
        data = bytes.fromhex(rest) if mark == ">" else b""
        if len(data) > 1 and (at + 1 == len(said) or said[at + 1][0] != ">"):
            for byte in data:
                replay.wire.receive(bytes([byte]))
        else:
            replay.line(mark, rest)


def test_the_transcripts_cover_the_protocol() -> None:
    types: set[str] = set()
    codes: set[str] = set()
    for path in GOLDEN:
        for mark, rest in read(path):
            if mark == "=":
                types.add("client " + rest.split()[0])
            elif mark == "!":
                codes.add(rest)
            elif mark == "<":
                decoder = FrameDecoder(MAX)
                decoder.feed(bytes.fromhex(rest))
                types.add("server " + kind_of(decode_server(decoder.next_frame() or b"")))

    known = {"client " + kind_of(kind) for kind in get_args(m.ClientMessage)}
    known |= {"server " + kind_of(kind) for kind in get_args(m.ServerMessage)}
    assert types == known
    assert codes == {
        Code.FRAME_TOO_LARGE, Code.BAD_FRAME, Code.BAD_MESSAGE, Code.UNEXPECTED_MESSAGE,
        Code.BAD_SEQ, Code.UNSUPPORTED_VERSION, Code.BAD_HELLO,
    }  # fmt: skip
