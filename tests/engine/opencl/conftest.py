"""The OpenCL tests' device: PoCL will do. Where there is none they are skipped, and say so."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.engine.numpy_backend import NumPyBackend

sys.path.insert(0, str(Path(__file__).parent))  # op_cases and the files that fill it

CUTS = ("cpu", "gpu")
CLOSE = 1e-5
"""Largest relative error of a kernel against its NumPy twin, in float32."""


def _backend(cut: str) -> Any:
    from agentd.engine.opencl_backend.devices import list_devices

    if not list_devices():
        pytest.skip("no OpenCL platform: `pip install 'pyopencl[pocl]'` brings PoCL")
    from agentd.engine.opencl_backend import OpenCLBackend
    from agentd.engine.opencl_backend.tuning import CPU, GPU

    return OpenCLBackend("opencl", GPU if cut == "gpu" else CPU)


@pytest.fixture(scope="session")
def opencl() -> Any:
    """The backend as this machine's device wants it."""
    return _backend("cpu")


@pytest.fixture(scope="session", params=CUTS)
def cut(request: pytest.FixtureRequest) -> Any:
    """The backend with kernels cut for a CPU and for a GPU, whatever the device is."""
    return _backend(request.param)


@pytest.fixture(
    scope="session", params=["numpy", *(pytest.param(c, marks=pytest.mark.opencl) for c in CUTS)]
)
def everywhere(request: pytest.FixtureRequest) -> Any:
    """Every backend in turn: NumPy in float32, and the device with both cuts."""
    return NumPyBackend() if request.param == "numpy" else _backend(request.param)


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """Compare a kernel's result with its twin's: NaN where NaN, within 1e-5 of the largest.

    The 1e-7 beside it is one rounding of numbers near 1, for results that are small differences.
    """

    def check(got: Any, expected: Any, what: str = "") -> None:
        got, expected = np.asarray(got), np.asarray(expected)
        assert got.shape == expected.shape, what
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected), err_msg=what)
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(got), finite, err_msg=what)
        if finite.any():
            scale = np.abs(expected[finite]).max()
            np.testing.assert_allclose(
                got[finite], expected[finite], rtol=CLOSE, atol=CLOSE * scale + 1e-7, err_msg=what
            )

    return check


@pytest.fixture
def both(close: Callable[..., None], cut: Any) -> Callable[..., None]:
    """Run one op on both backends from the same arrays and compare every array afterwards."""
    twin = NumPyBackend()

    def run(bind: Callable[..., Any], arrays: dict[str, Any], *scalars: float) -> None:
        results = []
        for backend in (twin, cut):
            placed = {
                name: None if host is None else backend.asarray(host)
                for name, host in arrays.items()
            }
            step = bind(backend, **placed)
            with np.errstate(all="ignore"):
                step(*scalars)
            results.append({n: backend.to_host(a) for n, a in placed.items() if a is not None})
        for name in results[0]:
            close(results[1][name], results[0][name], name)

    return run
