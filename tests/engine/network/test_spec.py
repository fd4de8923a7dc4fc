"""Models as YAML writes them, and the networks built from them."""

import msgspec
import pytest

from agentd.engine.errors import ModelError
from agentd.engine.layers import (
    Conv2d,
    Dense,
    Dueling,
    Flatten,
    LayerNorm,
    LeakyRelu,
    Relu,
    Residual,
)
from agentd.engine.network.spec import LAYERS, ModelSpec, build_network, decode_hook, read_layer
from agentd.engine.strictyaml import convert, load

IMAGE = """\
layers:
  - reshape: [10, 10, 4]
  - conv2d: {channels: 16, kernel: [3, 3], padding: same, init: he}
  - relu
  - max_pool2d: 2
  - flatten
  - residual: [{dense: 400}, layer_norm]
  - {leaky_relu: 0.2}
  - dropout: {rate: 0.1}
dueling: true
"""


def test_a_model_is_read_and_built():
    spec = load(IMAGE, ModelSpec, decode_hook)

    net = build_network(spec, (400,), (3, 2))

    assert spec.layers[1] == Conv2d(16, (3, 3), padding="same", init="he")
    assert spec.layers[5] == Residual((Dense(400), LayerNorm()))
    assert spec.layers[6] == LeakyRelu(0.2)
    assert net.output_shape == (5,)
    assert [slot.name for slot in net.slots] == [
        "1.conv2d.w",
        "1.conv2d.b",
        "5.residual.0.dense.w",
        "5.residual.0.dense.b",
        "5.residual.1.layer_norm.gain",
        "5.residual.1.layer_norm.bias",
        "8.dueling.w",
        "8.dueling.b",
    ]


def test_the_head_follows_what_is_learned():
    plain = build_network(ModelSpec(layers=(Dense(8), Relu())), (4,), 3)
    branched = build_network(ModelSpec(layers=(Flatten(),)), (2, 2), (3, 2))

    assert isinstance(plain.specs[-1], Dense)
    assert plain.output_shape == (3,)
    assert branched.output_shape == (5,)


@pytest.mark.parametrize(
    "form", [{"dense": 8}, {"dense": {"units": 8}}, {"type": "dense", "units": 8}]
)
def test_all_forms_of_a_layer_mean_the_same(form):
    assert read_layer(form) == Dense(8) == read_layer(Dense(8))


def test_a_model_survives_json():
    spec = load(IMAGE, ModelSpec, decode_hook)

    text = msgspec.json.encode(spec)

    assert convert(msgspec.json.decode(text), ModelSpec, decode_hook) == spec


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_every_layer_has_a_docstring_and_a_name_for_yaml(name):
    assert LAYERS[name].__doc__
    assert name == name.lower()


def test_a_head_on_an_image_says_what_is_missing():
    with pytest.raises(ModelError, match="put `flatten` before it"):
        build_network(ModelSpec(layers=(Conv2d(2),)), (5, 5, 1), 2)
    with pytest.raises(ModelError, match="flatten"):
        build_network(ModelSpec(layers=(Conv2d(2),), dueling=True), (5, 5, 1), 2)


def test_a_dueling_head_may_be_written_as_a_layer():
    assert read_layer({"dueling": [2, 3]}) == Dueling((2, 3))
    assert read_layer({"dueling": 4}) == Dueling(4)
