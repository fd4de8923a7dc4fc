"""Parts of a dump that are read alone: an index of its frames, and the text that a part owns.

pzstd, which packs lichess's dumps, writes before each frame a skippable one of 12 bytes (RFC 8878,
section 3.1.2; zstd's contrib/pzstd/SkippableFrame.h): the magic number ``50 2a 4d 18``, the size 4,
and the bytes of the frame that follows, all little-endian. So the index is a walk from header to
header, and nothing is unpacked.

A game belongs to the part in whose text the empty line before it begins. Each part reads on past
its end until that line; so the parts of a dump hold its games once, in order, however it is cut.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentd.games.chess.data.game_starts import GAME_START
from agentd.games.chess.data.packed import CountedFile, decode

HEADER = struct.Struct("<4sII")
_MAGIC, _SIZE = b"\x50\x2a\x4d\x18", 4
PART_BYTES = 8 * 2**20
"""Packed bytes of a part, about: some seconds of parsing."""
_OPEN = b" \t\r\n\xef\xbb\xbf["
"""What the beginning of a game's start may consist of while the rest was not read yet."""


@dataclass(frozen=True, slots=True)
class DumpPart:
    """Bytes ``start`` to ``end`` of a dump, whole frames but for a damaged dump's last part."""

    start: int
    end: int


def cut_parts(dump: Path, part_bytes: int = PART_BYTES) -> list[DumpPart]:
    """Return the parts of ``dump`` in order; they depend on it and on ``part_bytes`` alone.

    A dump without pzstd's headers is one part, and so is the rest of one where they end.
    """
    size = dump.stat().st_size
    cuts, start = [0], 0
    with dump.open("rb") as file:
        while (end := _frame_end(file.read(HEADER.size), start)) is not None and end < size:
            if end - cuts[-1] >= part_bytes:
                cuts.append(end)
            start = end
            file.seek(start)
    return [DumpPart(a, b) for a, b in zip(cuts, [*cuts[1:], size], strict=True)]


def _frame_end(header: bytes, start: int) -> int | None:
    """Return where the frame behind ``header`` at ``start`` ends; None for no such header."""
    if len(header) < HEADER.size:
        return None
    magic, size, packed = HEADER.unpack(header)
    if (magic, size) != (_MAGIC, _SIZE) or not packed:
        return None
    return int(start + HEADER.size + packed)


class _PartFile(CountedFile):
    """The bytes of a part; ``tell`` counts from the beginning of the dump, as do the reads."""

    def __init__(self, dump: Path, part: DumpPart) -> None:
        super().__init__(dump)
        self._file.seek(part.start)
        self._read, self._end = part.start, part.end

    def read(self, size: int, /) -> bytes:
        return super().read(min(size - self._read % size, self._end - self._read))


class PartText:
    """The text of the games that belong to a part: an iterator of pieces; a context manager.

    ``tell`` is how far the dump was read. Raises TextDamaged where the text ends before it should.
    """

    def __init__(self, dump: Path, part: DumpPart) -> None:
        size = max(part.end, dump.stat().st_size)
        self._own = _PartFile(dump, part)
        self._next = _PartFile(dump, DumpPart(part.end, size))
        self._begun = part.start == 0
        self._text, self._base = b"", 0
        self._end: int | None = None  # of the part's own text, once that was read
        self._pieces = self._read()

    def __enter__(self) -> "PartText":
        return self

    def __exit__(self, *error: object) -> None:
        for file in (self._own, self._next):
            file.__exit__(None, None, None)

    def tell(self) -> int:
        """Return how many bytes of the dump were read from its beginning on."""
        return self._own.tell() if self._end is None else self._next.tell()

    def __iter__(self) -> Iterator[bytes]:
        if not (self._begun or self._find_beginning()):
            return
        while self._end is None:
            yield self._take(len(self._text))
            self._more()
        while True:
            beyond = max(0, self._end - self._base)
            if found := GAME_START.search(self._text, beyond):
                yield self._take(found.end())
                return
            yield self._take(max(min(beyond, len(self._text)), len(self._text.rstrip(_OPEN))))
            if not self._more():
                yield self._take(len(self._text))
                return

    def _find_beginning(self) -> bool:
        """Drop what belongs to the part before; False where nothing belongs to this one."""
        while True:
            found = GAME_START.search(self._text)
            self._take(found.start() if found else len(self._text.rstrip(_OPEN)))
            if self._end is not None and self._base >= self._end:
                return False
            if found:
                self._take(found.end() - found.start())
                return True
            if not self._more():
                return False

    def _take(self, size: int) -> bytes:
        taken, self._text = self._text[:size], self._text[size:]
        self._base += size
        return taken

    def _more(self) -> bool:
        """Read another piece; False where the dump has ended."""
        piece = next(self._pieces, None)
        self._text += piece or b""
        return piece is not None

    def _read(self) -> Iterator[bytes]:
        read = 0
        for piece in decode(self._own):
            read += len(piece)
            yield piece
        self._end = read
        yield from decode(self._next)
