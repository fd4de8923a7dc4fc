"""What the machine has: memory and free disk, as far as the system tells."""

import contextlib
import ctypes
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's where less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return total


def free_disk_bytes(folder: Path) -> int:
    """Bytes that may still be written below ``folder``, which need not exist yet."""
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    found = os.statvfs(nearest)
    return found.f_bavail * found.f_frsize


def return_free_memory() -> None:
    """Return what this process has freed to the system, where the C library can; malloc_trim(3)."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
