"""Memory that is free goes back to the system."""

import ctypes
import subprocess
import sys

import pytest


def printed_by(code: str) -> int:
    """The number that a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


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
    assert printed_by(CODE) > 40_000_000


CYCLES = """
import gc
from agentd.machine import return_free_memory

class Node:
    pass

return_free_memory()  # the first time it looks up what it calls
gc.collect()
gc.disable()
for _ in range(1_000):
    node = Node()
    node.itself = node
del node
before = len(gc.get_objects())
return_free_memory()
print(before - len(gc.get_objects()))
"""


def test_young_objects_that_hold_each_other_are_let_go() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CYCLES], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) >= 1_000


LENGTHS = """
import random
import numpy as np
from agentd.machine import fill_array_cache

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

FILL
random.seed(0)
before = resident()
for _ in range(20_000):
    arrays = [np.empty(random.randrange(1, 1024), np.uint8) for _ in range(7)]
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_full_cache_of_small_arrays_grows_no_more() -> None:
    usual = printed_by(LENGTHS.replace("FILL", ""))
    filled = printed_by(LENGTHS.replace("FILL", "fill_array_cache()"))

    assert filled < 300_000 < usual
