"""Prepare shards and their manifest from dumps; a stopped run resumes."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from agentd.chess.data.filter_file import FilterConfig
from agentd.chess.data.parsers import ParserPool, Parsers
from agentd.chess.data.parts import (
    ENDS,
    FileDigest,
    PartBlock,
    PartEnd,
    PartEnds,
    PartTask,
    later_games,
    part_blocks,
    part_tasks,
    parts_of,
)
from agentd.engine.data import DataError
from agentd.errors import MissingInput, UsageError
from agentd.games.chess.data.blocks import Games, ParsedBlock
from agentd.games.chess.data.dump import DumpBlock, DumpBlocks, read_dump
from agentd.games.chess.data.frames import PART_BYTES
from agentd.games.chess.data.packed import CountedFile, TextDamaged, TextRefused
from agentd.games.chess.data.player_counts import PlayerCounts
from agentd.games.chess.data.shards import (
    MANIFEST,
    Manifest,
    Next,
    ShardWriter,
    Source,
    pieces_of,
    read_manifest,
)
from agentd.store import write_file

PLAYERS = "players-{:05}.npy"


@dataclass(frozen=True)
class PreparationJob:
    """Which dumps to prepare, where to, and how."""

    dumps: tuple[Path, ...]
    folder: Path
    wanted: FilterConfig
    rows_per_shard: int
    reader: str
    workers: int
    part_bytes: int = PART_BYTES


Watch = Callable[[int], None]
"""Called after each block with the bytes read of all dumps together."""


def begin(job: PreparationJob) -> Manifest:
    """Return the manifest to resume from: the folder's own, or a new one.

    Raises UsageError, MissingInput, DataError.
    """
    wanted = msgspec.json.decode(msgspec.json.encode(job.wanted))
    for dump in job.dumps:
        require_dump(dump)
    sources = [Source(dump.name, size_of(dump)) for dump in job.dumps]
    try:
        found = read_manifest(job.folder)
    except FileNotFoundError:
        _refuse_strange_files(job.folder)
        return Manifest(wanted, job.rows_per_shard, sources)
    if pipes := [dump for dump in job.dumps if not dump.is_file()]:
        raise UsageError(
            f"{job.folder} holds shards already, and nobody can tell whether {pipes[0]}, a pipe, "
            "holds the same games as then",
            hint="name another folder with --out",
        )
    now = Manifest(wanted, job.rows_per_shard, sources)
    same = {
        "other dumps": _names(found) == _names(now),
        "another filter": found.filter == now.filter,
        "another shard size": found.rows_per_shard == now.rows_per_shard,
    }
    if not all(same.values()):
        differing = " and ".join(what for what, agrees in same.items() if not agrees)
        raise UsageError(
            f"{job.folder} was prepared with {differing}", hint="name another folder with --out"
        )
    return found


def _names(manifest: Manifest) -> list[tuple[str, int]]:
    return [(source.name, source.size) for source in manifest.sources]


def require_dump(dump: Path) -> None:
    """Raise MissingInput where there is no file or pipe ``dump``, DataError where it is no PGN.

    A pipe is not looked into, for it can be read only once.
    """
    if not dump.exists() or dump.is_dir():
        raise MissingInput(f"no dump {dump}")
    if not dump.is_file():
        return
    with CountedFile(dump) as file:
        try:
            next(read_dump(file), None)
        except TextRefused as fault:
            raise DataError(str(fault), file=str(dump)) from None
        except TextDamaged:
            return  # told when it is read, with what it holds


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 of a pipe."""
    return path.stat().st_size if path.is_file() else 0


def _refuse_strange_files(folder: Path) -> None:
    """Raise UsageError where ``folder`` holds what an interrupted run would not have left."""
    ours = ("shard-", "players-", "part-", ".new-", "lock")
    strange = [p.name for p in folder.glob("*") if not p.name.startswith(ours)]
    if strange:
        raise UsageError(
            f"{folder} holds other files ({strange[0]!r})", hint="name an empty folder with --out"
        )


class Preparation:
    """One run: it saves shard after shard and, with each, where to resume.

    ``parsers`` parse; None: processes of this machine. A dump with an index of its frames is read
    in parts, each unpacked by the process that parses it; rows and shards are the same.
    """

    def __init__(
        self,
        job: PreparationJob,
        manifest: Manifest,
        watch: Watch,
        parsers: Parsers | None = None,
    ) -> None:
        self._job, self._manifest, self._watch = job, manifest, watch
        self._writer = ShardWriter(job.folder, manifest, write_file)
        self._filter = job.wanted.build()
        self._players = self._load_players()
        self._parsers = parsers or ParserPool(job.workers, job.reader, self._filter)
        self._skip = 0  # rows of the first game that shards hold already
        self._joined: list[tuple[Path, Next]] = []  # files of parts, and where their text ends

    def run(self) -> None:
        """Prepare the rest of the dumps. Raises JobFailed where a process dies."""
        if not self._manifest.complete:
            self._read_rest()
        self._drop_players()  # also those of a run that was killed after its last manifest
        self._drop_parts()

    def _read_rest(self) -> None:
        with self._parsers as parsers:
            for number in range(self._manifest.next.source, len(self._job.dumps)):
                self._read_source(number, parsers)
        self._writer.flush()
        self._manifest.next = Next(len(self._job.dumps))
        self._manifest.complete = True
        self._save()

    def _read_source(self, number: int, parsers: Parsers) -> None:
        resume = self._manifest.next
        start = 0
        if resume.source == number:
            start, self._skip = resume.offset, resume.rows
        dump = self._job.dumps[number]
        if parts := parts_of(dump, self._job.part_bytes):
            tasks = part_tasks(dump, number, parts, self._job.folder)
            self._join_parts(number, tasks, start, parsers)
        else:
            self._read_blocks(number, start, parsers)

    def _read_blocks(self, number: int, start: int, parsers: Parsers) -> None:
        source, before = self._manifest.sources[number], self._read_before(number)
        digest = hashlib.sha256()
        with CountedFile(self._job.dumps[number]) as file:
            blocks = DumpBlocks(read_dump(file, digest), file, start)
            for block, parsed in parsers.parse(blocks):
                self._take(number, block, self._cap(parsed))
                self._watch(before + block.read)
        source.sha256, source.damage = digest.hexdigest(), blocks.damage

    def _join_parts(self, number: int, tasks: list[PartTask], start: int, parsers: Parsers) -> None:
        """Take the blocks of the parts from byte ``start`` of the text on, in order."""
        source, before = self._manifest.sources[number], self._read_before(number)
        digest, ends = FileDigest(self._job.dumps[number]), PartEnds(self._job.folder)
        digest.start()
        left, offset = ends.remaining(tasks, start)
        until = None
        for task in parsers.read_parts(left):
            for found in part_blocks(task, offset):
                if isinstance(found, PartEnd):
                    end = found
                elif later := later_games(*found, start):
                    self._take(number, later[0], self._cap(later[1]))
                    self._watch(before + later[0].read)
            offset += end.size
            ends.note(task, offset)
            self._joined.append((Path(task.target), Next(number, offset)))
            if end.damage is not None:
                source.damage, until = end.damage, end.read
                break
        source.sha256 = digest.value(until)

    def _read_before(self, number: int) -> int:
        return sum(source.size for source in self._manifest.sources[:number])

    def _cap(self, parsed: ParsedBlock) -> ParsedBlock:
        limit = self._filter.games_per_player
        return (
            parsed if limit is None or self._players is None else self._players.cap(parsed, limit)
        )

    def _take(self, number: int, block: DumpBlock | PartBlock, parsed: ParsedBlock) -> None:
        """Write a block's rows, less those that shards of an earlier run hold."""
        games, account = parsed.games, self._manifest.sources[number].account
        counted = 0
        for whole, begun, rows in pieces_of(games, parsed.rows, self._room):
            new = rows[self._skip :]
            self._skip -= len(rows) - len(new)
            account.add(games[counted:whole])
            counted = whole
            shards = len(self._manifest.shards)
            self._writer.add(new)
            if len(self._manifest.shards) > shards:
                end = games["start"][whole] if whole < len(games) else block.size
                self._manifest.next = Next(number, block.offset + int(end), begun)
                self._save(games[whole:])

    def _room(self) -> int:
        return self._writer.room + self._skip

    def _save(self, later: Games | None = None) -> None:
        """Save the manifest; ``later`` games are counted as players' but are not in it yet."""
        players = self._players_file(len(self._manifest.shards))
        if self._players is not None and later is not None:
            data = io.BytesIO()
            np.save(data, self._players.before(later), allow_pickle=False)
            write_file(players, data.getvalue())
        write_file(self._job.folder / MANIFEST, self._manifest.encode())
        self._drop_players(but=players)
        saved = self._manifest.next
        while self._joined and not _is_after(self._joined[0][1], saved):
            self._joined.pop(0)[0].unlink(missing_ok=True)

    def _drop_parts(self) -> None:
        """Delete what parts left, once every row is in a shard."""
        for old in (*self._job.folder.glob("part-*.blocks"), self._job.folder / ENDS):
            old.unlink(missing_ok=True)
        for torn in self._job.folder.glob(".new-part-*"):
            torn.unlink(missing_ok=True)

    def _drop_players(self, but: Path | None = None) -> None:
        """Delete the files that count players' games, all or all but one."""
        for old in self._job.folder.glob("players-*"):
            if old != but:
                old.unlink()

    def _load_players(self) -> PlayerCounts | None:
        if self._filter.games_per_player is None:
            return None
        if not self._manifest.shards or self._manifest.complete:
            return PlayerCounts()
        return PlayerCounts(np.load(self._players_file(len(self._manifest.shards))))

    def _players_file(self, shards: int) -> Path:
        return self._job.folder / PLAYERS.format(shards)


def _is_after(a: Next, b: Next) -> bool:
    return (a.source, a.offset) > (b.source, b.offset)


def facts(manifest: Manifest) -> dict[str, Any]:
    """Return what a manifest accounts for, as JSON values."""
    total = manifest.total
    return {
        "games": total.games,
        "kept": total.kept,
        "plies": total.plies,
        "rows": total.rows,
        "shards": len(manifest.shards),
        "dropped": dict(total.dropped),
        "positions_dropped": dict(total.positions_dropped),
        "damaged": [f"{s.name}: {s.damage}" for s in manifest.sources if s.damage],
    }
