"""What a replay ring's rows are made of, and how many rows beside the newest it has room for."""

from dataclasses import asdict, dataclass
from typing import Any

from agentd.memory.mapped_file import Column


@dataclass(frozen=True, slots=True)
class RingLayout:
    """What a row is made of.

    row_bytes: raw bytes of one observation; n_actions: mask width A; branches: action numbers per
    row; schema: digest of the agent's schema, so that another game's rows are never taken;
    backwards: whether a row also knows the one before it, which stacks of rows need; elapsed:
    whether it knows how many nominal steps led to it, which a horizon in seconds needs; memory: how
    many numbers a network that remembers left behind it.
    """

    row_bytes: int
    n_actions: int
    branches: int
    schema: str
    backwards: bool = False
    elapsed: bool = False
    memory: int = 0

    def identity(self, capacity: int, slack: int) -> dict[str, Any]:
        """What is written into the file's header and compared when it is opened again."""
        own = asdict(self)
        for name in ("backwards", "elapsed", "memory"):
            if not own[name]:
                del own[name]
        return {"file": "replay", "format": 1, **own, "capacity": capacity, "slack": slack}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of a file of such rows."""
        return replay_columns(
            *(self.row_bytes, self.n_actions, self.branches),
            *(self.backwards, self.elapsed, self.memory),
        )


_LEAST_ROWS, _LEAST_BYTES = 4096, 64 << 20


def default_slack(capacity: int, row_bytes: int = 0) -> int:
    """Rows beyond the capacity: a quarter of it, at least 4,096, or 64 MiB of larger rows."""
    least = min(_LEAST_ROWS, max(16, _LEAST_BYTES // max(1, row_bytes)))
    return max(capacity // 4, least)


def slack_for(capacity: int, largest_batch: int, train_every: int = 0, row_bytes: int = 0) -> int:
    """Rows beyond the capacity for appends of up to ``largest_batch`` rows.

    With ``train_every`` of a paced agent there is room for what a learner that was killed must
    see again: a quarter of the slack since its checkpoint, a period, a batch.
    """
    least = default_slack(capacity, row_bytes)
    return max(least, 2 * largest_batch, 4 * (largest_batch + train_every))


def replay_columns(
    row_bytes: int,
    n_actions: int,
    branches: int,
    backwards: bool = False,
    elapsed: bool = False,
    memory: int = 0,
) -> tuple[Column, ...]:
    """The columns of a replay ring file, in file order."""
    more: tuple[Column, ...] = (Column("prev", "<i8"),) if backwards else ()
    more += (Column("elapsed", "<f4"),) if elapsed else ()
    more += (Column("memory", "<f4", memory),) if memory else ()
    return (
        Column("obs", "u1", row_bytes),
        Column("mask_bits", "u1", (n_actions + 7) // 8),
        Column("action", "<i4", branches),
        Column("reward", "<f4"),
        Column("kind", "u1"),
        Column("explored", "u1"),
        Column("next", "<i8"),
        Column("stream", "<u4"),
        Column("session", "<u4"),
        Column("seq", "<u8"),
        Column("version", "<u8"),
        *more,
    )
