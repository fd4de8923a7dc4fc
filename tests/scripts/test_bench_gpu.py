"""The lines a GPU must show run on any device, with smaller sizes."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest

pytestmark = pytest.mark.opencl


def test_every_line_runs_and_without_torch_says_so(
    load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentd.engine.opencl_backend.devices import list_devices

    if not list_devices():
        pytest.skip("no OpenCL platform: `pip install 'pyopencl[pocl]'` brings PoCL")
    from agentd.engine.opencl_backend import OpenCLBackend

    bench = load("bench_gpu")
    monkeypatch.setitem(sys.modules, "torch", None)

    found = bench.shows(OpenCLBackend(), 0.0, 10.0, side=64, vector=1 << 12)

    names = ["sgemm", "softmax", "dqn update", "adam"]
    assert [next(n for n in names if line.startswith(n)) for line in found] == names
    told = bench.lines_of(found)
    assert all("no torch" in line for line in told[:-1])
    assert all(line["ours_ms"] > 0 for line in found.values())
