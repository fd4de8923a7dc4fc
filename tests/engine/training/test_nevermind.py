"""nevermind-neu's own files become our runs; their faults name file, line and key."""

import pytest

from agentd.engine.layers import Dense, LeakyRelu, Relu
from agentd.engine.optim.spec import LossSpec, OptimizerSpec, ScheduleSpec
from agentd.engine.strictyaml import ConfigError
from agentd.engine.training import convert_spec
from agentd.engine.training.nevermind import read_model_file

NET = """\
ls:
- name: InputLayer
  params:
    size: {Int: 784}
- name: FcLayer
  params:
    size: {Int: 128}
    activation: {String: relu}
    l2_regul: {Float: 0.001}
    l1_regul: {Float: 0}
    dropout: {Float: 0}
- name: FcLayerOcl
  params:
    size: {Int: 64}
    activation: {String: leaky_relu}
- name: SoftmaxLossLayer
  params:
    size: {Int: 10}
mdl_type: mdl_sequential_cpu
batch_size: 32
"""
OPTIM = "type: {String: adam}\nlearning_rate: {Float: 1e-3}\ntheta: {Float: 1e-8}\n"


@pytest.fixture
def read(tmp_path):
    def read(net=NET, optim=None):
        (tmp_path / "net.cfg").write_text(net)
        if optim is not None:
            (tmp_path / "optim.cfg").write_text(optim)
        document = read_model_file(tmp_path / "net.cfg", optim and tmp_path / "optim.cfg")
        return convert_spec(document)

    return read


def test_a_network_and_its_optimizer_are_read(read):
    spec = read(optim=OPTIM)

    assert spec.layers == (Dense(128, l2=0.001), Relu(), Dense(64), LeakyRelu(), Dense(10))
    assert (spec.input, spec.declared_outputs, spec.batch) == (784, 10, 32)
    assert spec.loss == LossSpec(name="softmax_cross_entropy")
    assert spec.optimizer == OptimizerSpec(name="adam", lr=1e-3, b2=0.99, eps=1e-8)


def test_the_older_form_and_the_euclidean_loss(read):
    text = NET.replace("ls:", "layers_cfg:", 1).replace("SoftmaxLossLayer", "EuclideanLossLayerOcl")

    spec = read(text)

    assert spec.loss == LossSpec(name="squared_error")
    assert spec.reading()[0].labels == tuple(range(-10, 0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type: {String: sgd}", OptimizerSpec(name="momentum", lr=1e-2, momentum=0.8)),
        ("type: {String: sgd}\nmomentum: {Float: 0}", OptimizerSpec(name="sgd", lr=1e-2)),
        ("type: {String: rmsprop}", OptimizerSpec(name="rmsprop", lr=1e-2, rho=0.9, eps=1e-8)),
        ("type: {String: adam}", OptimizerSpec(name="adam", lr=3e-4, b2=0.99, eps=1e-8)),
        (None, OptimizerSpec(name="rmsprop", lr=1e-2, rho=0.9, eps=1e-8)),
        (
            "type: {String: sgd}\nlearn_rate: {Float: 0.1}\nmomentum: {Float: 0.8}",
            OptimizerSpec(name="momentum", lr=0.1, momentum=0.8),
        ),
        (
            "type: {String: rmsprop}\nalpha: {Float: 0.9}\ntheta: {Float: 1e-6}",
            OptimizerSpec(name="rmsprop", lr=1e-2, rho=0.9, eps=1e-6),
        ),
        (
            "type: {String: adagrad}\nlr_decay: {Float: 0.5}\nlr_step: {Int: 10}",
            OptimizerSpec(
                name="adagrad",
                lr=1e-2,
                eps=1e-6,
                schedule=ScheduleSpec(name="step", decay=0.5, steps=10),
            ),
        ),
    ],
)
def test_optimizers(read, text, expected):
    assert read(optim=text).optimizer == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{Int: 128}", "128", "net.cfg:7:11: ls[1].params.size: wrong value: expected {Int: ...}"),
        ("{Int: 128}", "{Float: 1.5}", "got {Float: 1.5}"),
        ("name: FcLayer\n", "name: FcLayr\n", "net.cfg:5:9: ls[1].name: no such layer `FcLayr`"),
        ("String: relu", "String: relo", "no such activation `relo`"),
        ("l2_regul", "l3_regul", "did you mean `l2_regul`?"),
        ("InputLayer", "FcLayer", "the first layer"),
        ("SoftmaxLossLayer", "FcLayer", "the last layer"),
        ("batch_size: 32", "batch_size: 0", "net.cfg:20:13: batch"),
        ("{Int: 784}", "{Int: -3}", "net.cfg:4:11: input"),
    ],
)
def test_faults_name_the_place_in_their_file(read, old, new, message):
    with pytest.raises(ConfigError) as fault:
        read(NET.replace(old, new, 1))

    assert message in str(fault.value)


def test_an_unknown_optimizer_or_key_is_refused(read):
    with pytest.raises(ConfigError, match=r"optim.cfg:1:7: type: no such optimizer `adamax`"):
        read(optim="type: {String: adamax}")
    with pytest.raises(ConfigError, match="did you mean `theta`"):
        read(optim="type: {String: adam}\ntheta2: {Float: 1}")


def test_what_was_not_said_is_told_in_a_line(tmp_path):
    net, optim = tmp_path / "net.cfg", tmp_path / "optim.cfg"
    net.write_text(NET)
    optim.write_text("type: {String: sgd}\nlearn_rate: {Float: 0.1}\n")

    assert read_model_file(net, optim).notes == [
        f"{optim}: not said: momentum 0.8, as nevermind-neu has it"
    ]
    assert read_model_file(net).notes == [
        f"{net}: no optim.cfg: rmsprop, learning_rate 0.01, alpha 0.9, theta 1e-08, "
        "as nevermind-neu has it"
    ]
