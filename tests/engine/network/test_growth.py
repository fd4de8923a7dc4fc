"""A network that has grown knows what it knew: values of what stayed, to the last digits."""

import msgspec
import numpy as np
import pytest

from agentd.engine.layers import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Dueling,
    EmbeddingBag,
    Flatten,
    LayerNorm,
    NoisyDense,
    Normalize,
    Relu,
    Residual,
    Scale,
)
from agentd.engine.network import Network, Pass
from agentd.engine.network.growth import CannotGrow, GrownNetwork, Growth
from agentd.engine.numpy_backend import NumPyBackend

RNG = np.random.default_rng(7)
INPUTS = np.array([2, -1, 0, 1, -1])  # of three old ones, two new between them


def values(network: Network, params: np.ndarray, x: np.ndarray) -> np.ndarray:
    backend = NumPyBackend()
    run = Pass(network, backend, len(x))
    return np.array(run.forward(backend.asarray(params), x.astype(np.float32)))


def drawn(network: Network) -> np.ndarray:
    """Parameters of which none is what it would begin with."""
    params = network.init(RNG) + RNG.uniform(0.05, 0.2, network.n_params).astype(np.float32)
    return params.astype(np.float32)


def grow(body, head, before, after, *, inputs=INPUTS, width=3, atoms=1):
    """The old network, the new one, and what brings one to the other."""
    old = Network(*body, head(before), input_shape=(width,))
    new = Network(*body, head(after), input_shape=(len(inputs),))
    return old, new, GrownNetwork(old, new, Growth(inputs, width, before, after, atoms))


def plain(atoms=1):
    return lambda branches: Dense(sum(branches) * atoms)


def dueling(atoms=1, sigma=None):
    return lambda branches: Dueling(branches, atoms=atoms, sigma=sigma)


HEADS = {
    "plain": plain(),
    "noisy": lambda branches: NoisyDense(sum(branches)),
    "dueling": dueling(),
    "noisy dueling": dueling(sigma=0.5),
}
BODIES = {
    "two layers": (Dense(8), Relu(), Dense(6), Relu()),
    "none": (),
    "noisy": (NoisyDense(8), Relu()),
    "normalised": (Normalize(), Dense(8), LayerNorm(), Relu()),
    "by batch": (Scale(0.5), Dropout(0.1), BatchNorm(), Dense(8), Relu()),
    "residual behind": (Dense(8), Residual((Dense(8), Relu()))),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("body", BODIES)
def test_what_stayed_keeps_its_values_whatever_the_new_inputs_show(body, head):
    old, new, grown = grow(BODIES[body], HEADS[head], (3,), (5,))
    before = drawn(old)
    x = RNG.normal(size=(32, 3))
    wide = RNG.normal(size=(32, 5)) * 100
    wide[:, [2, 3, 0]] = x

    known, found = values(old, before, x), values(new, grown.params(before), wide)

    np.testing.assert_allclose(found[:, :3], known, rtol=1e-5, atol=1e-5)
    mean = known.mean(axis=1)
    np.testing.assert_allclose(found[:, 3:], np.stack([mean, mean], 1), rtol=1e-5, atol=1e-5)
    assert (found.argmax(1) == known.argmax(1)).all()


@pytest.mark.parametrize("head", HEADS)
def test_fewer_inputs_and_actions(head):
    """What is gone counts no more: the others are worth what they were with a 0 there."""
    old, new, grown = grow(BODIES["two layers"], HEADS[head], (4,), (2,), inputs=np.array([0, 2]))
    before, x = drawn(old), RNG.normal(size=(16, 3))
    x[:, 1] = 0

    found = values(new, grown.params(before), x[:, [0, 2]])

    np.testing.assert_allclose(found, values(old, before, x)[:, :2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", [plain(4), dueling(4)])
def test_each_number_of_a_distribution_is_carried(head):
    old, new, grown = grow(BODIES["two layers"], head, (3,), (4,), atoms=4)
    before, x = drawn(old), RNG.normal(size=(16, 3))
    wide = np.zeros((16, 5))
    wide[:, [2, 3, 0]] = x

    known = values(old, before, x).reshape(16, 4, 3)
    found = values(new, grown.params(before), wide).reshape(16, 4, 4)

    np.testing.assert_allclose(found[..., :3], known, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[..., 3], known.mean(axis=2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", ["plain", "dueling"])
def test_branches_grow_each_for_itself_and_a_new_one_prefers_nothing(head):
    same = np.arange(3)
    old, new, grown = grow(BODIES["two layers"], HEADS[head], (2, 3), (3, 3, 2), inputs=same)
    before, x = drawn(old), RNG.normal(size=(16, 3))

    known, found = values(old, before, x), values(new, grown.params(before), x)

    np.testing.assert_allclose(found[:, :2], known[:, :2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, 2], known[:, :2].mean(axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, 3:6], known[:, 2:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[:, 6], found[:, 7], rtol=1e-5, atol=1e-5)


def test_an_optimizer_has_seen_nothing_of_what_is_new():
    old, new, grown = grow((Normalize(), Dense(4)), HEADS["dueling"], (2,), (3,))
    moments = np.arange(1, old.n_trainable + 1, dtype=np.float32)

    found = grown.moments(moments)

    assert found.shape == (new.n_trainable,)
    trained = [slot for slot in new.slots if slot.end <= new.n_trainable]
    shown = {slot.name: found[slot.offset : slot.end].reshape(slot.shape) for slot in trained}
    assert (shown["1.dense.w"][[1, 4]] == 0).all()
    assert (shown["1.dense.w"][0] == moments[8:12]).all()
    assert (shown["2.dueling.w"][:, 3] == 0).all()
    assert sorted(found[found != 0]) == sorted(moments)


def test_the_same_inputs_leave_every_layer_as_it_is():
    body = (Conv2d(4, kernel=3), Relu(), Flatten(), Dense(8), Relu())
    old = Network(*body, Dense(2), input_shape=(6, 6, 2))
    new = Network(*body, Dense(3), input_shape=(6, 6, 2))
    grown = GrownNetwork(old, new, Growth(np.arange(72), 72, (2,), (3,)))
    before, x = drawn(old), RNG.normal(size=(4, 6, 6, 2))

    found = values(new, grown.params(before), x)

    np.testing.assert_allclose(found[:, :2], values(old, before, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ((LayerNorm(), Dense(4)), "model layer 1, layer_norm"),
        ((Scale(), Residual((Dense(3),)), Dense(4)), "model layer 2, residual"),
        ((EmbeddingBag(10, 4), Dense(4)), "model layer 1, embedding_bag"),
    ],
)
def test_what_mixes_its_inputs_cannot_get_others(body, named):
    wide = tuple(Residual((Dense(5),)) if isinstance(layer, Residual) else layer for layer in body)
    old = Network(*body, Dense(2), input_shape=(3,))
    new = Network(*wide, Dense(2), input_shape=(5,))

    with pytest.raises(CannotGrow, match=named):
        GrownNetwork(old, new, Growth(INPUTS, 3, (2,), (2,)))


def test_statistics_by_channel_do_not_tell_inputs_apart():
    old = Network(Normalize(), Flatten(), Dense(4), Dense(2), input_shape=(2, 2, 3))
    new = Network(Normalize(), Dense(4), Dense(2), input_shape=(13,))
    inputs = np.append(np.arange(12), -1)

    with pytest.raises(CannotGrow, match=r"0\.normalize\.mean|different layers|channels"):
        GrownNetwork(old, new, Growth(inputs, 12, (2,), (2,)))


def test_every_layer_is_known_to_mix_or_not():
    """A layer that is added must be thought of here."""
    from agentd.engine.network.growth import _EACH_ALONE
    from agentd.engine.network.spec import LAYERS

    mixing = {"dense", "noisy_dense", "dueling", "normalize", "batch_norm"}
    alone = {str(kind.__struct_config__.tag) for kind in _EACH_ALONE}
    refused = {
        *("channels_last", "conv2d", "embedding_bag", "expectation", "gru", "layer_norm", "lstm"),
        *("residual", "rnn", "sequential", "reshape", "avg_pool2d", "max_pool2d"),
        "global_avg_pool",
    }
    assert {*LAYERS} == mixing | alone | refused
    assert all(issubclass(kind, msgspec.Struct) for kind in _EACH_ALONE)
