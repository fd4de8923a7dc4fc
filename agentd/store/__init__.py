"""Durable files: write aside, fsync, rename, fsync the directory, checksums, fallback."""

from agentd.store.checkpoint import (
    Checkpoint,
    NoValidCheckpoint,
    UnknownCheckpoint,
    checkpoint_files,
    describe_checkpoints,
    keep_checkpoint,
    list_checkpoints,
    read_checkpoint,
    sweep,
    write_checkpoint,
)
from agentd.store.copies import copy_folder, copy_sparse
from agentd.store.exploring import Exploring, keep_exploring, read_exploring
from agentd.store.files import Files, write_file
from agentd.store.footing import Footing
from agentd.store.lock import DirectoryLock
from agentd.store.progress import (
    PROGRESS,
    EpisodeSummary,
    ProgressLog,
    ProgressPoint,
    read_progress,
)
from agentd.store.switch import is_frozen, set_frozen
from agentd.store.timing import keep_dt_ms, read_dt_ms

__all__ = [
    "PROGRESS",
    "Checkpoint",
    "DirectoryLock",
    "EpisodeSummary",
    "Exploring",
    "Files",
    "Footing",
    "NoValidCheckpoint",
    "ProgressLog",
    "ProgressPoint",
    "UnknownCheckpoint",
    "checkpoint_files",
    "copy_folder",
    "copy_sparse",
    "describe_checkpoints",
    "is_frozen",
    "keep_checkpoint",
    "keep_dt_ms",
    "keep_exploring",
    "list_checkpoints",
    "read_checkpoint",
    "read_dt_ms",
    "read_exploring",
    "read_progress",
    "set_frozen",
    "sweep",
    "write_checkpoint",
    "write_file",
]
