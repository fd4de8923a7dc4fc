"""One BLAS thread per process: processes share the cores, and small networks lose by more."""

import os

from agentd.blas import THREAD_VARIABLES, prepare_blas


def bound_blas(threads: int = 1) -> None:
    """Ask BLAS for ``threads`` threads, here and in the processes that start from here.

    Variables work only before NumPy loads, threadpoolctl only after, so this does both. A
    variable that the user set stays as it is.
    """
    asked = [name for name in THREAD_VARIABLES if name in os.environ]
    prepare_blas(threads)
    if not asked:
        import numpy  # noqa: F401  (threadpoolctl finds only libraries that are loaded)
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads, user_api="blas")
