"""NVIDIA's tensor cores, where a trial product says that they work."""

from typing import Any

import numpy as np

from agentd.engine.backend import Step
from agentd.engine.opencl_backend.errors import DeviceError

MODES: dict[str, tuple[tuple[str, ...], float]] = {
    "tf32x3": (("-DPASSES=3",), 1e-5),
    "tf32": (("-DPASSES=1",), 1e-2),
    "bf16": (("-DBF16=1",), 5e-2),
}
"""Build options of kernels/gemm_mma.cl and the relative error that its trial may have."""

SIDE, ITEMS = 64, 128
_TRIAL = (70, 65, 33)


def options_of(backend: Any) -> tuple[str, ...] | None:
    """Return the build options that the backend's tuning asks for; None where they do not work.

    On NVIDIA's devices only: a driver that does not take the kernel, or gets other numbers, is no
    error, products then go without.
    """
    mode = backend.runtime.tuning.mma
    return MODES[mode][0] if mode and works(backend, mode) else None


def works(backend: Any, mode: str) -> bool:
    """Return whether the device is NVIDIA's and passes the trial of ``mode``."""
    nvidia = "nvidia" in backend.runtime.device.platform.name.lower()
    return nvidia and passes(backend, mode)


def passes(backend: Any, mode: str, sizes: tuple[int, int, int] = _TRIAL) -> bool:
    """Return whether one product (m, k) by (k, n) in ``mode`` builds, runs and is NumPy's."""
    options, tolerance = MODES[mode]
    (m, n, k), rng = sizes, np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    x, w, y = backend.asarray(a), backend.asarray(b), backend.zeros((m, n))
    try:
        bind(backend.runtime, m, n, k, x, w, 0, y, 0, y, options=options)()
        got = backend.to_host(y)
    except DeviceError:
        return False
    return bool(np.abs(got - a @ b).max() <= tolerance * np.abs(a @ b).max())


def bind(runtime: Any, m: int, n: int, k: int, *args: Any, options: tuple[str, ...]) -> Step:
    """Bind a product by kernels/gemm_mma.cl; its arguments are those of the other products."""
    grid = (ITEMS * -(-n // SIDE), -(-m // SIDE))
    step: Step = runtime.bind(
        "gemm_mma", "gemm", grid, (ITEMS, 1), m, n, k, 0, *args, options=options
    )
    return step
