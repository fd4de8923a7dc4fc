"""Weights: what is written is read back; anything else is refused by name."""

import struct

import numpy as np
import pytest
from safetensors.numpy import save

from agentd.engine.layers import Dense, Relu
from agentd.engine.network import Network
from agentd.engine.network.weights import WeightsError, from_bytes, join, split, to_bytes

NET = Network(Dense(5), Relu(), Dense(2), input_shape=(3,))


@pytest.fixture
def params(rng):
    return NET.init(rng)


def test_round_trip_is_bit_exact(params):
    np.testing.assert_array_equal(from_bytes(NET, to_bytes(NET, params, {"format": "1"})), params)


def test_tensors_carry_the_slots_names_and_shapes(params):
    assert {name: t.shape for name, t in split(NET, params).items()} == {
        "0.dense.w": (3, 5),
        "0.dense.b": (5,),
        "2.dense.w": (5, 2),
        "2.dense.b": (2,),
    }


def test_another_network_is_refused(params):
    tensors = split(NET, params)
    shorter = {name: t for name, t in tensors.items() if name != "2.dense.b"}
    bent = tensors | {"0.dense.w": tensors["0.dense.w"].T.copy()}
    whole = tensors | {"0.dense.b": np.zeros(5, np.int32)}

    with pytest.raises(WeightsError, match=r"w.bin: missing 2.dense.b"):
        join(NET, shorter, "w.bin")
    with pytest.raises(WeightsError, match="unknown more"):
        join(NET, tensors | {"more": np.zeros(1)})
    with pytest.raises(
        WeightsError, match=r"0.dense.w: expected \(3, 5\) of float32, got \(5, 3\)"
    ):
        from_bytes(NET, save(bent))
    with pytest.raises(WeightsError, match=r"0.dense.b: .* got \(5,\) of int32"):
        from_bytes(NET, save(whole))
    with pytest.raises(WeightsError, match="expected a vector of 32, got"):
        split(NET, params[1:])


def test_damaged_files_are_refused(params):
    data = to_bytes(NET, params)
    bombs = [b"", b"\x80\x04K\x01.", struct.pack("<Q", 2**40) + data[8:], data[:8] + b"\xff" * 40]

    for cut in [*range(0, len(data), 7), len(data) - 1]:
        with pytest.raises(WeightsError, match="not a safetensors file"):
            from_bytes(NET, data[:cut])
    for bomb in bombs:
        with pytest.raises(WeightsError, match="not a safetensors file"):
            from_bytes(NET, bomb)
