"""Durable files: write aside, fsync, rename, fsync the directory, checksums, fallback."""

from agentd.store.checkpoint import (
    Checkpoint,
    NoValidCheckpoint,
    UnknownCheckpoint,
    list_checkpoints,
    read_checkpoint,
    sweep,
    write_checkpoint,
)
from agentd.store.files import Files, write_file
from agentd.store.footing import Footing
from agentd.store.lock import DirectoryLock
from agentd.store.switch import is_frozen, set_frozen
from agentd.store.timing import keep_dt_ms, read_dt_ms

__all__ = [
    "Checkpoint",
    "DirectoryLock",
    "Files",
    "Footing",
    "NoValidCheckpoint",
    "UnknownCheckpoint",
    "is_frozen",
    "keep_dt_ms",
    "list_checkpoints",
    "read_checkpoint",
    "read_dt_ms",
    "set_frozen",
    "sweep",
    "write_checkpoint",
    "write_file",
]
