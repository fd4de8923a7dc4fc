"""Shards: files of packed positions of a fixed size, and their manifest with checksums.

A folder of shards holds ``shard-00000.bin`` and so on, raw POSITION rows, and ``manifest.json``:
what they were made from, how every game was accounted for, and where to go on after a crash.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agentd.games.chess.board.position import POSITION, Positions
from agentd.games.chess.data.blocks import Games
from agentd.games.chess.data.filter import REASONS

FORMAT = 1
MANIFEST = "manifest.json"
ROWS_PER_SHARD = 2**20

Save = Callable[[Path, bytes | memoryview], None]
"""Makes bytes the content of a file, durably."""


class ShardsDamaged(Exception):
    """A folder of shards lacks a file or holds one that is not as it was written."""


@dataclass
class Account:
    """What became of the games of one dump. ``plies`` were read, ``rows`` kept."""

    games: int = 0
    kept: int = 0
    plies: int = 0
    rows: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    positions_dropped: Counter[str] = field(default_factory=Counter)

    def add(self, games: Games) -> None:
        """Count games (G,) of GAME."""
        codes = np.bincount(games["reason"], minlength=len(REASONS)).tolist()
        self.games += len(games)
        self.kept += codes[0]
        self.plies += int(games["plies"].sum())
        self.rows += int(games["rows"].sum())
        self.dropped += Counter(dict(zip(REASONS[1:], codes[1:], strict=True)))
        for name, reason in (("opening", "opening"), ("low_clock", "low clock")):
            self.positions_dropped += Counter({reason: int(games[name].sum())})

    def merge(self, other: "Account") -> None:
        """Add the numbers of ``other``."""
        for name in ("games", "kept", "plies", "rows"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dropped += other.dropped
        self.positions_dropped += other.positions_dropped


@dataclass
class Source:
    """One dump: its name and size in bytes, what is known of it, and what became of its games."""

    name: str
    size: int
    sha256: str | None = None  # once it was read to its end
    damage: str | None = None  # where it broke off, if it did
    account: Account = field(default_factory=Account)


@dataclass
class Shard:
    """One file of ``rows`` positions."""

    file: str
    rows: int
    sha256: str


@dataclass
class Next:
    """Where to resume: source, byte of its text where a game begins, rows of it in shards."""

    source: int = 0
    offset: int = 0
    rows: int = 0


@dataclass
class Manifest:
    """What a folder of shards holds. ``filter`` is the filter as it was written, with defaults."""

    filter: dict[str, Any]
    rows_per_shard: int
    sources: list[Source]
    shards: list[Shard] = field(default_factory=list)
    next: Next = field(default_factory=Next)
    complete: bool = False
    format: int = FORMAT
    itemsize: int = POSITION.itemsize

    @property
    def total(self) -> Account:
        """The account of all sources together."""
        total = Account()
        for source in self.sources:
            total.merge(source.account)
        return total

    def encode(self) -> bytes:
        """Return the manifest as JSON."""
        facts = vars(self) | {"total": self.total}
        return (json.dumps(facts, indent=1, default=vars) + "\n").encode()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in ``folder``. Raises FileNotFoundError, ShardsDamaged."""
    path = folder / MANIFEST
    data = path.read_bytes()
    try:
        facts = json.loads(data)
        if (facts["format"], facts["itemsize"]) != (FORMAT, POSITION.itemsize):
            raise ShardsDamaged(f"{path}: want format {FORMAT}, got {facts['format']}")
        facts.pop("total")
        facts["sources"] = [_source(each) for each in facts["sources"]]
        facts["shards"] = [Shard(**each) for each in facts["shards"]]
        facts["next"] = Next(**facts["next"])
        return Manifest(**facts)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ShardsDamaged(f"{path}: no manifest of shards") from None


def _source(facts: dict[str, Any]) -> Source:
    account = facts.pop("account")
    for name in ("dropped", "positions_dropped"):
        account[name] = Counter(account[name])
    return Source(**facts, account=Account(**account))


def open_shards(folder: Path, *, verify: bool = False) -> list[Positions]:
    """Return the rows of each shard in ``folder``, memory-mapped and read-only, in order.

    ``verify`` reads every byte and compares the checksums. Raises FileNotFoundError where there is
    no manifest, and ShardsDamaged for a shard that is missing or is not as it was written.
    """
    return [_open(folder / shard.file, shard, verify) for shard in read_manifest(folder).shards]


def _open(path: Path, shard: Shard, verify: bool) -> Positions:
    want = shard.rows * POSITION.itemsize
    size = path.stat().st_size if path.is_file() else -1
    if size != want:
        got = f"{size} bytes" if size >= 0 else "no file"
        raise ShardsDamaged(f"{path}: expected {want} bytes, got {got}")
    if verify:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != shard.sha256:
            raise ShardsDamaged(f"{path}: another checksum than the manifest's")
    return np.memmap(path, POSITION, "r")


class ShardWriter:
    """Cuts rows into shards of ``rows_per_shard`` and saves each as soon as it is full."""

    def __init__(self, folder: Path, manifest: Manifest, save: Save) -> None:
        self._folder, self._manifest, self._save = folder, manifest, save
        self._rows = np.empty(manifest.rows_per_shard, POSITION)
        self._taken = 0

    @property
    def room(self) -> int:
        """Rows that the present shard still takes."""
        return len(self._rows) - self._taken

    def add(self, rows: Positions) -> None:
        """Take rows (N,), at most ``room``; a shard that is full then is saved."""
        end = self._taken + len(rows)
        self._rows[self._taken : end] = rows
        self._taken = end
        if not self.room:
            self.flush()

    def flush(self) -> None:
        """Save what was taken since the last shard, if anything was."""
        if not self._taken:
            return
        name = f"shard-{len(self._manifest.shards):05}.bin"
        data = self._rows[: self._taken].view(np.uint8).data
        self._save(self._folder / name, data)
        shard = Shard(name, self._taken, hashlib.sha256(data).hexdigest())
        self._manifest.shards.append(shard)
        self._taken = 0


def pieces_of(
    games: Games, rows: Positions, room: Callable[[], int]
) -> Iterator[tuple[int, int, Positions]]:
    """Cut a block's rows where shards end.

    Yields (games that are whole by the end of the piece, rows of the next game in it or in earlier
    pieces, rows); ``room`` says how much the present shard takes.
    """
    ends = np.cumsum(games["rows"], dtype=np.int64)
    at = 0
    while True:
        size = min(room(), len(rows) - at)
        at += size
        whole = len(games) if at == len(rows) else int(np.searchsorted(ends, at, side="right"))
        begun = at - (int(ends[whole - 1]) if whole else 0)
        yield whole, begun, rows[at - size : at]
        if at == len(rows):
            return
