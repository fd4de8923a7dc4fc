"""Weights in other formats: out and in again, and files that are not what they should be."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from agentd.engine.data import DataError
from agentd.engine.layers import Dense, Dueling, Relu
from agentd.engine.network import Network
from agentd.engine.network.weights import WeightsError, join
from agentd.errors import UsageError
from agentd.runs import WEIGHT_FORMATS, load_weights, save_weights

GOLDEN = Path(__file__).parent.parent / "golden" / "nevermind-neu"
NET = Network(Dense(5), Relu(), Dense(2), input_shape=(3,))


@pytest.fixture
def flat():
    return NET.init(np.random.default_rng(0))


@pytest.mark.parametrize("form", WEIGHT_FORMATS)
def test_weights_come_back_bit_for_bit(tmp_path, flat, form):
    path = tmp_path / f"w.{form}"

    save_weights(path, form, NET, flat, {"normalize.shift": np.zeros(1, np.float32)})

    assert (load_weights(path, NET) == flat).all()


@pytest.mark.parametrize("form", WEIGHT_FORMATS)
def test_weights_that_are_not_finite_are_refused(tmp_path, flat, form):
    flat[2] = np.nan
    save_weights(tmp_path / f"w.{form}", form, NET, flat, {})

    with pytest.raises(DataError, match="not finite"):
        load_weights(tmp_path / f"w.{form}", NET)


def counted():
    """The numbers of the golden files, which Google's library wrote, by name."""
    named, at = {}, 0
    for slot in NET.slots:
        values = ((at + np.arange(slot.size)) / 8 - 1).astype(np.float32)
        shape = slot.shape[::-1]  # theirs are (units, inputs)
        named[slot.name] = values.reshape(shape).T
        at += slot.size
    return join(NET, named)


@pytest.mark.parametrize("version", ["0.2", "before-0.2"])
def test_nevermind_neus_files_are_read(version):
    assert (load_weights(GOLDEN / f"weights-{version}.pb", NET) == counted()).all()


def test_the_protobuf_form_is_nevermind_neus_to_the_byte(tmp_path):
    save_weights(tmp_path / "w.pb", "pb", NET, counted(), {})

    assert (tmp_path / "w.pb").read_bytes() == (GOLDEN / "weights-0.2.pb").read_bytes()


@pytest.mark.parametrize("version", ["0.2", "before-0.2"])
def test_damaged_protobuf_weights_are_told_and_nothing_else(tmp_path, version):
    whole, rng = (GOLDEN / f"weights-{version}.pb").read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        (tmp_path / "w.pb").write_bytes(data)
        with contextlib.suppress(WeightsError, DataError):
            load_weights(tmp_path / "w.pb", NET)


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
