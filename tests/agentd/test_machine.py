"""Memory that is free goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

CODE = """
from agentd.machine import return_free_memory

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

blocks = [bytearray(b"x" * 100_000) for _ in range(500)]  # 50 MB of the heap
newest = blocks.pop()  # keeps the heap's top where it is
blocks.clear()
before = resident()
return_free_memory()
print(before - resident())
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="glibc has malloc_trim, other libraries not",
)
def test_freed_memory_below_what_is_still_used_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert int(done.stdout) > 40_000_000
