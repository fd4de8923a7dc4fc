"""Weights in other formats: out and in again, and files that are not what they should be."""

import numpy as np
import pytest

from agentd.engine.data import DataError, wire
from agentd.engine.layers import Dense, Dueling, Relu
from agentd.engine.network import Network
from agentd.engine.network.weights import WeightsError
from agentd.errors import UsageError
from agentd.runs import WEIGHT_FORMATS, load_weights, save_weights

NET = Network(Dense(5), Relu(), Dense(2), input_shape=(3,))


@pytest.fixture
def flat():
    return NET.init(np.random.default_rng(0))


@pytest.mark.parametrize("form", WEIGHT_FORMATS)
def test_weights_come_back_bit_for_bit(tmp_path, flat, form):
    path = tmp_path / f"w.{form}"

    save_weights(path, form, NET, flat, {"normalize.shift": np.zeros(1, np.float32)})

    assert (load_weights(path, NET) == flat).all()


def test_the_protobuf_form_is_the_seeds(tmp_path, flat):
    path = tmp_path / "w.pb"
    save_weights(path, "pb", NET, flat, {})

    layers = [value for number, _, value in wire.fields(memoryview(path.read_bytes()))]

    assert [len(layer) > 0 for layer in layers] == [False, True, True]  # input, dense, dense
    first, bias = (value for _, _, value in wire.fields(layers[1]))
    sizes = {number: value for number, _, value in wire.fields(first) if isinstance(value, int)}
    assert sizes == {2: 5, 3: 3}  # units, inputs
    weights = NET.slots[0]
    matrix = flat[weights.offset : weights.end].reshape(weights.shape)
    np.testing.assert_array_equal(wire.floats(first, (1,))[1].reshape(5, 3), matrix.T)
    assert len(wire.floats(bias, (1,))[1]) == 5


@pytest.mark.parametrize("form", WEIGHT_FORMATS)
def test_another_network_or_a_damaged_file_is_refused(tmp_path, flat, form):
    path = tmp_path / f"w.{form}"
    save_weights(path, form, NET, flat, {})

    with pytest.raises((WeightsError, DataError)):
        load_weights(path, Network(Dense(6), Relu(), Dense(2), input_shape=(3,)))
    with pytest.raises((WeightsError, DataError)):
        load_weights(path, Network(Dense(2), input_shape=(3,)))
    whole = path.read_bytes()
    for size in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:size])
        with pytest.raises((WeightsError, DataError)):
            load_weights(path, NET)


def test_what_a_format_cannot_hold_is_told(tmp_path):
    net = Network(Dueling(2), input_shape=(3,))

    with pytest.raises(UsageError, match="dense layers alone"):
        save_weights(tmp_path / "w.pb", "pb", net, net.init(np.random.default_rng(0)), {})
    assert not (tmp_path / "w.pb").exists()
    (tmp_path / "w.txt").touch()
    with pytest.raises(UsageError, match="safetensors, npz, pb"):
        load_weights(tmp_path / "w.txt", net)
