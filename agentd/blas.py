"""What BLAS must be told before NumPy loads it: how many threads, and which processor this is.

OpenBLAS picks its kernels by a table of processor models. An AMD processor that is newer than the
table gets the AVX2 kernels although it has AVX-512: measured on an EPYC of family 26 with NumPy
2.4's OpenBLAS 0.3.31, 105 GFLOP/s a core where the AVX-512 kernels reach 190. So where the flags
say AVX-512 and the vendor AMD, the kernels of SkylakeX are asked for by name.

Nothing here imports NumPy, and nothing that the user set is changed.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["THREAD_VARIABLES", "core_type", "prepare_blas"]

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_CORE_VARIABLE = "OPENBLAS_CORETYPE"
_SKYLAKEX = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def prepare_blas(threads: int = 1) -> None:
    """Set the environment for ``threads`` BLAS threads and for the right kernels.

    Works before NumPy loads, here and in the processes that start from here.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    kind = core_type()
    if kind is not None:
        os.environ.setdefault(_CORE_VARIABLE, kind)


def core_type(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The OpenBLAS kernels to ask for by name; None where its own choice is as good."""
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    facts: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    if facts.get("vendor_id") == "AuthenticAMD" and flags >= _SKYLAKEX:
        return "SkylakeX"
    return None
