"""From an agent's configuration to its first weights: drawn by its seed, or read from a file."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from agentd.config.records import AgentConfig, InitConfig
from agentd.engine.network import Network
from agentd.engine.network.weights import WeightsError, join

BUNDLED = "models"
MOST_BYTES = 4 << 30
"""Size up to which a file of weights is read."""


def is_bundled(name: str) -> bool:
    """Whether ``name`` is that of a model which comes with agentd, not a path."""
    file = resources.files("agentd") / BUNDLED / f"{name}.safetensors"
    return "/" not in name and file.is_file()


def initial_weights(config: AgentConfig, network: Network) -> NDArray[np.float32]:
    """Return the weights (P,) that an agent has before it has learned anything.

    Raises WeightsError where its ``init`` names no file, or one that does not fit its network.
    """
    if config.init is None:
        return network.init(np.random.default_rng(config.seed))
    source = f"init: {config.init.file}"
    tensors = _part(_read(config.init.file, source), config.init, source)
    weights: NDArray[np.float32] = join(network, tensors, source)
    for slot in _output_slots(network):
        weights[slot.offset : slot.end] *= np.float32(config.init.scale)
    return weights


def _read(name: str, source: str) -> dict[str, NDArray[Any]]:
    """The tensors of a file, or of the bundled model of that name."""
    bundled = resources.files("agentd") / BUNDLED / f"{name}.safetensors"
    try:
        if is_bundled(name):
            return load(bundled.read_bytes())
        path = Path(name).expanduser()
        if not path.is_file():  # a pipe or a device might never end
            raise WeightsError(f"{source}: no safetensors file: no regular file")
        if path.stat().st_size > MOST_BYTES:
            raise WeightsError(f"{source}: more than {MOST_BYTES:,} bytes")
        return load(path.read_bytes())
    except (OSError, SafetensorError) as fault:
        raise WeightsError(f"{source}: no safetensors file: {fault}") from None


def _part(
    tensors: Mapping[str, NDArray[Any]], init: InitConfig, source: str
) -> dict[str, NDArray[Any]]:
    """One network's tensors under its slots' names."""
    mark = f"{init.part}/" if init.part else ""
    own = {k.removeprefix(mark): v for k, v in tensors.items() if k.startswith(mark)}
    if not own:
        parts = ", ".join(sorted({name.partition("/")[0] for name in tensors if "/" in name}))
        raise WeightsError(f"{source}: no part {init.part!r}, it has {parts or 'none'}")
    return own


def _output_slots(network: Network) -> list[Any]:
    """The slots of the last layer that has any."""
    last = network.slots[-1].name.rpartition(".")[0]
    return [slot for slot in network.slots if slot.name.rpartition(".")[0] == last]
