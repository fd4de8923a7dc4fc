"""Finding devices: without pyopencl, and with a driver that came without its ICD file."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentd.engine.devices import make_backend
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.opencl_backend import devices
from agentd.engine.opencl_backend.errors import NoPlatformError


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Let the next look for devices be a first one, and the look after the test as well."""
    devices._devices.cache_clear()
    yield
    devices._devices.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_without_pyopencl_there_is_no_platform_and_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyopencl", None)

    assert devices.list_devices() == []
    with pytest.raises(NoPlatformError, match=r"pip install 'pyopencl\[pocl\]'"):
        make_backend("opencl")
    assert isinstance(make_backend("cpu"), NumPyBackend)


def test_a_driver_without_icd_file_is_named_to_the_loader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.icd").write_text("libother.so\n")
    monkeypatch.setattr(devices, "_VENDORS", tmp_path)
    monkeypatch.setattr(devices, "_NVIDIA", "libc.so.6")
    monkeypatch.setenv("OCL_ICD_VENDORS", "x")
    monkeypatch.delenv("OCL_ICD_VENDORS")

    devices._point_at_nvidia()

    folder = Path(os.environ["OCL_ICD_VENDORS"])
    assert (folder / "nvidia.icd").read_text() == "libc.so.6\n"
    assert (folder / "other.icd").read_text() == "libother.so\n"


def test_without_the_driver_the_loader_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(devices, "_VENDORS", tmp_path)
    monkeypatch.setattr(devices, "_NVIDIA", "libnothing-of-this-name.so.1")
    monkeypatch.delenv("OCL_ICD_VENDORS", raising=False)

    devices._point_at_nvidia()

    assert "OCL_ICD_VENDORS" not in os.environ
