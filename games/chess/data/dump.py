"""A dump as a stream of blocks of whole games: decompressed piece by piece, never held at once.

Memory is bounded by a block, by what 8 KiB of zstd can hold, and by the window that the file's
writer chose. Games begin at a tag line after an empty line; that is all that is looked at here.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

READ_BYTES = 8 * 1024
"""Compressed bytes taken at once: even 8 KiB that were made to burst hold at most 256 MiB."""
PIECE_BYTES = 64 * 1024
"""Text handed on at once."""
WINDOW_BYTES = 2**28
BLOCK_BYTES = 2**20
"""Text of a block: small enough to spread over processes, large enough not to count."""
GAME_BYTES = 8 * 2**20
"""A longer game is cut: its first part is handed on, to be counted, and the rest is skipped."""

GAME_START = re.compile(rb"\n\r?\n(?:\xef\xbb\xbf)?(?=\[[A-Za-z])")
_ZSTD = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")  # a frame's magic, a skippable frame's


class DumpDamaged(Exception):
    """A compressed dump ends early or is not what it was; the text says where and how."""


class Hash(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class DumpBlock:
    """Whole games: ``data`` begins ``offset`` bytes into the decompressed text.

    ``read`` is how much of the file was read so far, in its own bytes. The games of a block that
    is ``cut_off`` were being read when the dump broke: the last of them is not whole.
    """

    offset: int
    read: int
    data: bytes
    cut_off: bool = False


def read_dump(file: BinaryIO, seen: Hash | None = None) -> Iterator[bytes]:
    """Yield the text of a dump, decompressed where it begins as zstd does.

    ``seen`` is fed every byte of the file. Raises DumpDamaged where the text ends before it should.
    """
    seen = seen or hashlib.sha256()
    piece = file.read(READ_BYTES)
    seen.update(piece)
    if not piece[:4].startswith(_ZSTD[0]) and piece[1:4] != _ZSTD[1][1:]:
        while piece:
            yield piece
            piece = file.read(READ_BYTES)
            seen.update(piece)
        return
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    frame = decompressor.decompressobj()
    begun = False
    while piece:
        try:
            text = frame.decompress(piece)
        except zstandard.ZstdError as fault:
            reason = str(fault).rpartition(": ")[2]
            raise DumpDamaged(f"corrupt near byte {file.tell()}: {reason}") from None
        begun = True
        for at in range(0, len(text), PIECE_BYTES):
            yield text[at : at + PIECE_BYTES]
        if frame.eof:
            piece, begun = frame.unused_data, False
            frame = decompressor.decompressobj()
        else:
            piece = b""
        if not piece:
            piece = file.read(READ_BYTES)
            seen.update(piece)
    if begun:
        raise DumpDamaged(f"truncated: ends at byte {file.tell()} inside a zstd frame")


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOBase]:
    """Open a table of text, decompressed where its name ends in .zst; newlines stay as they are."""
    with path.open("rb") as raw:
        unpacked = zstandard.ZstdDecompressor().stream_reader(raw) if path.suffix == ".zst" else raw
        with io.TextIOWrapper(unpacked, "utf-8", newline="") as lines:
            yield lines


class DumpBlocks:
    """Cuts a text into blocks of whole games. After the last one ``damage`` says what broke."""

    def __init__(self, pieces: Iterable[bytes], file: BinaryIO, start: int = 0) -> None:
        self.damage: str | None = None
        self._pieces, self._file = self._guard(pieces), file
        self._offset = 0
        self._start = start

    def __iter__(self) -> Iterator[DumpBlock]:
        """Yield the blocks from byte ``start`` of the text on, where a game must begin."""
        buffer = bytearray()
        wanted = BLOCK_BYTES
        for piece in self._from_start():
            buffer += piece
            if len(buffer) < wanted:
                continue
            end = last_game_start(buffer)
            if end:
                yield self._take(buffer, end)
            elif len(buffer) > GAME_BYTES:
                yield self._take(buffer, len(buffer))
                buffer = self._skip_to_game()
            wanted = max(BLOCK_BYTES, 2 * len(buffer))
        if self.damage is not None and (end := last_game_start(buffer)):
            yield self._take(buffer, end)
        if buffer:
            yield self._take(buffer, len(buffer), cut_off=self.damage is not None)

    def _take(self, buffer: bytearray, end: int, *, cut_off: bool = False) -> DumpBlock:
        block = DumpBlock(self._offset, self._file.tell(), bytes(buffer[:end]), cut_off)
        del buffer[:end]
        self._offset += end
        return block

    def _from_start(self) -> Iterator[bytes]:
        for piece in self._pieces:
            skip = self._start - self._offset
            if skip <= 0:
                yield piece
            elif skip < len(piece):
                self._offset += skip
                yield piece[skip:]
            else:
                self._offset += len(piece)

    def _skip_to_game(self) -> bytearray:
        """Drop text up to the next game's start; return what was read of that game."""
        tail = b""
        for piece in self._pieces:
            text = tail + piece
            found = GAME_START.search(text)
            if found:
                self._offset += found.end()
                return bytearray(text[found.end() :])
            tail = text[-8:]
            self._offset += len(text) - len(tail)
        self._offset += len(tail)
        return bytearray()

    def _guard(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except DumpDamaged as fault:
            self.damage = str(fault)


def last_game_start(text: bytes | bytearray) -> int:
    """Return where the last game in ``text`` begins, 0 where no other than the first does."""
    end = 0
    for found in GAME_START.finditer(text):
        end = found.end()
    return end


def split_games(block: bytes) -> list[tuple[int, bytes]]:
    """Return (offset in the block, text) of each game."""
    starts = [0, *(found.end() for found in GAME_START.finditer(block))]
    return [
        (start, block[start:end])
        for start, end in zip(starts, [*starts[1:], len(block)], strict=True)
    ]
