"""A run's YAML: what it may say, and that nothing but config errors come of the rest."""

import random

import numpy as np
import pytest

from agentd.engine.data import DataError, Dataset
from agentd.engine.errors import ModelError
from agentd.engine.optim.spec import LossSpec, OptimizerSpec
from agentd.engine.strictyaml import ConfigError, Document
from agentd.engine.training import TrainSpec, convert_spec, fit_network, load_spec, plain_spec

FULL = """\
input: [4, 4, 1]
outputs: 3
layers:
  - flatten
  - dense: {units: 8, init: he, l2: 1e-4}
  - relu
  - dense: 3
loss: {name: softmax_cross_entropy, smoothing: 0.1}
optimizer: {name: adam, lr: 1e-3, schedule: {name: cosine, steps: 100}}
batch: 16
epochs: 3
seed: 7
data: {normalize: standard, validation: 0.25, labels: [y], delimiter: ";", header: true}
stop: {patience: 3, target_loss: 0.01}
save: {every_steps: 100, keep: 2}
"""


def test_a_full_file_is_read_and_survives_json():
    spec = load_spec(FULL)

    assert spec.optimizer.lr == 0.001  # 1e-3 is a number
    assert spec.data.labels == ("y",)
    assert convert_spec(Document(plain_spec(spec), "again")) == spec


def test_short_forms():
    spec = load_spec("layers: [{dense: 4}, relu]\nloss: cross_entropy\noptimizer: sgd")

    assert spec.loss == LossSpec(name="softmax_cross_entropy")
    assert spec.optimizer == OptimizerSpec(name="sgd")
    assert load_spec("layers: []").loss is None


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("layers: [{dense: 4}, relux]", "1:22", "did you mean `relu`?"),
        ("layers: [relu]\nbatch: 3\nbatch: 4", "3:1", "duplicate key `batch`, first on line 2"),
        ("layers: [relu]\nbatches: 3", "2:1", "did you mean `batch`?"),
        ("layers: [relu]\nepochs: many", "2:9", "expected a whole number, got 'many'"),
        ("layers: [relu]\nloss: crossentropy", "2:7", "did you mean"),
        ("layers: [relu]\noptimizer: adamm", "2:12", "did you mean"),
        ("layers: [relu]\noptimizer: {name: adam, lr: -1}", "2:29", "got -1"),
        ("layers: [relu]\ndata: {delimiter: ab}", "2:7", "one character"),
        ("input: 4\nlayers: [{reshape: [3, 3]}]", "2:9", "cannot read"),
        ("input: [2, 2]\nlayers: [{dense: 3}]", "2:9", "flatten"),
        ("input: 2\noutputs: 3\nlayers: [{dense: 4}]", "3:9", "expected 3 outputs"),
        ("input: 99999\nlayers: [{dense: 99999}]", "2:9", "more than 536,870,912"),
        ("- relu", "1:1", "expected a mapping"),
        ("", "1:1", "expected a mapping"),
    ],
)
def test_errors_name_the_place(text, place, message):
    with pytest.raises(ConfigError) as fault:
        load_spec(text)

    assert f"{place}: " in str(fault.value)
    assert message in str(fault.value)


def test_a_hundred_mutations_give_only_config_errors():
    rng = random.Random(0)
    refused = 0
    for _ in range(400):
        text = list(FULL)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            action = rng.randrange(4)
            if action == 0:
                del text[at]
            elif action == 1:
                text.insert(at, rng.choice("{}[]:,-#&*!|>'\"%@`\n\t 0xe~"))
            elif action == 2:
                text[at] = chr(rng.randrange(32, 0x2FF))
            else:
                other = rng.randrange(len(text))
                text[at], text[other] = text[other], text[at]
        try:
            load_spec("".join(text))
        except ConfigError as fault:
            refused += 1
            assert "\n" not in str(fault)  # noqa: PT017
    assert refused > 100


def data(n_in=4, classes=3):
    return Dataset.from_arrays(np.zeros((6, n_in), np.float32), np.arange(6) % classes)


def test_the_output_layer_follows_from_the_data():
    assert fit_network(load_spec("layers: [{dense: 5}, relu]"), data()).output_shape == (3,)
    ends = load_spec("layers: [{dense: 5}, relu, {dense: 3}]")
    assert len(fit_network(ends, data()).slots) == 4
    none = load_spec("layers: [{dense: 3}, sigmoid]\nhead: none")
    assert fit_network(none, data()).output_shape == (3,)


def test_data_that_does_not_fit_is_refused():
    with pytest.raises(DataError, match="expected 9, got 4"):
        fit_network(load_spec("input: 9\nlayers: []"), data())
    with pytest.raises(DataError, match="expected 2, got 3"):
        fit_network(load_spec("outputs: 2\nlayers: []"), data())
    with pytest.raises(ModelError):
        fit_network(load_spec("layers: [{reshape: [3, 3]}]"), data())


def test_reading_follows_the_model():
    regression = TrainSpec(loss=LossSpec(name="squared_error"), outputs=2)
    assert regression.reading()[0].labels == (-2, -1)
    single = TrainSpec(loss=LossSpec(name="huber"), outputs=1)
    assert single.reading()[0].target == "value"
    assert load_spec("layers: [{dense: 4}]").reading() == (TrainSpec().reading()[0], 4)
