"""Which OpenCL devices there are, and which one a name means."""

import ctypes
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agentd.engine.opencl_backend.errors import NoPlatformError, UnknownDeviceError
from agentd.engine.opencl_backend.pocl import name_cpu

_NVIDIA = "libnvidia-opencl.so.1"
_VENDORS = Path("/etc/OpenCL/vendors")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One line of the device list. ``memory`` in bytes."""

    index: int
    name: str
    platform: str
    driver: str
    kind: str
    units: int
    memory: int

    def __str__(self) -> str:
        return f"opencl:{self.index} {self.name} ({self.platform})"


def list_devices() -> list[DeviceInfo]:
    """Return every OpenCL device, in the order that ``opencl:N`` counts; [] without OpenCL."""
    try:
        return [_describe(i, device) for i, device in enumerate(_devices())]
    except NoPlatformError:
        return []


def choose(asked: str) -> Any:
    """Return the pyopencl device that ``asked`` means: "opencl", "opencl:1" or "opencl:name".

    Without a number or name a GPU goes before a CPU. A name matches any part of a device's name or
    platform, whatever the case. Raises NoPlatformError or UnknownDeviceError.
    """
    devices = _devices()
    which = asked.removeprefix("opencl").removeprefix(":").strip().lower()
    if not which:
        return min(devices, key=lambda device: not is_gpu(device))
    if which.isdecimal():
        if int(which) < len(devices):
            return devices[int(which)]
    else:
        for device in devices:
            if which in device.name.lower() or which in device.platform.name.lower():
                return device
    raise UnknownDeviceError(asked, [str(info) for info in list_devices()])


def is_gpu(device: Any) -> bool:
    """Return whether a pyopencl device is a GPU."""
    import pyopencl as cl

    return bool(device.type & cl.device_type.GPU)


def _write_callers_once() -> None:
    """Keep what pyopencl generates for kernel objects of one name.

    Without its cache it writes and compiles Python functions for every object, each slower than
    the one before and kept for ever: milliseconds a kernel once there are thousands. Nothing here
    calls them, for arguments are set one by one.
    """
    from pyopencl import invoker

    generate = getattr(invoker, "generate_enqueue_and_set_args", None)
    if generate is None:
        return
    known: dict[tuple[Any, ...], Any] = {}

    def generate_once(*args: Any, devs: Any = None, **more: Any) -> Any:
        key = (*args, *sorted(more.items()))
        if key not in known:
            known[key] = generate(*args, devs=devs, **more)
        return known[key]

    invoker.generate_enqueue_and_set_args = generate_once


@cache
def _devices() -> tuple[Any, ...]:
    _point_at_nvidia()
    os.environ.setdefault("PYOPENCL_NO_CACHE", "1")  # programs.py keeps binaries; no pickles
    try:
        import pyopencl as cl
    except ImportError as error:
        raise NoPlatformError(f"pyopencl cannot be imported: {error}") from error
    _write_callers_once()
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        raise NoPlatformError(str(error)) from error
    devices = tuple(device for each in platforms for device in each.get_devices())
    if not devices:
        raise NoPlatformError("no platform has a device")
    for device in devices:
        name_cpu(device)
    return devices


def _describe(index: int, device: Any) -> DeviceInfo:
    kind = "gpu" if is_gpu(device) else "cpu"
    return DeviceInfo(
        index,
        device.name.strip(),
        device.platform.name.strip(),
        device.driver_version.strip(),
        kind,
        device.max_compute_units,
        device.global_mem_size,
    )


def _point_at_nvidia() -> None:
    """Tell the loader about an NVIDIA driver that came without an ICD file, as in containers."""
    if "OCL_ICD_VENDORS" in os.environ or list(_VENDORS.glob("nvidia*.icd")):
        return
    try:
        ctypes.CDLL(_NVIDIA)
    except OSError:
        return
    folder = Path(tempfile.mkdtemp(prefix="agentd-icd-"))
    known = _VENDORS.glob("*.icd") if _VENDORS.is_dir() else ()
    for path in known:
        (folder / path.name).write_text(path.read_text())
    (folder / "nvidia.icd").write_text(_NVIDIA + "\n")
    os.environ["OCL_ICD_VENDORS"] = str(folder)
