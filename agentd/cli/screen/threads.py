"""One BLAS thread a process: processes share the cores, and more slow small networks down."""

import os
import sys

from agentd.blas import prepare_blas

_VARIABLES = {"openblas": "OPENBLAS_NUM_THREADS", "mkl": "MKL_NUM_THREADS"}


def bound_blas(threads: int = 1) -> None:
    """Ask BLAS for ``threads`` threads, here and in the processes that start from here.

    A library whose variable the user set keeps the number that it took from there. 0 is one, until
    the command has chosen.
    """
    threads = threads or 1
    ours = [api for api, variable in _VARIABLES.items() if variable not in os.environ]
    prepare_blas(threads)
    if "numpy" in sys.modules:  # else the variables are in time
        import threadpoolctl

        threadpoolctl.ThreadpoolController().select(internal_api=ours).limit(limits=threads)
