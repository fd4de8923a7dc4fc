"""One BLAS thread per process: processes share the cores, and small networks lose by more."""

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def bound_blas(threads: int = 1) -> None:
    """Ask BLAS for ``threads`` threads, here and in the processes that start from here.

    Variables work only before NumPy loads, threadpoolctl only after, so this does both. A
    variable that the user set stays as it is.
    """
    asked = [name for name in VARIABLES if name in os.environ]
    for name in VARIABLES:
        os.environ.setdefault(name, str(threads))
    if not asked:
        import numpy  # noqa: F401  (threadpoolctl finds only libraries that are loaded)
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads, user_api="blas")
