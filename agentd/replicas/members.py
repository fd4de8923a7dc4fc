"""The replicas of a shared learner: their numbers, and how far each ring has come, on disk.

A number decides how a replica explores and where its streams lie; it stays with the replica's data
directory. A serial names one ring file: a ring that was begun anew gets another one, as its rows
count from 0 again.
"""

import json
import time
from pathlib import Path
from typing import Any

from agentd.errors import DamagedFile, ExitCode
from agentd.memory.shared_ring import MOST_REPLICAS
from agentd.replicas.calls import CallRefused
from agentd.store import write_file

HERE_S = 30.0
"""A replica that was heard of so long ago is counted as one that is here."""


class ReplicaState:
    """One replica. taken: rows of its ring that are in the shared one; lost: rows that never were.

    heard: monotonic seconds when it last called.
    """

    def __init__(self, number: int, serial: int, ring: str, taken: int = 0, lost: int = 0) -> None:
        self.number, self.serial, self.ring, self.taken, self.lost = (
            *(number, serial, ring, taken, lost),
        )
        self.heard = time.monotonic()
        self.env_steps = 0


class Members:
    """All replicas by name. The file is written when one comes, and now and then."""

    def __init__(self, path: Path) -> None:
        """Read ``path`` where it is there. Raises DamagedFile."""
        self._path = path
        self._known: dict[str, ReplicaState] = {}
        self._serials = 0
        try:
            data = json.loads(path.read_bytes())
            self._serials = int(data["serials"])
            for name, facts in data["replicas"].items():
                self._known[name] = ReplicaState(**facts)
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError) as fault:
            raise DamagedFile(f"{path} does not say which replicas there were: {fault}") from None

    @property
    def here(self) -> int:
        """How many replicas were heard of lately."""
        return sum(time.monotonic() - each.heard < HERE_S for each in self._known.values())

    @property
    def lost(self) -> int:
        """Rows of all replicas that were never taken."""
        return sum(each.lost for each in self._known.values())

    def find(self, name: str, ring: str) -> ReplicaState:
        """Return the replica ``name`` with the ring file ``ring``; a new one is written down.

        Raises CallRefused when there are too many, StorageError.
        """
        known = self._known.get(name)
        if known is not None and known.ring == ring:
            known.heard = time.monotonic()
            return known
        numbers = {each.number for each in self._known.values()}
        free = next(n for n in range(len(numbers) + 1) if n not in numbers)
        number = known.number if known else free
        if number >= MOST_REPLICAS:
            raise CallRefused(
                f"too many replicas: want at most {MOST_REPLICAS}",
                ExitCode.CONFIG,
                hint=f"{self._path} lists them; stop the learner and delete those that are gone",
            )
        self._serials += 1
        self._known[name] = ReplicaState(number, self._serials, ring)
        self.write()
        return self._known[name]

    def recover(self, newest: dict[int, int]) -> None:
        """Take note of the newest row that the shared ring has of each serial."""
        for each in self._known.values():
            each.taken = max(each.taken, newest.get(each.serial, -1) + 1)

    def snapshot(self) -> bytes:
        """Return what is now to be known, as the file's content."""
        names = ("number", "serial", "ring", "taken", "lost")
        facts: dict[str, Any] = {
            name: {key: getattr(each, key) for key in names} for name, each in self._known.items()
        }
        text = json.dumps({"serials": self._serials, "replicas": facts}, indent=1)
        return text.encode()

    def write(self, snapshot: bytes | None = None) -> None:
        """Put a snapshot on disk, or what is known now. Raises StorageError."""
        write_file(self._path, self.snapshot() if snapshot is None else snapshot)
