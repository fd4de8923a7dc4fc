"""The engine's ops in OpenCL: the same numbers on any device, with kernels of our own."""

from agentd.engine.opencl_backend.arithmetic import ArithmeticOps
from agentd.engine.opencl_backend.evidence import EvidenceOps
from agentd.engine.opencl_backend.images import ImageOps
from agentd.engine.opencl_backend.implicit import ImplicitOps
from agentd.engine.opencl_backend.munchausen import MunchausenOps
from agentd.engine.opencl_backend.noise import NoiseOps
from agentd.engine.opencl_backend.norms import NormOps
from agentd.engine.opencl_backend.optimizers import OptimizerOps
from agentd.engine.opencl_backend.recurrent import RecurrentOps
from agentd.engine.opencl_backend.sparse import SparseOps
from agentd.engine.opencl_backend.whole import WholeOps

__all__ = ["OpenCLBackend"]


class OpenCLBackend(
    ArithmeticOps,
    RecurrentOps,
    SparseOps,
    ImageOps,
    ImplicitOps,
    NoiseOps,
    NormOps,
    MunchausenOps,
    EvidenceOps,
    OptimizerOps,
    WholeOps,
):
    """``engine.backend.Backend`` on an OpenCL device; see ``Backend`` for each op.

    ``device`` is "opencl", "opencl:1" or "opencl:name". Steps only put kernels into the device's
    queue; ``to_host`` is the one place that waits. ``tuning`` instead of the device's own; with
    ``profile`` the events of steps carry times. Raises NoPlatformError, UnknownDeviceError.
    """
