"""Who a replica is: a name that stays with its data directory, and which ring file it has."""

import json
import os
import socket
from pathlib import Path
from typing import NamedTuple

from agentd.errors import StorageError
from agentd.store import write_file

FILE = "replica.json"


class ReplicaIdentity(NamedTuple):
    """name: unlike that of any other replica; ring: unlike that of any ring of before."""

    name: str
    ring: str


def read_identity(ring: Path, *, anew: bool = False) -> ReplicaIdentity:
    """Return who the replica with this ring file is; ``anew`` where the ring went back in time.

    A ring file that took the place of another one (another inode), or is a copy, is that of a new
    replica. Raises StorageError.
    """
    path = ring.parent / FILE
    try:
        inode = ring.stat().st_ino
    except OSError as error:
        raise StorageError(f"{ring}: {error.strerror}") from error
    name, known, token = _read(path) or ("", -1, "")
    if known != inode or anew:
        name, token = name if known == inode else _new_name(), os.urandom(4).hex()
        _write(path, name, inode, token, known_number(ring.parent.parent))
    return ReplicaIdentity(name, token)


def keep_number(ring: Path, who: ReplicaIdentity, number: int) -> None:
    """Write down which number the shared learner gave. Raises StorageError."""
    if number != known_number(ring.parent.parent):
        _write(ring.parent / FILE, who.name, ring.stat().st_ino, who.ring, number)


def known_number(agent: Path) -> int:
    """The number that the shared learner once gave to the agent in this folder; 0 before."""
    try:
        return int(json.loads((agent / "replay" / FILE).read_bytes())["number"])
    except (OSError, ValueError, LookupError, TypeError):
        return 0


def replica_seed(seed: int, number: int) -> int:
    """The seed that a replica explores by: the agent's own in the first, another in each."""
    return (seed + number * 0x9E3779B97F4A7C15) % 2**63


def _write(path: Path, name: str, inode: int, ring: str, number: int) -> None:
    text = json.dumps({"name": name, "inode": inode, "ring": ring, "number": number})
    write_file(path, text.encode())


def _read(path: Path) -> tuple[str, int, str] | None:
    try:
        data = json.loads(path.read_bytes())
        return str(data["name"]), int(data["inode"]), str(data["ring"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _new_name() -> str:
    return f"{socket.gethostname()[:40]}-{os.urandom(4).hex()}"
