"""BLAS is told how many threads before NumPy loads it."""

import os
import subprocess
import sys

from agentd.blas import THREAD_VARIABLES, prepare_blas


def test_what_the_user_set_stays(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    prepare_blas()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"


def test_numpy_computes_with_the_threads_asked_for():
    code = (
        "from agentd.blas import prepare_blas; prepare_blas(1); import numpy, threadpoolctl as t;"
        "found = [i['num_threads'] for i in t.threadpool_info()]; assert set(found) <= {1}, found"
    )
    environ = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60)
