"""Writes sessions to files while they run, in a thread of its own: the event loop never waits.

What the disk refuses, or cannot take in time, ends the recording with a line in the log; serving
goes on. Files are bounded, and so is their folder: the oldest go first.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgpack

from agentd.protocol.codec import HEADER, FrameDecoder
from agentd.protocol.errors import ProtocolError
from agentd.recording.file import CONNECT, END, FULL, SUFFIX, Entry, Mark, entry_line, head_line

log = logging.getLogger("agentd.recording")

FILE_BYTES = 64 << 20
"""A session's file ends there."""
FOLDER_BYTES = 1 << 30
"""All files of the folder; the oldest are removed for a new one."""
WAITING_BYTES = 64 << 20
"""What may wait to be written."""
LONGEST = 2**31 - 1
FLUSH_S = 0.5
CLOSE_S = 5.0

Facts = Callable[[str], dict[str, Any]]
_Item = tuple["Tap | None", Mark, float, bytes]


class Tap:
    """One connection's way into the recorder; every call returns at once."""

    def __init__(self, recorder: "Recorder") -> None:
        self._recorder = recorder
        self.decoders: dict[str, FrameDecoder] = {
            mark: FrameDecoder(LONGEST) for mark in (">", "<")
        }
        self.begun = b""  # the client's first bytes, which tell the carrier
        self.waiting: list[Entry] = []  # until the session is known
        self.hello: dict[str, Any] = {}
        self.file: _OpenFile | None = None
        recorder.put(self, "=", CONNECT.encode())

    def received(self, data: bytes) -> None:
        """Take what the client said."""
        self._recorder.put(self, ">", data)

    def sent(self, data: bytes) -> None:
        """Take what the server said."""
        self._recorder.put(self, "<", data)

    def ended(self) -> None:
        """The connection is over."""
        self._recorder.put(self, "=", END.encode())


class _OpenFile:
    """One session's file while it is written."""

    def __init__(self, path: Path, facts: dict[str, Any], most: int) -> None:
        self.path, self._left = path, most
        self._stream: TextIO | None = path.open("x", encoding="utf-8")
        self._stream.write(head_line(facts))

    def write(self, entry: Entry) -> None:
        """Append an entry, unless the file is full. Raises OSError."""
        if self._stream is None:
            return
        line = entry_line(entry)
        self._left -= len(line)
        if self._left < 0:
            log.warning("recording full file=%s", self.path)
            self._stream.write(entry_line(Entry("=", entry.us, FULL.encode())))
            self.close()
            return
        self._stream.write(line)

    def flush(self) -> None:
        """Hand everything to the disk. Raises OSError."""
        if self._stream is not None:
            self._stream.flush()

    def close(self) -> None:
        """Close the file. Raises OSError."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class Recorder:
    """Records every session of a server into a folder, a file each.

    ``facts`` tells of an agent by name what stands in the first line; it is called in our thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        file_bytes: int = FILE_BYTES,
        folder_bytes: int = FOLDER_BYTES,
    ) -> None:
        """Raises OSError when the folder cannot be made or written to."""
        folder.mkdir(parents=True, exist_ok=True)
        self.facts: Facts = lambda agent: {}
        self.stopped = False
        self._folder, self._file_bytes, self._folder_bytes = folder, file_bytes, folder_bytes
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._files: dict[bytes, _OpenFile] = {}  # by session
        self._number = 0
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def tap(self) -> Tap:
        """A way in for a connection that begins."""
        return Tap(self)

    def put(self, tap: Tap, mark: Mark, data: bytes) -> None:
        """Take something to be written; called in the event loop."""
        if self.stopped:
            return
        with self._lock:
            self._waiting += len(data)
        if self._waiting > WAITING_BYTES:
            self._stop(f"the disk is too slow: {self._waiting} bytes wait")
            return
        self._items.put((tap, mark, time.monotonic(), bytes(data)))

    def close(self) -> None:
        """Write what waits, and end."""
        self._items.put(None)
        self._thread.join(CLOSE_S)

    # -- in our thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                tap, mark, when, data = item
                if tap is not None and not self.stopped:
                    self._take(tap, mark, round(1e6 * (when - self._start)), data)
                with self._lock:
                    self._waiting -= len(data)
        except OSError as error:
            self._stop(f"{error.strerror or error}")
        except Exception:
            log.exception("recording failed")
            self.stopped = True
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()

    def _next(self) -> _Item | None:
        """The next item; None at the end. While nothing comes, files are flushed."""
        try:
            return self._items.get_nowait()
        except queue.Empty:
            for file in self._files.values():
                file.flush()
        try:
            return self._items.get(timeout=FLUSH_S)
        except queue.Empty:
            return (None, "=", 0.0, b"")

    def _stop(self, why: str) -> None:
        if not self.stopped:
            self.stopped = True
            log.error("recording stopped folder=%s why=%s", self._folder, why)

    def _take(self, tap: Tap, mark: Mark, us: int, data: bytes) -> None:
        if mark == "=":
            self._write(tap, Entry("=", us, data))
            return
        decoder = tap.decoders[mark]
        if mark == ">" and len(tap.begun) < 4:
            tap.begun += data[:4]
            if tap.begun[:4] == b"GET ":  # a request; the frames of its messages come later
                tap.decoders[mark] = FrameDecoder(LONGEST)
                return
        decoder.feed(data)
        try:
            while (body := decoder.next_frame()) is not None:
                self._take_frame(tap, mark, us, bytes(body))
        except ProtocolError:  # the server refuses such bytes, and closes
            tap.decoders[mark] = FrameDecoder(LONGEST)

    def _take_frame(self, tap: Tap, mark: Mark, us: int, body: bytes) -> None:
        session = None
        if mark == ">" and not tap.hello:
            tap.hello, body = _blank_hello(body)
        elif mark == "<" and tap.file is None:
            session, facts, body = _blank_welcome(body)
            if session is not None:
                tap.file = self._files.get(session) or self._open(session, tap, facts)
        self._write(tap, Entry(mark, us, HEADER.pack(len(body)) + body))

    def _write(self, tap: Tap, entry: Entry) -> None:
        tap.waiting.append(entry)
        if tap.file is not None:
            for each in tap.waiting:
                tap.file.write(each)
            tap.waiting.clear()

    def _open(self, session: bytes, tap: Tap, welcome: dict[str, Any]) -> _OpenFile:
        """The file of a session that begins. Raises OSError."""
        self._make_room()
        self._number += 1
        agent = str(welcome.get("agent") or "admin")
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path = self._folder / f"{stamp}-{self._number:05}-{agent}{SUFFIX}"
        facts = {
            "agent": agent,
            "client": tap.hello.get("client"),
            "role": tap.hello.get("role"),
            "protocol": welcome.get("protocol"),
            "version": welcome.get("version"),
            "started": stamp,
            **self.facts(agent),
        }
        file = self._files[session] = _OpenFile(path, facts, self._file_bytes)
        return file

    def _make_room(self) -> None:
        """Remove the oldest files, so that one more fits. Raises OSError."""
        ours = {file.path for file in self._files.values()}
        found = sorted(self._folder.glob(f"*{SUFFIX}"))
        sizes = {path: path.stat().st_size for path in found}
        total = sum(sizes.values()) + self._file_bytes
        for path in found:
            if total <= self._folder_bytes:
                return
            if path not in ours:
                path.unlink()
                total -= sizes[path]


def _unpacked(body: bytes) -> dict[str, Any]:
    try:
        found = msgpack.unpackb(body)
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}


def _blank_hello(body: bytes) -> tuple[dict[str, Any], bytes]:
    """A hello, and its body without secrets."""
    hello = _unpacked(body)
    token, resume = hello.get("token"), hello.get("resume")
    if isinstance(token, str) and token:
        body = body.replace(token.encode(), b"*" * len(token.encode()))
        hello["token"] = None
    if isinstance(resume, bytes) and resume:
        body = body.replace(resume, bytes(len(resume)))
    return hello or {"type": "?"}, body


def _blank_welcome(body: bytes) -> tuple[bytes | None, dict[str, Any], bytes]:
    """The session of a welcome (None for another message), its facts, its body without secret."""
    welcome = _unpacked(body)
    session = welcome.get("session")
    if welcome.get("type") != "welcome" or not isinstance(session, bytes):
        return None, welcome, body
    return session, welcome, body.replace(session, bytes(len(session)))
