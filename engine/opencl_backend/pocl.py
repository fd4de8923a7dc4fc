"""What PoCL 3.0 gets wrong about CPUs: the name of those it does not know, and what may be inlined.

The PoCL in pip's wheels carries LLVM 14. For a CPU made after it, LLVM's detection answers
"generic", and clang then refuses that very name: "unknown target CPU 'generic'", so no kernel
builds (https://github.com/pocl/pocl/issues/1049). A Zen 4 is taken for a Zen 3, "znver3", which has
no AVX-512, while PoCL links its library for AVX-512: LLVM then aborts the process, or builds
programs without kernels. No option and no environment variable of PoCL overrides the name. What can
be done is to write a name that fits the CPU over the wrong one, in the device record of this
process: the string is found by following the record's own pointers, and nothing but those eight
bytes changes. Elsewhere than on Linux, and for any other driver, nothing is written.

PoCL compiles a kernel for the very processor, and has its functions compiled for one of each
family (haswell for AVX2). Where the two differ, as on a Zen, LLVM 14 inlines none of them: each
``mad`` and ``vload`` is a call, and a product of matrices takes six times as long. So our kernels
are compiled for the processor that the functions were compiled for.
"""

import ctypes
import platform
from pathlib import Path
from typing import Any

_ROOM = 8  # bytes that the name may take, its closing zero included
_RECORD = 2048  # bytes of the device record that are searched; the name's pointer is at 640
_NAMES = (
    (b"skx", {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "fma"}),
    (b"haswell", {"avx2", "fma", "bmi1", "bmi2", "f16c"}),
)

_INLINED = """\
#if defined(__AVX512F__)
#pragma clang attribute push(__attribute__((target("arch=skylake-avx512"))), apply_to = function)
#elif defined(__AVX2__) && defined(__FMA__)
#pragma clang attribute push(__attribute__((target("arch=haswell"))), apply_to = function)
#endif
#line 1
@
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#pragma clang attribute pop
#endif
"""


def is_host(device: Any) -> bool:
    """Return whether the device is PoCL's and this machine's own processor."""
    import pyopencl as cl

    return "PoCL" in device.platform.version and bool(device.type & cl.device_type.CPU)


def inlined(source: str) -> str:
    """Return a kernel file that is compiled for the same processor as PoCL's own functions."""
    return _INLINED.replace("@", source)


def name_cpu(device: Any) -> bool:
    """Give a PoCL device whose CPU has a wrong name one that its compiler accepts.

    Returns whether a name was written. To be called before the first build.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    if not is_host(device):
        return False
    wrong = device.version.rpartition("-")[2].encode()
    name = _known_name(Path("/proc/cpuinfo").read_text("utf-8", "replace"))
    if name is None or not _is_wrong(wrong, name):
        return False
    spans = _writable(Path("/proc/self/maps").read_text("utf-8", "replace"))
    found = _find(device.int_ptr, wrong + b"\0", spans)
    for at in found:
        ctypes.memmove(at, name.ljust(_ROOM, b"\0"), _ROOM)
    return bool(found)


def _is_wrong(name: bytes, known: bytes) -> bool:
    """Return whether LLVM's name for the CPU is none, or one without its AVX-512."""
    return name == b"generic" or (known == b"skx" and name == b"znver3")


def _known_name(cpuinfo: str) -> bytes | None:
    """Return a name of LLVM 14 for the features in ``cpuinfo``; PoCL has a library for each."""
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    return next((name for name, needed in _NAMES if needed <= flags), None)


def _writable(maps: str) -> list[tuple[int, int]]:
    """Return the address ranges of this process that may be read and written."""
    spans = []
    for line in maps.splitlines():
        span, rights = line.split()[:2]
        if rights.startswith("rw"):
            low, _, high = span.partition("-")
            spans.append((int(low, 16), int(high, 16)))
    return spans


def _find(record: int, wrong: bytes, spans: list[tuple[int, int]]) -> list[int]:
    """Return where the record's pointers lead to ``wrong``; only mapped memory is read."""

    def mapped(at: int, size: int) -> bool:
        return any(low <= at and at + size <= high for low, high in spans)

    found = []
    for at in range(record, record + _RECORD, 8):
        if not mapped(at, 8):
            break
        target = ctypes.c_uint64.from_address(at).value
        if mapped(target, _ROOM) and ctypes.string_at(target, len(wrong)) == wrong:
            found.append(target)
    return found
