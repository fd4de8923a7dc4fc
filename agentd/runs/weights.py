"""Weights in files of their own: safetensors, npz, and nevermind-neu's protobuf.

safetensors and npz hold the network's arrays by name (`0.dense.w` is (inputs, units)), and the
inputs' normalisation as `normalize.shift` and `normalize.scale`. The protobuf form is that of
nevermind-neu 0.2,

    message PbBuf { repeated float vals = 1; repeated int32 shape = 2; int32 buf_id = 3; }
    message PbBufBlob { repeated PbBuf bufs = 2; }
    message PbSequentialModel { repeated PbBufBlob layers = 1; }

with one blob a layer, the input layer's empty; a dense layer's holds its weights (units, inputs),
buffer 0, row by row, and its bias (units), buffer 3. Read is also the form before it, the weights
first and then the bias (units, 1):

    message PbFloatVec { repeated float vals = 1; int32 shape_size = 2; int32 shape_prev_size = 3; }
    message PbWsBlob { repeated PbFloatVec ws = 1; }

It knows dense layers alone, and no normalisation.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from agentd import __version__
from agentd.engine.data import DataError, wire
from agentd.engine.data.arrays import load_npz, npz_bytes
from agentd.engine.network import Network
from agentd.engine.network.weights import join, split
from agentd.errors import UsageError
from agentd.store import write_file

WEIGHT_FORMATS = ("safetensors", "npz", "pb")
LARGEST = 1 << 32
_LAYERS, _VALS = 1, 1
_BUFS, _SHAPE, _ID = 2, 2, 3  # of nevermind-neu 0.2
_WS, _ROWS, _COLUMNS = 1, 2, 3  # before it
_WEIGHTS, _BIAS = 0, 3  # values of _ID
_LARGEST_SIZE = 1 << 31


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
        about = {"agentd": json.dumps({"agentd": __version__, "kind": "supervised"})}
        arrays = {k: np.ascontiguousarray(v) for k, v in named.items()}
        data = safetensors.numpy.save(arrays, about)
    write_file(path, data)


def load_weights(path: Path, network: Network) -> NDArray[np.float32]:
    """Read a network's parameters (P,) from a file; its suffix names the format.

    Raises DataError where the file is damaged, WeightsError where it is another network's.
    """
    weights = _load(path, network)
    if not np.isfinite(weights).all():
        raise DataError("weights that are not finite", file=str(path), expected="numbers")
    return weights


def _load(path: Path, network: Network) -> NDArray[np.float32]:
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
        units = named[weight].shape[1]
        bias_values = np.zeros(units, np.float32) if bias is None else named[bias]
        blob = _buffer(_WEIGHTS, named[weight].T) + _buffer(_BIAS, bias_values)
        out += wire.put_bytes(_LAYERS, blob)
    return out


def _buffer(buf_id: int, values: NDArray[np.float32]) -> bytes:
    shape = b"".join(map(wire.put_varint, values.shape))
    body = wire.put_floats(_VALS, values.reshape(-1)) + wire.put_bytes(_SHAPE, shape)
    return wire.put_bytes(_BUFS, body + (wire.put_int(_ID, buf_id) if buf_id else b""))


def _decode(data: bytes, network: Network, file: str) -> dict[str, NDArray[Any]]:
    try:
        fields = wire.fields(memoryview(data))
        layers = [found for n, _, value in fields if n == _LAYERS and (found := _blob(value))]
    except wire.WireError as fault:
        raise DataError(f"damaged weights: {fault}", file=file) from None
    pairs = _dense_slots(network)
    if len(layers) != len(pairs):
        raise DataError("another number of layers", file=file, expected=len(pairs), got=len(layers))
    named: dict[str, NDArray[Any]] = {}
    for row, ((weight, bias), blob) in enumerate(zip(pairs, layers, strict=True), 1):
        if _WEIGHTS not in blob or not blob.keys() <= {_WEIGHTS, _BIAS}:
            got = f"buffers {', '.join(map(str, blob))}"
            raise DataError("no dense layer", file=file, row=row, expected="weights, bias", got=got)
        named[weight] = blob[_WEIGHTS].T
        if bias is not None:
            units = len(blob[_WEIGHTS])
            named[bias] = blob.get(_BIAS, np.zeros(units, np.float32)).reshape(-1)
    return named


def _blob(value: wire.Value) -> dict[int, NDArray[np.float32]]:
    """Return a layer's buffers by their number, in either form; those without numbers are left."""
    if isinstance(value, int):
        raise wire.WireError("a layer that is a number")
    found: dict[int, NDArray[np.float32]] = {}
    for number, _, part in wire.fields(value):
        if number not in (_BUFS, _WS) or isinstance(part, int):
            continue
        values = wire.floats(part, (_VALS,))[_VALS]
        if number == _BUFS:
            buf_id, shape = _id_and_shape(part)
        else:
            sizes = {n: size for n, _, size in wire.fields(part) if isinstance(size, int)}
            shape = (sizes.get(_ROWS, 0), sizes.get(_COLUMNS, 0))
            buf_id = len(found) and _BIAS + len(found) - 1
        if prod(shape) != len(values):
            raise wire.WireError(f"{len(values)} numbers for {' x '.join(map(str, shape))}")
        if buf_id == _WEIGHTS and len(values) and len(shape) != 2:
            raise wire.WireError(f"weights of {len(shape)} dimensions")
        if len(values):
            found[buf_id] = values.reshape(shape)
    return found


def _id_and_shape(buffer: memoryview) -> tuple[int, tuple[int, ...]]:
    """Return a PbBuf's number and shape; sizes may be packed or not."""
    buf_id, shape = 0, list[int]()
    for number, _, value in wire.fields(buffer):
        if number == _ID and isinstance(value, int):
            buf_id = value
        elif number == _SHAPE:
            shape += [value] if isinstance(value, int) else wire.varints(value)
    if any(size >= _LARGEST_SIZE for size in shape):
        raise wire.WireError("a negative size")
    return buf_id, tuple(shape) or (0,)
