"""What memory and free disk the machine has, as far as the system tells; and memory given back."""

import ctypes
import gc
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


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
    """Give the memory that this process no longer uses back to the system.

    What holds itself in cycles is found first: in a process that makes few objects, Python looks
    for it after hours only. It costs some 20 ms. Where the C library has no malloc_trim(3), as
    glibc has, its heap stays as it is.
    """
    gc.collect()
    if _TRIM is not None:
        _TRIM(0)
