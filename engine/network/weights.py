"""Weights as bytes: a safetensors file with one tensor per slot, under the slot's name.

The format holds numbers and nothing else: reading it runs no code. It has no checksum; whoever
stores the bytes adds one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from agentd.engine.backend import Host, Slot
from agentd.engine.errors import EngineError
from agentd.engine.network.network import Network


class WeightsError(EngineError):
    """Raised when bytes are not the weights of the network at hand; one line that says why."""


def split(net: Network, params: Host) -> dict[str, NDArray[np.float32]]:
    """Return a host vector (n_params,) as named float32 tensors, one per slot, each a copy."""
    if params.shape != (net.n_params,):
        raise WeightsError(f"weights: expected a vector of {net.n_params}, got {params.shape}")
    return {slot.name: _cut(params, slot) for slot in net.slots}


def join(net: Network, tensors: Mapping[str, Host], source: str = "weights") -> Host:
    """Return named tensors as the flat vector (n_params,) float32.

    Raises WeightsError when a tensor is missing, unknown, of another shape or not of floats.
    """
    _check_names(net, tensors, source)
    params = np.zeros(net.n_params, np.float32)
    for slot in net.slots:
        tensor = tensors[slot.name]
        if tensor.shape != slot.shape or tensor.dtype.kind != "f":
            raise WeightsError(
                f"{source}: {slot.name}: expected {slot.shape} of float32, "
                f"got {tensor.shape} of {tensor.dtype}"
            )
        params[slot.offset : slot.end] = tensor.reshape(-1)
    return params


def to_bytes(net: Network, params: Host, metadata: dict[str, str] | None = None) -> bytes:
    """Return the parameters (n_params,) of ``net`` as a safetensors file."""
    return bytes(save(split(net, params), metadata))


def from_bytes(net: Network, data: bytes, source: str = "weights") -> Host:
    """Return the parameters in a safetensors file as the flat vector of ``net``.

    Raises WeightsError naming ``source`` when the bytes are damaged or belong to another network.
    """
    try:
        tensors: dict[str, Any] = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as fault:
        raise WeightsError(f"{source}: not a safetensors file: {fault}") from None
    return join(net, tensors, source)


def _cut(params: Host, slot: Slot) -> NDArray[np.float32]:
    return params[slot.offset : slot.end].reshape(slot.shape).astype(np.float32)


def _check_names(net: Network, tensors: Mapping[str, Host], source: str) -> None:
    wanted = {slot.name for slot in net.slots}
    if missing := sorted(wanted - tensors.keys()):
        raise WeightsError(f"{source}: missing {', '.join(missing[:4])}; it is another network's")
    if unknown := sorted(tensors.keys() - wanted):
        raise WeightsError(f"{source}: unknown {', '.join(unknown[:4])}; it is another network's")
