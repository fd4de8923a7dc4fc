"""Weights as arrays by name: safetensors with metadata, or npz; ours, or Stable-Baselines3's DQN.

agentd's names are those of the slots (`0.dense.w` is (inputs, units)). In int8 a matrix NAME holds
ints, beside it is NAME.scale (units,). Stable-Baselines3 names `q_net.q_net.0.weight`, (units,
inputs), and counts an activation as a layer.
"""

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentd.engine.data import DataError
from agentd.engine.data.arrays import load_npz, npz_bytes
from agentd.engine.network import Network
from agentd.engine.network.weights import split
from agentd.errors import MissingInput, UsageError
from agentd.export.graph import Activate, Affine, Floats, PolicyGraph, View

METADATA = "agentd"
"""The one key of a safetensors file's metadata: JSON. One, since their order is left to chance."""
LARGEST = 4 << 30
"""Size up to which a file is read."""
_NAMED = re.compile(r"(?P<stem>.*?)(?P<layer>\d+)\.(?P<part>weight|bias)\Z")
_STEM, _TARGET = "q_net.q_net.", "q_net_target."
_SB3_ACTIVATIONS = ("relu", "tanh", "leaky_relu", "gelu", "sigmoid", "softplus")
Arrays = Mapping[str, NDArray[Any]]


class Perceptron(NamedTuple):
    """Dense layers with an activation between them: (weights (in, out), bias (out,)) each."""

    layers: tuple[tuple[Floats, Floats], ...]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Units of the hidden layers."""
        return tuple(w.shape[1] for w, _ in self.layers[:-1])


def array_bytes(form: str, arrays: Arrays, facts: Mapping[str, Any]) -> bytes:
    """Return a file of arrays. The facts are metadata in safetensors, an array of bytes in npz."""
    text = json.dumps(facts, sort_keys=True)
    whole = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    if form == "npz":
        return npz_bytes({**whole, "metadata": np.frombuffer(text.encode(), np.uint8)})
    return bytes(safetensors.numpy.save(whole, {METADATA: text}))


def own_arrays(
    network: Network, flat: NDArray[np.float32], policy: PolicyGraph
) -> dict[str, NDArray[Any]]:
    """Return the network's arrays by slot; int8 where the policy's matrices are."""
    arrays: dict[str, NDArray[Any]] = dict(split(network, flat))
    for matrix in policy.matrices:
        if matrix.small is not None and matrix.name in arrays:
            arrays[matrix.name] = matrix.small.ints.reshape(arrays[matrix.name].shape)
            arrays[f"{matrix.name}.scale"] = matrix.small.scale
    return arrays


def sb3_arrays(policy: PolicyGraph) -> tuple[dict[str, NDArray[Any]], str]:
    """Return arrays as the state of an SB3 DqnPolicy, and the activation between its layers.

    Raises UsageError for a network that its MlpPolicy cannot be.
    """
    refused = "--for sb3: want dense layers with one activation between them"
    arrays: dict[str, NDArray[Any]] = {}
    found: list[str] = []
    dense = 0
    for stage in policy.stages:
        match stage.op:
            case Affine() as op if op.w.small is None:
                if op.b is None:
                    raise UsageError(f"{refused}, each with a bias")
                for net in (_STEM, f"{_TARGET}q_net."):
                    arrays[f"{net}{2 * dense}.weight"] = op.w.values.T
                    arrays[f"{net}{2 * dense}.bias"] = op.b.values
                found += [op.act] if op.act != "identity" else []
                dense += 1
            case Activate() as op:
                found.append(op.act)
            case View():
                pass
            case op:
                raise UsageError(f"{refused}, got {type(op).__name__.lower()}")
    one = len(set(found)) <= 1 and len(found) == dense - 1
    if not one or any(act not in _SB3_ACTIVATIONS for act in found):
        raise UsageError(f"{refused}, got {', '.join(found) or 'none'}")
    if len(policy.branches) != 1 or policy.last_actions:
        raise UsageError("--for sb3: want one discrete action and no last actions in the input")
    return arrays, found[0] if found else "relu"


def read_perceptron(arrays: Arrays, source: str) -> Perceptron:
    """Find the dense layers in a state of PyTorch. Raises UsageError that names what is else."""
    names = {n: _NAMED.match(n) for n in arrays if not n.startswith(_TARGET) and n != "metadata"}
    other = sorted(name for name, match in names.items() if match is None)
    stems = sorted({match["stem"] for match in names.values() if match})
    if other or len(stems) != 1:
        got = ", ".join((other or stems or ["nothing"])[:4])
        hint = "only MlpPolicy: no images, no other networks beside it"
        raise UsageError(f"{source}: want {_STEM}0.weight and the like alone, got {got}", hint=hint)
    numbers = sorted({int(match["layer"]) for match in names.values() if match})
    layers = []
    for number in numbers:
        w, b = (arrays.get(f"{stems[0]}{number}.{part}") for part in ("weight", "bias"))
        layers.append(_layer(w, b, f"{source}: {stems[0]}{number}"))
    for i, (before, after) in enumerate(pairwise(layers)):
        if before[0].shape[1] != after[0].shape[0]:
            gives, takes = before[0].shape[1], after[0].shape[0]
            raise UsageError(
                f"{source}: {stems[0]}{numbers[i + 1]}.weight takes {takes} inputs, "
                f"the layer before gives {gives}"
            )
    return Perceptron(tuple(layers))


def _layer(w: Any, b: Any, name: str) -> tuple[Floats, Floats]:
    if w is None or w.ndim != 2 or w.dtype.kind != "f":
        got = "none" if w is None else f"{w.shape} of {w.dtype}"
        raise UsageError(f"{name}.weight: want (units, inputs) of floats, got {got}")
    if b is None or b.shape != w.shape[:1] or b.dtype.kind != "f":
        got = "none" if b is None else f"{b.shape} of {b.dtype}"
        raise UsageError(f"{name}.bias: want {w.shape[:1]} of floats, got {got}")
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise UsageError(f"{name}: want finite numbers")
    return np.ascontiguousarray(w.T, np.float32), b.astype(np.float32)


def load_arrays(file: Path) -> Arrays:
    """Read safetensors or npz. Raises MissingInput, UsageError, DataError, OSError."""
    if not file.is_file():
        raise MissingInput(f"{file}: no such file")
    if file.suffix not in (".npz", ".safetensors"):
        raise UsageError(
            f"{file}: want .safetensors or .npz, got {file.suffix or 'no suffix'}",
            hint="save the policy's state_dict() in one of them: zip and pt files hold pickles",
        )
    if file.stat().st_size > LARGEST:
        raise DataError(f"more than {LARGEST:,} bytes", file=str(file))
    if file.suffix == ".npz":
        return load_npz(file)
    try:
        arrays: dict[str, NDArray[np.float32]] = safetensors.numpy.load(file.read_bytes())
    except (SafetensorError, ValueError, TypeError, KeyError) as fault:
        raise DataError(f"no safetensors file: {fault}", file=str(file)) from None
    return arrays
