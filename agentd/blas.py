"""What BLAS must be told before NumPy loads it. Nothing here imports NumPy."""

import os

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def prepare_blas(threads: int = 1) -> None:
    """Ask for ``threads`` BLAS threads, here and in the processes that start from here.

    Works before NumPy loads; a variable that the user set stays as it is.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
