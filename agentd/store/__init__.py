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

__all__ = [
    "Checkpoint",
    "DirectoryLock",
    "Files",
    "Footing",
    "NoValidCheckpoint",
    "UnknownCheckpoint",
    "is_frozen",
    "list_checkpoints",
    "read_checkpoint",
    "set_frozen",
    "sweep",
    "write_checkpoint",
    "write_file",
]
