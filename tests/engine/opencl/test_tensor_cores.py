"""Tensor cores: the kernel's indices proven on PoCL, its PTX by NVIDIA's assembler."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd import kernels
from agentd.engine.opencl_backend import tensor_cores
from agentd.engine.opencl_backend.tuning import GPU, NVIDIA

CLANG = ("clang", "-x", "cl", "-cl-std=CL1.2", "-O2", "-S", "-target", "nvptx64-nvidia-cuda")
CLANG += ("-Xclang", "-finclude-default-header", "-D__NV_CL_C_VERSION=120")
CLANG += ("-Xclang", "-target-cpu", "-Xclang", "sm_80")
CLANG += ("-Xclang", "-target-feature", "-Xclang", "+ptx72")
MMA = {mode: options for mode, (options, _) in tensor_cores.MODES.items()}
# PoCL 3.0 mixes up the private arrays of groups that its threads run side by side in this kernel,
# whose barriers lie in nested loops; with one thread, or one group, it is right.
ONE_GROUP = (63, 57, 33)
TILES = (f"-DTM={NVIDIA.rows}", f"-DTN={NVIDIA.rows}", f"-DBK={NVIDIA.depth}")
NVIDIA_OPTIONS: dict[str, list[tuple[str, ...]]] = {
    "gemm_tiled": [TILES, (*TILES, "-DGATHER=1")],
    "whole_step": [("-DITEMS=256", "-DTILE=8")],
}
"""What a file is built with there beside the tuning's own options."""
LAYOUTS = [("-DTA=0", "-DTB=0"), ("-DTA=1", "-DTB=0"), ("-DTA=0", "-DTB=1")]


@pytest.mark.opencl
@pytest.mark.parametrize(
    "mode", ["tf32x3", *(pytest.param(m, marks=pytest.mark.slow) for m in ("tf32", "bf16"))]
)
def test_where_there_are_no_tensor_cores_the_kernel_computes_the_same(
    opencl: Any, mode: str
) -> None:
    assert tensor_cores.passes(opencl, mode, ONE_GROUP)


@pytest.mark.opencl
def test_nan_stays_nan(opencl: Any, close: Callable[..., None]) -> None:
    m, n, k = ONE_GROUP
    x, w = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    x[3, 32], w[0, 56] = np.nan, np.nan
    y = opencl.zeros((m, n))
    args = (m, n, k, opencl.asarray(x), opencl.asarray(w), 0, y, 0, y)

    tensor_cores.bind(opencl.runtime, *args, options=MMA["tf32x3"])()

    close(opencl.to_host(y), x @ w)


@pytest.mark.opencl
def test_a_trial_that_fails_is_no_error(opencl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tensor_cores.MODES, "tf32", (("-DPASSES=nonsense(",), 1.0))
    monkeypatch.setitem(tensor_cores.MODES, "tf32x3", (MMA["tf32x3"], 1e-12))

    assert not tensor_cores.passes(opencl, "tf32")  # does not build
    assert not tensor_cores.passes(opencl, "tf32x3")  # not as precise as it must be


@pytest.mark.opencl
def test_another_device_goes_without(opencl: Any) -> None:
    from agentd.engine.opencl_backend import OpenCLBackend

    backend = OpenCLBackend("opencl", replace(GPU, mma="tf32x3"))

    assert tensor_cores.options_of(backend) is None


@pytest.mark.parametrize("chip", ["sm_80", "sm_90"])
@pytest.mark.parametrize("mode", MMA)
def test_the_kernel_assembles_for_nvidia(tmp_path: Path, mode: str, chip: str) -> None:
    if not shutil.which("clang") or not shutil.which("ptxas"):
        pytest.skip("no clang and ptxas")
    source, ptx = tmp_path / "gemm_mma.cl", tmp_path / "gemm_mma.ptx"
    source.write_text(kernels.source("gemm_mma"))

    for layout in LAYOUTS if (mode, chip) == ("bf16", "sm_80") else LAYOUTS[:1]:
        options = (*GPU.options, *MMA[mode], *layout)
        subprocess.run([*CLANG, *options, source, "-o", ptx], check=True)
        told = subprocess.run(
            ["ptxas", "-c", "-v", "-arch", chip, ptx, "-o", tmp_path / "out"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert "0 bytes spill stores" in told.stderr
        assert ptx.read_text().count("mma.sync") >= 8


@pytest.mark.parametrize("file", [name for name in kernels.names() if name != "host_adam"])
def test_every_kernel_file_assembles_for_nvidia(tmp_path: Path, file: str) -> None:
    if not shutil.which("clang") or not shutil.which("ptxas"):
        pytest.skip("no clang and ptxas")
    source, ptx = tmp_path / f"{file}.cl", tmp_path / "kernel.ptx"
    source.write_text(kernels.source(file))

    for extra in NVIDIA_OPTIONS.get(file, [()]):
        subprocess.run([*CLANG, *NVIDIA.options, *extra, source, "-o", ptx], check=True)
        subprocess.run(["ptxas", "-c", "-arch", "sm_80", ptx, "-o", tmp_path / "out"], check=True)
