"""What memory and free disk the machine has, as far as the system tells; and memory given back."""

import ctypes
import gc
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_SMALL, _KEPT = 1024, 7


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

    Young objects that hold each other in cycles are collected first: in a process that makes few
    objects, Python looks for them after hours only. Where the C library has no malloc_trim(3), as
    glibc has, its heap stays as it is.
    """
    gc.collect(1)
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The C library's malloc_trim(3), looked up once; None where it has none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def fill_array_cache() -> None:
    """Fill NumPy's cache of small arrays, 4 MB, at once.

    NumPy keeps seven freed blocks of every size below 1 KiB (numpy/_core/src/multiarray/alloc.c).
    A process whose arrays often have new lengths fills this cache by and by, in hours, which looks
    like a leak of memory.
    """
    import numpy as np  # a tenth of a second, for those who use it

    for size in range(1, _SMALL):
        blocks = [np.empty(size, np.uint8) for _ in range(_KEPT)]
        del blocks
