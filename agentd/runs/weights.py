"""Weights in files of their own: safetensors, npz, and nevermind-neu's protobuf.

safetensors and npz hold the network's arrays by name (`0.dense.w` is (inputs, units)), and the
inputs' normalisation as `normalize.shift` and `normalize.scale`. The protobuf form is

    message PbFloatVec { repeated float vals = 1; int32 shape_size = 2; int32 shape_prev_size = 3; }
    message PbWsBlob { repeated PbFloatVec ws = 1; }
    message PbSequentialModel { repeated PbWsBlob layers = 1; }

with one blob a layer, the input layer's empty; a dense layer's holds its weights (units, inputs)
row by row and its bias (units, 1). It knows dense layers alone, and no normalisation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentd.engine.data import DataError, wire
from agentd.engine.data.arrays import load_npz, npz_bytes
from agentd.engine.network import Network
from agentd.engine.network.weights import join, split
from agentd.errors import UsageError
from agentd.store import write_file

WEIGHT_FORMATS = ("safetensors", "npz", "pb")
LARGEST = 1 << 32
_LAYERS, _WS, _VALS, _ROWS, _COLUMNS = 1, 1, 1, 2, 3


def save_weights(
    path: Path,
    form: str,
    network: Network,
    flat: NDArray[np.float32],
    extra: Mapping[str, NDArray[Any]],
) -> None:
    """Write the parameters (P,), and ``extra`` arrays by name, durably in the named format.

    Raises UsageError where the format cannot hold the network, StorageError.
    """
    named: dict[str, NDArray[Any]] = {**split(network, flat), **extra}
    if form == "pb":
        data = _encode(network, flat)
    elif form == "npz":
        data = npz_bytes(named)
    else:
        data = safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in named.items()})
    write_file(path, data)


def load_weights(path: Path, network: Network) -> NDArray[np.float32]:
    """Read a network's parameters (P,) from a file; its suffix names the format.

    Raises DataError where the file is damaged, WeightsError where it is another network's.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix == "npz":
        return _join(network, load_npz(path))
    data = path.read_bytes()
    if suffix in ("pb", "state"):
        return _join(network, _decode(data, network, str(path)))
    if suffix == "safetensors":
        try:
            return _join(network, safetensors.numpy.load(data))
        except (SafetensorError, ValueError, TypeError, KeyError) as fault:
            raise DataError(f"no safetensors file: {fault}", file=str(path)) from None
    raise UsageError(f"{path}: want a name that ends in {', '.join(WEIGHT_FORMATS)}")


def _join(network: Network, named: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return the network's arrays as one vector; the inputs' normalisation beside them is left."""
    own = {slot.name: named[slot.name] for slot in network.slots if slot.name in named}
    weights: NDArray[np.float32] = join(network, own)
    return weights


def _dense_slots(network: Network) -> list[tuple[str, str | None]]:
    """Return the names of weights and bias of each layer. Raises UsageError for other layers."""
    slots = {slot.name: slot for slot in network.slots}
    pairs: list[tuple[str, str | None]] = []
    for name, slot in slots.items():
        stem, _, part = name.rpartition(".")
        if part == "w" and len(slot.shape) == 2 and ".dense" in f".{stem}":
            pairs.append((name, f"{stem}.b" if f"{stem}.b" in slots else None))
    if sum(1 + (bias is not None) for _, bias in pairs) != len(slots):
        raise UsageError("the protobuf form holds dense layers alone; use safetensors or npz")
    return pairs


def _encode(network: Network, flat: NDArray[np.float32]) -> bytes:
    named = split(network, flat)
    out = wire.put_bytes(_LAYERS, b"")  # the input layer
    for weight, bias in _dense_slots(network):
        blob = _matrix(named[weight].T)
        units = named[weight].shape[1]
        bias_values = np.zeros(units, np.float32) if bias is None else named[bias]
        out += wire.put_bytes(_LAYERS, blob + _matrix(bias_values.reshape(-1, 1)))
    return out


def _matrix(values: NDArray[np.float32]) -> bytes:
    rows, columns = values.shape
    body = wire.put_floats(_VALS, values.reshape(-1))
    return wire.put_bytes(_WS, body + wire.put_int(_ROWS, rows) + wire.put_int(_COLUMNS, columns))


def _decode(data: bytes, network: Network, file: str) -> dict[str, NDArray[Any]]:
    try:
        blobs = [_blob(value) for number, _, value in wire.fields(memoryview(data)) if number == 1]
    except wire.WireError as fault:
        raise DataError(f"damaged weights: {fault}", file=file) from None
    layers = [blob for blob in blobs if any(matrix.size for matrix in blob)]
    pairs = _dense_slots(network)
    if len(layers) != len(pairs):
        raise DataError("another number of layers", file=file, expected=len(pairs), got=len(layers))
    named: dict[str, NDArray[Any]] = {}
    for row, ((weight, bias), blob) in enumerate(zip(pairs, layers, strict=True), 1):
        if len(blob) > 2:
            raise DataError("too many matrices", file=file, row=row, expected=2, got=len(blob))
        named[weight] = blob[0].T
        if bias is not None:
            units = blob[0].shape[0]
            named[bias] = blob[1].reshape(-1) if len(blob) > 1 else np.zeros(units, np.float32)
    return named


def _blob(value: wire.Value) -> list[NDArray[np.float32]]:
    if isinstance(value, int):
        raise wire.WireError("a layer that is a number")
    found = []
    for number, _, part in wire.fields(value):
        if number != _WS or isinstance(part, int):
            continue
        sizes = {n: size for n, _, size in wire.fields(part) if isinstance(size, int)}
        shape = sizes.get(_ROWS, 0), sizes.get(_COLUMNS, 0)
        values = wire.floats(part, (_VALS,))[_VALS]
        if shape[0] * shape[1] != len(values):
            raise wire.WireError(f"{len(values)} numbers for {shape[0]} x {shape[1]}")
        found.append(values.reshape(shape))
    return found
