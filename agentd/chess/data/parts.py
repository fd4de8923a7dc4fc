"""Parts of a dump, parsed apart from each other into files of blocks, and joined in order.

The file of a part, ``part-<dump>-<start>-<end>.blocks`` in the folder of shards, is there for as
long as its rows are in no shard: packed blocks, each behind a head, and the part's own end. It
appears whole or not at all. ``part-ends.jsonl`` tells where in the text the parts end, so that a
run that goes on begins with the part in which the last shard ended.
"""

import gc
import hashlib
import json
import os
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentd.errors import DamagedFile, StorageError
from agentd.games.chess.data.blocks import ParsedBlock, pack_block, read_block, unpack_block
from agentd.games.chess.data.dump import DumpBlocks
from agentd.games.chess.data.filter import Filter
from agentd.games.chess.data.frames import DumpPart, PartText, cut_parts
from agentd.games.chess.data.packed import PIECE_BYTES, CountedFile, TextDamaged, decode
from agentd.games.chess.data.pgn_reader import PgnReader

_HEAD = struct.Struct("<4sQQQI")  # kind, offset in the part's text, its size, dump read, packed
_BLOCK, _END = b"blok", b"endp"
ENDS = "part-ends.jsonl"
_HASHED = 2**20


@dataclass(frozen=True, slots=True)
class PartTask:
    """A part to parse into ``target``; the dump is ``size`` bytes long."""

    dump: str
    size: int
    part: DumpPart
    target: str


@dataclass(frozen=True, slots=True)
class PartBlock:
    """Where a block of a part lies in the dump's text, and how much of the dump was read."""

    offset: int
    size: int
    read: int


@dataclass(slots=True)
class PartEnd:
    """How a part ended: bytes of its text, how far the dump was read, and what broke, if it did."""

    size: int
    read: int
    damage: str | None


def parts_of(dump: Path, part_bytes: int) -> list[DumpPart]:
    """Return the parts of ``dump``; of one that cannot be read in parts none.

    Such are pipes, dumps without an index of their frames, and those with old Macs' lines.
    """
    if not dump.is_file() or len(parts := cut_parts(dump, part_bytes)) < 2:
        return []
    with CountedFile(dump) as file:
        head = b""
        try:
            for piece in decode(file):
                head += piece
                if len(head) >= PIECE_BYTES:
                    break
        except TextDamaged:
            return []
    return [] if b"\r" in head and b"\n" not in head else parts


def part_tasks(dump: Path, number: int, parts: Sequence[DumpPart], folder: Path) -> list[PartTask]:
    """Return the tasks for ``parts`` of ``dump``, the source ``number`` of ``folder``."""
    size = dump.stat().st_size
    tasks = []
    for part in parts:
        name = f"part-{number:03}-{part.start:012}-{part.end:012}.blocks"
        tasks.append(PartTask(str(dump.resolve()), size, part, str((folder / name).resolve())))
    return tasks


def read_part(task: PartTask, reader: PgnReader, wanted: Filter) -> None:
    """Parse a part into its file, unless that is there. Raises OSError, StorageError."""
    target = Path(task.target)
    if target.exists():
        return
    new = target.with_name(f".new-{target.name}-{os.getpid()}")
    collects = gc.isenabled()
    gc.disable()  # boards and moves make no cycles, and looking for some costs a tenth
    try:
        with new.open("wb") as file:
            for data in _packed(task, reader, wanted):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        if collects:
            gc.enable()


def _packed(task: PartTask, reader: PgnReader, wanted: Filter) -> Iterator[bytes]:
    size = 0
    with PartText(Path(task.dump), task.part) as text:
        blocks = DumpBlocks(text, text)
        for block in blocks:
            parsed = read_block(block.data, reader, wanted, cut_off=block.cut_off)
            data = pack_block(parsed)
            yield _HEAD.pack(_BLOCK, block.offset, block.size, block.read, len(data))
            yield data
            size = block.offset + block.size
            gc.collect(0)
        damage = (blocks.damage or "").encode()
        yield _HEAD.pack(_END, size, 0, text.tell(), len(damage))
        yield damage


def part_blocks(task: PartTask, offset: int) -> Iterator[tuple[PartBlock, ParsedBlock] | PartEnd]:
    """Yield the blocks of a part whose text begins ``offset`` bytes into the dump's, then its end.

    Raises DamagedFile where the part's file is not as it was written.
    """
    with Path(task.target).open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            kind, at, size, read, packed = _HEAD.unpack(head)
            data = file.read(packed)
            if kind not in (_BLOCK, _END) or len(data) < packed:
                break
            if kind == _END:
                yield PartEnd(at, read, data.decode() or None)
                return
            yield PartBlock(offset + at, size, read), unpack_block(data)
    raise DamagedFile(
        f"{task.target} is not as it was written", hint="delete it: that part is parsed again"
    )


class PartEnds:
    """Where in the text of dumps the parts end that were joined; kept in a folder of shards."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ENDS
        self._ends: dict[str, int] = {}
        try:
            lines = self._path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                name, end = json.loads(line)
                self._ends[str(name)] = int(end)
            except (ValueError, TypeError):
                continue  # cut off by a crash: that part is found again

    def remaining(self, tasks: Sequence[PartTask], offset: int) -> tuple[list[PartTask], int]:
        """Return the tasks from that on in whose text byte ``offset`` is, and where that begins."""
        begin = 0
        for place, task in enumerate(tasks):
            end = self._ends.get(Path(task.target).name)
            if end is None or end > offset:
                return list(tasks[place:]), begin
            begin = end
        return [], begin

    def note(self, task: PartTask, end: int) -> None:
        """Keep where the text of a part ends. Raises StorageError."""
        name = Path(task.target).name
        if self._ends.get(name) == end:
            return
        self._ends[name] = end
        try:
            with self._path.open("a") as file:
                file.write(json.dumps([name, end]) + "\n")
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error


def later_games(
    block: PartBlock, parsed: ParsedBlock, start: int
) -> tuple[PartBlock, ParsedBlock] | None:
    """Return a block less the games before byte ``start`` of the text; None for nothing left."""
    if block.offset >= start:
        return block, parsed
    if block.offset + block.size <= start:
        return None
    games = parsed.games
    first = int((games["start"] + block.offset < start).sum())
    rows = int(games["rows"][:first].sum())
    return block, ParsedBlock(games[first:], parsed.rows[rows:])


class FileDigest(threading.Thread):
    """The SHA-256 of a file, computed beside other work."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path, self._given_up = path, threading.Event()
        self._digest = hashlib.sha256()
        self._error: OSError | None = None

    def run(self) -> None:
        """Read the file; called by ``start``."""
        try:
            with self._path.open("rb") as file:
                while (data := file.read(_HASHED)) and not self._given_up.is_set():
                    self._digest.update(data)
        except OSError as error:
            self._error = error

    def value(self, until: int | None = None) -> str:
        """Wait for the digest; of the first ``until`` bytes alone where that is given."""
        if until is not None:
            self._given_up.set()
            with self._path.open("rb") as file:
                return hashlib.sha256(file.read(until)).hexdigest()
        self.join()
        if self._error is not None:
            raise self._error
        return self._digest.hexdigest()
