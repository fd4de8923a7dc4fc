"""From a device's name to the backend that computes there."""

from agentd.engine.backend import Backend
from agentd.engine.errors import EngineError
from agentd.engine.numpy_backend import NumPyBackend


class DeviceNameError(EngineError):
    """Raised when a device is neither ``cpu`` nor ``opencl``, ``opencl:N`` or ``opencl:NAME``."""


def make_backend(device: str) -> Backend:
    """Return the backend for "cpu", "opencl" (the first GPU, else CPU), "opencl:1", "opencl:name".

    Raises DeviceNameError, and for OpenCL a DeviceError of agentd.engine.opencl_backend.errors: no
    platform, or no such device. pyopencl is imported only when it is asked for.
    """
    if device == "cpu":
        return NumPyBackend()
    if device != "opencl" and not device.startswith("opencl:"):
        raise DeviceNameError(
            f"device: expected cpu, opencl, opencl:1 or opencl:name, got {device!r}"
        )
    from agentd.engine.opencl_backend import OpenCLBackend

    return OpenCLBackend(device)
