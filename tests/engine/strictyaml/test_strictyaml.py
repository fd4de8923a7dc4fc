"""Strict YAML: what it reads, what it refuses, and where it says the fault is."""

import json
import os
import random
import re
import tarfile
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from agentd.engine.network.spec import ModelSpec, Record, decode_hook
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.strictyaml import ConfigError, convert, load, parse

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("AGENTD_DATA", ROOT.parent / "shared" / "data"))


class Net(Record, frozen=True, kw_only=True):
    model: ModelSpec = ModelSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    mode: Literal["free", "paced"] = "free"
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    others: dict[str, OptimizerSpec] = msgspec.field(default_factory=dict)
    sizes: tuple[int, int] | None = None
    on: bool = True


GOOD = """\
# a comment
model:
  layers: [{dense: 128}, relu, {dense: {units: 64, init: he}}, tanh]
  dueling: true
optimizer:
  name: adam
  lr: 1e-3
mode: paced
seed: 1_000
others: {a: {lr: .5}, b: {name: sgd}}
sizes: [3, 4]
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-1.5E+2", -150.0),
        (".5", 0.5),
        ("1_000", 1000),
        ("010", 10.0),  # no octal numbers: digits are decimal
        ("1:30", "1:30"),  # no sexagesimal numbers
        ("2024-01-01", "2024-01-01"),  # no dates
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("! 1", "1"),
        ("0x1f", "0x1f"),
    ],
)
def test_scalars_are_what_they_look_like(text, value):
    got = parse(f"a: {text}").value["a"]

    assert got == value
    assert type(got) is type(value)


def test_a_whole_configuration_is_read():
    net = load(GOOD, Net, decode_hook)

    assert [type(layer).__name__ for layer in net.model.layers] == [
        "Dense",
        "Relu",
        "Dense",
        "Tanh",
    ]
    assert net.optimizer.lr == 0.001
    assert (net.seed, net.sizes, net.mode) == (1000, (3, 4), "paced")
    assert convert(msgspec.to_builtins(net), Net, decode_hook) == net


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer:\n  lrr: 1", r":2:3: optimizer.lrr: no such key: .*did you mean `lr`\?"),
        ("optimizer: {learning_rate: 1}", r"learning_rate: no such key: .*did you mean `lr`\?"),
        ("model: {layers: [{max_pool2d: {size: 2}}]}", r"size: .*did you mean `kernel`\?"),
        ("model: {layers: [{linear: 8}]}", r"no such layer `linear`; did you mean `dense`\?"),
        ("optimizer:\n  lr: fast", ":2:7: optimizer.lr: .*a number or null, got 'fast'"),
        ("optimizer: {lr: -1}", r":1:17: optimizer.lr: .*expected a number > 0.0, got -1"),
        ("optimizer: {lr: nan}", r":1:17: optimizer.lr: .*expected a number or null, got 'nan'"),
        ("optimizer: {lr: .inf}", ":1:17: not finite: expected a finite number, got .inf"),
        ("optimizer: {lr: 1e999}", ":1:17: number out of range"),
        ("optimizer: {lr: [1]}", ":1:17: optimizer.lr: .*expected a number or null, got a list"),
        ("optimizer: {name: adma}", r":1:19: optimizer.name: .*did you mean `adam`\?"),
        ("optimizer: 3", ":1:12: optimizer: wrong value: expected a mapping, got 3"),
        ("model: {layers: [relo]}", r":1:18: model.layers\[0\]: no such layer `relo`; did you"),
        ("model: {layers: [{dense: {unit: 3}}]}", r":1:27: model.layers\[0\].dense.unit: no such"),
        ("model: {layers: [{dense: {units: 0}}]}", r":1:34: .*units: .*whole number >= 1, got 0"),
        ("model: {layers: [{dense: {}}]}", r":1:26: model.layers\[0\].dense: missing key `units`"),
        ("model: {layers: [{dense: 3, relu: 1}]}", "expected a layer's name or"),
        ("model: {layers: [{relu: 1}]}", "takes no options, got 1"),
        ("model: {layers: [3]}", "expected a layer's name or .*, got 3"),
        ("others: {a: {lr: 1}, b: {lr: x}}", ":1:30: others.b.lr: .*got 'x'"),
        ("mode: pacd", ":1:7: mode: .*one of free, paced, got 'pacd'; did you mean `paced`"),
        ("seed: -1", ":1:7: seed: .*whole number >= 0, got -1"),
        ("seed: 1.5", ":1:7: seed: .*whole number, got 1.5"),
        ("sizes: [1, x]", r":1:12: sizes\[1\]: .*got 'x'"),
        ("on: yes", ":1:5: on: wrong value: expected true or false, got 'yes'"),
        ("seed: 1\nseed: 2", ":2:1: duplicate key `seed`, first on line 1"),
        ("seed: !!int 3", ":1:7: tags are refused"),
        ("a: &x [1]\nb: *x", ":1:4: anchors are refused"),
        ("a: *x", ":1:4: aliases are refused"),
        ("<<: {seed: 1}", ":1:1: merge keys are refused"),
        ("? [1]\n: 2", ":1:3: a key must be a word"),
        ("--- 1\n--- 2", ":2:1: more than one document"),
        ("[[[", ":1:4: not YAML"),
        ("a: \x07", ":1:4: not YAML"),
        ("- 1", ":1:1: wrong value: expected a mapping, got a list"),
        ("seed: " + "9" * 5000, ":1:7: a number of more than 40 characters"),
        ("[" * 5000, ":1:33: nested deeper than 32"),
        ("#" * (1 << 21), ":1:1: 2097152 characters"),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_place(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(text, Net, decode_hook)

    assert "\n" not in str(caught.value)
    assert caught.value.line is not None


def test_bytes_must_be_utf8(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_bytes(b"seed: 1\nmode: \xff")

    with pytest.raises(ConfigError, match=r"net.yaml:2:7: not UTF-8"):
        load(path, Net, decode_hook)


def test_an_alias_bomb_is_cheap():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 64)]
    start = time.perf_counter()

    with pytest.raises(ConfigError):
        parse("\n".join(lines))

    assert time.perf_counter() - start < 5


def test_mutations_of_a_valid_text_give_only_config_errors():
    rng = random.Random(4)
    pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "\t",
        "&a ",
        "*a",
        "!!",
        '"',
        "'",
        "|",
        "\x00",
        "é",
        "#",
    ]

    for _ in range(300):
        text = GOOD
        for _ in range(rng.randint(1, 4)):
            at, cut = rng.randrange(len(text)), rng.choice([0, 0, 1, 5])
            text = text[:at] + rng.choice([*pieces, text[at : at + 9]]) + text[at + cut :]
        fault = _fault(text)
        assert fault is None or (fault.line is not None and fault.column is not None), text


def _fault(text: str) -> ConfigError | None:
    """Return the error that loading gives; any other exception fails the test."""
    try:
        load(text, Net, decode_hook)
    except ConfigError as fault:
        return fault
    return None


def _parse(text: str) -> tuple[object, ConfigError | None]:
    try:
        return parse(text).value, None
    except ConfigError as fault:
        return None, fault


def _suite() -> list[tuple[str, str, str | None, bool]]:
    """Return (name, text, JSON, invalid) of the YAML test suite's cases."""
    archives = sorted((DATA / "corpora" / "yaml").glob("*.tar.xz"))
    if not archives:
        pytest.skip(f"no YAML test suite under {DATA}; set AGENTD_DATA")
    files: dict[str, dict[str, str]] = {}
    with tarfile.open(archives[0]) as archive:
        for member in archive:
            case, _, name = member.name.rpartition("/")
            if member.isfile() and name in ("in.yaml", "in.json", "error"):
                stream = archive.extractfile(member)
                assert stream is not None
                files.setdefault(case, {})[name] = stream.read().decode()
    return [
        (case, one["in.yaml"], one.get("in.json"), "error" in one)
        for case, one in sorted(files.items())
        if "in.yaml" in one
    ]


def test_the_yaml_test_suite_gives_only_config_errors():
    read = right = refused_bad = bad = 0
    for _, text, expected, invalid in _suite():
        bad += invalid
        value, fault = _parse(text)
        if fault is not None:
            assert fault.line is not None
            assert fault.column is not None
            refused_bad += invalid
            continue
        read += not invalid
        if expected and not invalid:
            right += json.dumps(value) == json.dumps(json.loads(expected))

    assert bad == 94
    assert refused_bad >= 80  # PyYAML's parser lets the rest through
    assert read >= 150
    assert right >= 140


def test_errors_carry_their_parts():
    with pytest.raises(ConfigError) as caught:
        load("optimizer: {lr: fast}", Net, decode_hook)

    fault = caught.value
    assert (fault.file, fault.line, fault.column) == ("<text>", 1, 17)
    assert (fault.key, fault.expected, fault.got) == ("optimizer.lr", "a number or null", "'fast'")
    assert re.match(r"<text>:1:17: ", str(fault))
