"""What can go wrong on a device, by name.

EngineError
└── DeviceError             anything an OpenCL device refuses
    ├── NoPlatformError     no OpenCL at all: pyopencl or every driver is missing
    ├── UnknownDeviceError  no device of that number or name; lists those present
    ├── KernelBuildError    a kernel does not compile; carries the compiler's first lines
    ├── DeviceMemoryError   the device has no room left
    └── DeviceLostError     the device stopped answering; everything on it is gone
"""

from collections.abc import Iterable

from agentd.engine.errors import EngineError

_LINES = 12


class DeviceError(EngineError):
    """Raised when an OpenCL device refuses a request."""


class NoPlatformError(DeviceError):
    """Raised when this machine has no OpenCL platform."""

    def __init__(self, why: str) -> None:
        super().__init__(f"opencl: no platform ({why}); `pip install 'pyopencl[pocl]'` brings one")


class UnknownDeviceError(DeviceError):
    """Raised when no device has the number or name asked for."""

    def __init__(self, asked: str, present: Iterable[str]) -> None:
        listed = "; ".join(present)
        super().__init__(f"device {asked}: expected one of [{listed}]")
        self.asked = asked


class KernelBuildError(DeviceError):
    """Raised when the device's compiler refuses a kernel file."""

    def __init__(self, file: str, device: str, options: str, log: str) -> None:
        lines = [line for line in log.splitlines() if line.strip()]
        shown = "\n  ".join(lines[:_LINES])
        super().__init__(f"kernel {file} on {device} with [{options}] does not build:\n  {shown}")
        self.file = file


class DeviceMemoryError(DeviceError):
    """Raised when the device has no room for an array."""


class DeviceLostError(DeviceError):
    """Raised when the device no longer answers; its arrays are gone."""
