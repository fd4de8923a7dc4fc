"""BLAS is told the right kernels where its own table is too old."""

import os
import subprocess
import sys

import pytest

from agentd.blas import core_type, prepare_blas

AVX512 = "avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("vendor", "flags", "kind"),
    [
        ("AuthenticAMD", AVX512, "SkylakeX"),
        ("AuthenticAMD", AVX512.replace("avx512vl", ""), None),
        ("AuthenticAMD", "avx2", None),
        ("GenuineIntel", AVX512, None),
    ],
)
def test_only_an_amd_processor_with_avx512_is_named(tmp_path, vendor, flags, kind):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n\n")
    assert core_type(path) == kind


def test_no_such_file_is_no_opinion(tmp_path):
    assert core_type(tmp_path / "absent") is None


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    prepare_blas()
    assert os.environ["OPENBLAS_CORETYPE"] == "Haswell"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"


def test_numpy_computes_with_the_kernels_asked_for():
    code = (
        "from agentd.blas import prepare_blas, core_type; prepare_blas(); import numpy as np;"
        "import threadpoolctl as t; a = np.eye(64, dtype=np.float32); assert (a @ a == a).all();"
        "found = [i.get('architecture') for i in t.threadpool_info()];"
        "assert core_type() is None or core_type() in found, found"
    )
    environ = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60)
