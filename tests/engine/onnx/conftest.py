"""ONNX's node cases, run once a backend; the counts are printed at the end of the run."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.engine.numpy_backend import NumPyBackend

sys.path.insert(0, str(Path(__file__).parent))  # onnx_runner and the operators beside it

_COUNTS: list[str] = []


def _note(name: str, results: list[Any]) -> list[Any]:
    passed = [r for r in results if r.passed]
    pure = sum(1 for r in passed if not r.numpy)
    _COUNTS.append(
        f"onnx on {name}: {len(passed)} of {len(results)} node cases passed ({pure} with no "
        f"arithmetic outside of the engine), {sum(r.failed for r in results)} wrong"
    )
    return results


@pytest.fixture(scope="session")
def runner() -> Any:
    pytest.importorskip("onnx", reason="`pip install onnx` brings ONNX")
    import onnx_runner

    return onnx_runner


@pytest.fixture(scope="session")
def numpy_results(runner: Any) -> list[Any]:
    return _note("numpy", runner.Cases(NumPyBackend(), NumPyBackend(np.float64)).run_all())


@pytest.fixture(scope="session")
def opencl_results(runner: Any) -> list[Any]:
    from agentd.engine.opencl_backend.devices import list_devices

    if not list_devices():
        pytest.skip("no OpenCL platform: `pip install 'pyopencl[pocl]'` brings PoCL")
    from agentd.engine.opencl_backend import OpenCLBackend

    return _note("opencl", runner.Cases(OpenCLBackend()).run_all())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in _COUNTS:
        terminalreporter.write_line(line)
