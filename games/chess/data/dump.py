"""A dump as a stream of blocks of whole games, never held at once: memory is bounded by a block."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from agentd.games.chess.data.game_starts import first_game_start, last_game_start
from agentd.games.chess.data.packed import (
    PIECE_BYTES,
    Hash,
    Readable,
    TextDamaged,
    TextRefused,
    unpack,
)

BLOCK_BYTES = 2**20
"""Text of a block: small enough to spread over processes, large enough not to count."""
GAME_BYTES = 8 * 2**20
"""A longer game is cut: its first part is handed on, to be counted, and the rest is skipped."""
LONGEST_START = 256
"""Bytes, about, that the start of a game takes: empty line, marks and its first tag's name."""
_TAG = re.compile(rb'^(?:\xef\xbb\xbf)?[ \t]*\[\w+[ \t]+"', re.M)


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

    @property
    def size(self) -> int:
        """Bytes of the text."""
        return len(self.data)


def read_dump(file: Readable, seen: Hash | None = None) -> Iterator[bytes]:
    """Yield the text of a dump, unpacked where it is packed; each line ends in a newline.

    ``seen`` is fed every byte of the file. Raises TextDamaged where the text ends before it should,
    and TextRefused where it does not begin as PGN does.
    """
    pieces = unpack(file, seen)
    head, damage = bytearray(), None
    try:
        while len(head) < PIECE_BYTES and (piece := next(pieces, None)) is not None:
            head += piece
    except TextDamaged as fault:
        damage = fault
    old_lines = b"\r" in head and b"\n" not in head  # as old Macs wrote them
    first = bytes(head).replace(b"\r", b"\n") if old_lines else bytes(head)
    if damage is None and not _TAG.search(first):
        raise TextRefused('it is no PGN, expected a tag such as [Event "..."]')
    for at in range(0, len(first), PIECE_BYTES):
        yield first[at : at + PIECE_BYTES]
    if damage is not None:
        raise damage
    for piece in pieces:
        yield piece.replace(b"\r", b"\n") if old_lines else piece


class CountsBytes(Protocol):
    """Says how many bytes of a dump were read."""

    def tell(self) -> int: ...


class DumpBlocks:
    """Cuts a text into blocks of whole games. After the last one ``damage`` says what broke."""

    def __init__(self, pieces: Iterable[bytes], file: CountsBytes, start: int = 0) -> None:
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
            start = first_game_start(text)
            if start:
                self._offset += start
                return bytearray(text[start:])
            tail = text[-LONGEST_START:]
            self._offset += len(text) - len(tail)
        self._offset += len(tail)
        return bytearray()

    def _guard(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except TextDamaged as fault:
            self.damage = str(fault)
