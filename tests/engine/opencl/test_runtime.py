"""The device's edges: memory, errors by name, the binary cache, PoCL's unknown CPU."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.engine.backend import Slot
from agentd.engine.errors import ShapeError

pytestmark = pytest.mark.opencl


def test_views_share_memory_at_any_offset(opencl: Any) -> None:
    vector = opencl.asarray(np.arange(100, dtype=np.float32))

    part = opencl.view(vector, Slot("w", 7, (3, 5)))
    opencl.write(opencl.rows(part, 1, 2), np.full((1, 5), -1, np.float32))

    expected = np.arange(100, dtype=np.float32)
    expected[12:17] = -1
    np.testing.assert_array_equal(opencl.to_host(vector), expected)
    np.testing.assert_array_equal(opencl.to_host(part), expected[7:22].reshape(3, 5))
    assert opencl.reshape(part, (-1,)).shape == (15,)


def test_what_does_not_fit_is_refused(opencl: Any) -> None:
    vector = opencl.zeros((10,))

    with pytest.raises(ShapeError):
        opencl.view(vector, Slot("w", 8, (3,)))
    with pytest.raises(ShapeError):
        opencl.reshape(vector, (3, 4))
    with pytest.raises(ShapeError):
        opencl.write(vector, np.zeros(9, np.float32))


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.uint32, np.float64])
def test_numbers_travel_there_and_back(opencl: Any, kind: Any) -> None:
    host = np.arange(1025).astype(kind)

    back = opencl.to_host(opencl.asarray(host))

    np.testing.assert_array_equal(back, host)
    assert back.dtype == (np.float32 if kind is np.float64 else kind)


def test_a_writer_may_reuse_its_array_at_once(opencl: Any) -> None:
    host, arrays = np.zeros(1000, np.float32), []
    for i in range(100):
        host.fill(i)
        arrays.append(opencl.zeros((1000,)))
        opencl.write(arrays[-1], host)

    for i, array in enumerate(arrays):
        assert (opencl.to_host(array) == i).all()


def test_a_kernel_that_does_not_build_names_everything(opencl: Any) -> None:
    from agentd.engine.opencl_backend.errors import KernelBuildError

    with pytest.raises(KernelBuildError) as caught:
        opencl.runtime.programs.build("broken", "__kernel void f() { nonsense }", ("-DA=1",))

    text = str(caught.value)
    assert "broken.cl" in text
    assert "-DA=1" in text
    assert opencl.runtime.device.name.strip() in text
    assert "nonsense" in text


def test_too_large_an_array_is_a_named_error(opencl: Any) -> None:
    from agentd.engine.opencl_backend.errors import DeviceMemoryError

    with pytest.raises(DeviceMemoryError, match="allocating"):
        opencl.empty((1 << 42,))


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("clEnqueueNDRangeKernel failed: DEVICE_NOT_AVAILABLE", "DeviceLostError"),
        ("clFinish failed: OUT_OF_RESOURCES", "DeviceLostError"),
        ("clEnqueueReadBuffer failed: INVALID_COMMAND_QUEUE", "DeviceLostError"),
        ("clEnqueueNDRangeKernel failed: MEM_OBJECT_ALLOCATION_FAILURE", "DeviceMemoryError"),
        ("clCreateBuffer failed: OUT_OF_HOST_MEMORY", "DeviceMemoryError"),
        ("clSetKernelArg failed: INVALID_ARG_SIZE", "DeviceError"),
    ],
)
def test_what_a_driver_answers_has_a_name(opencl: Any, answer: str, name: str) -> None:
    found = opencl.runtime.fault(RuntimeError(answer), "gemm")

    assert type(found).__name__ == name
    assert "gemm" in str(found)
    assert opencl.runtime.device.name.strip() in str(found)
    assert answer in str(found)


def test_a_launch_that_is_refused_names_the_kernel(opencl: Any) -> None:
    from agentd.engine.opencl_backend.errors import DeviceError

    y = opencl.zeros((64,))
    step = opencl.runtime.bind("elementwise", "add", (1 << 20,), (1 << 20,), 64, y, y)

    with pytest.raises(DeviceError, match="add on"):
        step()


def test_a_device_that_is_lost_is_told_and_not_waited_for(
    opencl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyopencl as cl

    from agentd.engine.opencl_backend.errors import DeviceLostError

    def lost(*args: Any, **named: Any) -> None:
        raise cl.RuntimeError("clEnqueueReadBuffer failed: DEVICE_NOT_AVAILABLE")

    y = opencl.zeros((4,))
    monkeypatch.setattr(cl, "enqueue_copy", lost)

    with pytest.raises(DeviceLostError, match="read on"):
        opencl.to_host(y)
    with pytest.raises(DeviceLostError, match="write on"):
        opencl.write(y, np.ones(4, np.float32))


def test_binaries_are_kept_and_damage_is_survived(
    opencl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = "__kernel void f(__global float *x) { x[0] = 1; }"

    opencl.runtime.programs.build("tiny", source, ())
    (kept,) = (tmp_path / "agentd" / "kernels").glob("*.bin")
    opencl.runtime.programs.build("tiny", source, ())
    kept.write_bytes(b"damaged")
    opencl.runtime.programs.build("tiny", source, ())

    assert kept.read_bytes() != b"damaged"


def test_a_fork_does_not_use_its_parents_context(
    opencl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentd.engine.opencl_backend.errors import DeviceError

    monkeypatch.setattr(os, "getpid", lambda: -1)

    with pytest.raises(DeviceError, match="fork"):
        opencl.empty((1,))


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("sse2 avx2 fma bmi1 bmi2 f16c", b"haswell"),
        ("fma avx512f avx512cd avx512bw avx512dq avx512vl avx2 bmi1 bmi2 f16c", b"skx"),
        ("sse2", None),
    ],
)
def test_an_unknown_cpu_gets_a_name_by_its_features(flags: str, name: bytes | None) -> None:
    from agentd.engine.opencl_backend.pocl import _known_name

    assert _known_name(f"processor : 0\nflags\t\t: {flags}\n") == name


@pytest.mark.parametrize(
    ("told", "known", "is_wrong"),
    [
        (b"generic", b"haswell", True),
        (b"generic", b"skx", True),
        (b"znver3", b"skx", True),  # a Zen 4: its AVX-512 would be lost, and LLVM aborts
        (b"znver3", b"haswell", False),
        (b"cascadelake", b"skx", False),
    ],
)
def test_a_name_is_wrong_that_hides_what_the_cpu_can_do(
    told: bytes, known: bytes, is_wrong: bool
) -> None:
    from agentd.engine.opencl_backend.pocl import _is_wrong

    assert _is_wrong(told, known) is is_wrong


_A_PRODUCT = """
import numpy as np
from agentd.engine.opencl_backend import OpenCLBackend

cl = OpenCLBackend("opencl:Portable Computing Language")
x, y = (cl.asarray(np.ones((64, 64), np.float32)) for _ in range(2))
cl.affine(x, x, None, y)()
print(cl.to_host(y)[3, 5])
"""


def test_pocls_functions_are_inlined(opencl: Any, tmp_path: Path) -> None:
    folders = {"POCL_CACHE_DIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "ours")}

    found = subprocess.run(
        [sys.executable, "-c", _A_PRODUCT], env=os.environ | folders, capture_output=True, text=True
    )

    if "UnknownDeviceError" in found.stderr:
        pytest.skip("PoCL is not here")
    assert (found.stdout, found.stderr) == ("64.0\n", "")
    built = [path.read_bytes() for path in tmp_path.rglob("gemm*.so")]
    if not built:
        pytest.skip("this PoCL keeps no shared objects")
    assert not any(b"_cl_mad" in code or b"_cl_vload" in code for code in built)


def test_a_program_without_kernels_is_an_error_and_is_not_kept(
    opencl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentd.engine.opencl_backend.errors import KernelBuildError

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(KernelBuildError, match="without kernels"):
        opencl.runtime.programs.build("empty", "int nothing(void) { return 0; }", ())

    assert not list((tmp_path / "agentd" / "kernels").glob("*.bin"))


def test_kernels_have_their_header_and_no_return_before_a_barrier() -> None:
    from agentd import kernels

    for name in kernels.names():
        text = kernels.source(name)
        header = text.split("\n\n")[0]
        for word in ("Shapes", "Launch", "Mirror", "Bound"):
            assert f"// {word}" in header, name
        assert "fmax(" not in text, name
        assert "fmin(" not in text, name
        for body in text.split("__kernel")[1:]:
            for word in ("barrier(", "sum_lanes(", "max_lanes(", "sum_vecs("):
                if word in body:
                    assert "return;" not in body.split(word)[0], f"{name}: {word}"


def test_a_tuning_is_kept_per_device_and_damage_is_ignored(
    opencl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentd.engine.opencl_backend.tuning import CPU, load_tuning, save_tuning

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    device, tuning = opencl.runtime.device, replace(CPU, rows=6, depth=128)

    assert load_tuning(device) is None
    path = save_tuning(device, tuning)
    assert load_tuning(device) == tuning
    path.write_text('{"width": 5}')
    assert load_tuning(device) is None


@pytest.mark.parametrize(("platform", "gpu"), [("NVIDIA CUDA", 1), ("AMD", 1), ("PoCL", 0)])
def test_every_kind_of_device_has_a_shipped_tuning(platform: str, gpu: int) -> None:
    pytest.importorskip("pyopencl")
    from types import SimpleNamespace

    from agentd.engine.opencl_backend.tuning import CPU, GPU, NVIDIA, default_tuning

    device = SimpleNamespace(type=4 if gpu else 2, platform=SimpleNamespace(name=platform))

    expected = {"NVIDIA CUDA": NVIDIA, "AMD": GPU, "PoCL": CPU}[platform]
    assert default_tuning(device) is expected


@pytest.mark.parametrize(
    "wrong", [{"mma": "fp8"}, {"width": 5}, {"lanes": 3}, {"local": 7}, {"rows": 0}]
)
def test_a_tuning_no_kernel_was_written_for_is_refused(wrong: dict[str, Any]) -> None:
    from agentd.engine.opencl_backend.tuning import CPU

    with pytest.raises(ValueError, match=f"tuning {next(iter(wrong))}"):
        replace(CPU, **wrong)


def test_a_trial_is_timed_by_the_device(opencl: Any) -> None:
    from agentd.engine.opencl_backend.tune import measure
    from agentd.engine.opencl_backend.tuning import CPU

    assert 0 < measure("opencl", CPU) < 10


def test_thousands_of_kernels_cost_no_more_each_than_the_first_ones(opencl: Any) -> None:
    """pyopencl generates and keeps a Python function for each, unless it is stopped."""
    import linecache

    x = opencl.zeros((10,))

    def bind() -> None:
        for _ in range(20):
            opencl.runtime.bind("elementwise", "add", (64,), (64,), 10, x, x)

    bind()
    kept = len(linecache.cache)
    bind()

    assert len(linecache.cache) == kept
