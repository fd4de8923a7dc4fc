"""The ring of supervised rows: the same file machinery, without streams.

Shapes: N rows of one batch, K numbers of a target.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentd.memory.layout import default_slack
from agentd.memory.mapped_file import Column, RingCounters, RingFile, kept_slack
from agentd.memory.ring_writer import RingWriter


@dataclass(frozen=True, slots=True)
class TeachLayout:
    """What a taught row is made of.

    row_bytes: raw bytes of one observation; target: "class" (int32 numbers) or "value" (float32);
    width: numbers of a target, K; schema: digest of the agent's schema.
    """

    row_bytes: int
    target: Literal["class", "value"]
    width: int
    schema: str

    def identity(self, capacity: int, slack: int) -> dict[str, Any]:
        """What is written into the file's header and compared when it is opened again."""
        own = asdict(self)
        return {"file": "teach", "format": 1, **own, "capacity": capacity, "slack": slack}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of a file of such rows."""
        return teach_columns(self.row_bytes, self.target, self.width)


def teach_columns(row_bytes: int, target: str, width: int) -> tuple[Column, ...]:
    """The columns of a teach ring file, in file order."""
    return (
        Column("obs", "u1", row_bytes),
        Column("target", "<i4" if target == "class" else "<f4", width),
        Column("weight", "<f4"),
        Column("session", "<u4"),
        Column("seq", "<u8"),
    )


class TeachRing(RingWriter):
    """The one writer of a teach ring. ``env_steps`` and ``episodes`` of its counters stay 0."""

    def __init__(self, file: RingFile, layout: TeachLayout, capacity: int) -> None:
        """Use `open`."""
        super().__init__(file, capacity)
        self.layout = layout

    @classmethod
    def open(
        cls,
        path: Path,
        layout: TeachLayout,
        capacity: int,
        *,
        slack: int | None = None,
        begin: RingCounters | None = None,
    ) -> TeachRing:
        """Open the ring at ``path``, or create it. Raises RingMismatch, StorageError."""
        slack = default_slack(capacity) if slack is None else slack
        slack = kept_slack(path, slack)
        identity, rows = layout.identity(capacity, slack), capacity + slack
        file, _ = RingFile.open(path, identity, layout.columns, rows, begin or RingCounters())
        if file.lost_power():
            durable = file.durable.read()
            file.set_start(max(file.start, durable.head))  # old rows may be overwritten in part
            file.commit.write(durable)
        file.begin_writing()
        return cls(file, layout, capacity)

    def append(
        self,
        obs: NDArray[np.uint8],
        target: NDArray[np.int32] | NDArray[np.float32],
        weight: NDArray[np.float32] | float,
        session: NDArray[np.uint32] | int,
        seq: NDArray[np.uint64] | int,
    ) -> int:
        """Write N validated rows and commit them; return the absolute index of the first.

        obs (N, row_bytes); target (N, K), int32 or float32 as the layout says; weight, session
        and seq (N,) or one number for all. N is at most ``max_append``. Raises StorageError when
        the disk is full; nothing has changed then.
        """
        n, head = len(obs), self.head
        for to, of in self._room(n):
            column = self._file.columns
            column["obs"][to] = obs[of]
            column["target"][to] = target[of]
            for name, value in (("weight", weight), ("session", session), ("seq", seq)):
                column[name][to] = value[of] if isinstance(value, np.ndarray) else value
        self._counters = self._counters._replace(head=head + n)
        self._file.commit.write(self._counters)
        return head

    def knows(self, session: int, seq: int) -> bool:
        """Whether rows of this frame are in the ring."""
        slot = np.arange(self.oldest, self.head) % self.physical
        columns = self._file.columns
        return bool(((columns["seq"][slot] == seq) & (columns["session"][slot] == session)).any())
