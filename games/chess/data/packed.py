"""Files of text, packed or not, as streams: the one reader of dumps and of tables.

zstd, gzip and bzip2 are known by how a file begins, whatever its name is; packed parts may follow
each other. One rule for all: a file that is cut off gives what it holds and then an error. Memory
is bounded by what ``READ_BYTES`` can hold and by the window that the file's writer chose, up to
that of ``zstd --long=31``.
"""

import bz2
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import zstandard

READ_BYTES = 8 * 1024
"""Packed bytes taken at once: even 8 KiB that were made to burst hold at most 256 MiB."""
PIECE_BYTES = 64 * 1024
"""Text handed on at once."""
WINDOW_BYTES = 2**31
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_FAULTS = (zstandard.ZstdError, zlib.error, OSError, EOFError)


class TextDamaged(Exception):
    """A packed file ends early or is not what it was; the text says where and how."""


class TextRefused(TextDamaged):
    """A file holds no text of the kind it should; the text says what it holds."""


class TableError(ValueError):
    """A table has a wrong row or is cut off; the text names the file and the line."""


class Hash(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None: ...


class Readable(Protocol):
    """A file of bytes; ``tell`` says how many were read."""

    def read(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


class CountedFile:
    """A file or pipe, opened to be read once; ``tell`` counts, for a pipe does not know."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._read = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        return data

    def tell(self) -> int:
        return self._read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _zstd() -> Any:
    return zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj()


def _kind_of(beginning: bytes) -> tuple[str, Callable[[], Any]] | None:
    """Return the name and the decoder of a packed file by its first bytes, None for plain text."""
    if beginning[:4] == b"\x28\xb5\x2f\xfd" or beginning[1:4] == b"\x2a\x4d\x18":
        return "zstd frame", _zstd  # or one that is skipped
    if beginning[:3] == b"\x1f\x8b\x08":
        return "gzip member", lambda: zlib.decompressobj(wbits=31)
    if beginning[:3] == b"BZh" and beginning[4:10] == b"1AY&SY":
        return "bzip2 stream", bz2.BZ2Decompressor
    return None


def unpack(file: Readable, seen: Hash | None = None) -> Iterator[bytes]:
    """Yield the text of ``file`` in pieces. ``seen`` is fed every byte of the file.

    Raises TextDamaged where the text ends before it should, TextRefused where there is none or it
    is UTF-16.
    """
    begun = False
    for piece in decode(file, seen):
        if not begun and piece:
            begun = True
            if piece[:2] in _UTF16 or piece[1:2] == b"\0" or piece[:1] == b"\0":
                raise TextRefused("it is UTF-16 text or binary, expected UTF-8")
        yield piece
    if not begun:
        raise TextRefused("it is empty")


def decode(file: Readable, seen: Hash | None = None) -> Iterator[bytes]:
    """Yield the text of ``file`` in pieces, whatever it is, and nothing of an empty one.

    ``seen`` is fed every byte of the file. Raises TextDamaged where it ends before it should.
    """

    def take() -> bytes:
        data = file.read(READ_BYTES)
        if seen is not None:
            seen.update(data)
        return data

    piece = take()
    kind = _kind_of(piece)
    if kind is None:
        while piece:
            yield piece
            piece = take()
        return
    name, decoder = kind
    part, begun = decoder(), False
    while piece:
        if not begun and name == "gzip member":
            piece = piece.lstrip(b"\0")  # what tapes and blocks were filled up with
        try:
            text = part.decompress(piece)
        except _FAULTS as fault:
            reason = str(fault).rpartition(": ")[2]
            raise TextDamaged(f"corrupt near byte {file.tell()}: {reason}") from None
        begun = begun or bool(piece)
        for at in range(0, len(text), PIECE_BYTES):
            yield text[at : at + PIECE_BYTES]
        piece = b""
        if part.eof:
            piece, part, begun = part.unused_data, decoder(), False
        piece = piece or take()
    if begun:
        raise TextDamaged(f"truncated: ends at byte {file.tell()} inside a {name}")


class _Stream(io.RawIOBase):
    """Pieces of text as a raw file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


@contextmanager
def open_text(path: Path) -> Iterator[tuple[io.TextIOBase, CountedFile]]:
    """Open a table of text, and the file that it comes from; newlines stay as they are.

    Reading raises TextDamaged where the text ends before it should.
    """
    with CountedFile(path) as file:
        raw = io.BufferedReader(_Stream(unpack(file)), PIECE_BYTES)
        with io.TextIOWrapper(raw, "utf-8-sig", newline="") as lines:
            yield lines, file
