"""From the name of a device to the backend that computes on it."""

import logging
from functools import partial
from typing import Any

from numpy.typing import NDArray

from agentd.config.records import INT8
from agentd.engine.backend import Backend
from agentd.engine.devices import make_backend
from agentd.engine.errors import EngineError
from agentd.engine.network import Network
from agentd.engine.numpy_backend import NumPyBackend
from agentd.errors import UsageError

log = logging.getLogger(__name__)


def backend_for(device: str, *, rowwise: bool = False) -> Backend:
    """The backend that computes on ``device``; the CPU's, and a warning, without any OpenCL.

    ``rowwise``: on the CPU a row's outputs are the same bits whatever rows stand beside it.
    Raises UsageError for a device that is not there, and where ``device`` ends in "!" also when
    this machine has no OpenCL platform at all; and for cpu-int8, see `int8_backend`.
    """
    if device == "cpu":
        return NumPyBackend(rowwise=rowwise)  # without loading what OpenCL needs: it takes time
    if device == INT8:
        hint = "take cpu here; `agentd serve` has it for agents with learner: none"
        raise UsageError(f"device {INT8} does not learn", hint=hint)
    from agentd.engine.opencl_backend.errors import NoPlatformError

    try:
        return make_backend(device.removesuffix("!"))
    except NoPlatformError as error:
        if device.endswith("!"):
            raise UsageError(
                str(error), hint="without the ! it would compute on the CPU"
            ) from error
        log.warning("computing on the CPU asked=%s reason=%r", device, str(error))
        return NumPyBackend(rowwise=rowwise)
    except EngineError as error:
        raise UsageError(str(error), hint="`agentd devices` lists what there is") from error


def int8_backend(network: Network, rows: NDArray[Any] | None) -> Backend:
    """The backend of cpu-int8 for ``network``, which acts on it and never learns.

    Its weights are fitted to ``rows`` (n, *input) where there are any.
    """
    from agentd.engine.quantization import Int8Backend, quantize

    return Int8Backend(network, partial(quantize, network, rows=rows))
