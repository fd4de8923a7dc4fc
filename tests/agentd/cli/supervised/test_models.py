"""``new``, ``check`` and ``data`` as a user runs them."""

import contextlib
import gzip
import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentd.engine.data import load_data
from agentd.engine.data.idx import write_idx
from agentd.engine.numpy_backend import NumPyBackend
from agentd.engine.optim import RULES, make_optimizer, own_defaults
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.training import load_spec


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_new_writes_what_check_accepts(call):
    flags = ("--input", "784", "--outputs", "10", "--hidden", "300,150,64", "-y")
    assert call("new", "mnist.yaml", *flags)[0] == 0

    code, out, _ = call("check", "mnist.yaml", "--json")

    assert code == 0
    assert json.loads(out)["parameters"] == 290_964
    assert call("new", "mnist.yaml", "-y")[0] == 2  # it exists
    assert (
        call("new", "mnist.yaml", "-y", "--force", "--input", "28x28x1", "--outputs", "3")[0] == 0
    )
    assert "flatten" in Path("mnist.yaml").read_text()


def test_new_goes_to_stdout_and_can_have_no_hidden_layer(call):
    code, out, _ = call("new", "-y", "--hidden", "")

    assert code == 0
    assert "layers:\n  []" in out


@pytest.mark.parametrize(
    "flags",
    [
        ("--hidden", "a,b"),
        ("--input", "12y"),
        ("--loss", "none"),
        ("--activation", "relo"),
        ("--optimizer", "adamm"),
        ("--lr", "0"),
    ],
)
def test_new_refuses_what_would_not_check(call, flags):
    code, out, err = call("new", "m.yaml", "-y", *flags)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not Path("m.yaml").exists()


def test_check_names_the_place(call):
    Path("m.yaml").write_text("layers: [relu]\nbatchsize: 3\n")

    code, _, err = call("check", "m.yaml")

    assert code == 78
    assert err.startswith("agentd: m.yaml:2:1: batchsize: no such key")


def test_check_tells_what_training_takes(call):
    call("new", "m.yaml", "--input", "784", "--outputs", "10", "--hidden", "1000", "-y")
    numbers = 4 * (785 * 1000 + 1001 * 10)
    memory = json.loads(call("check", "m.yaml", "--json")[1])["memory_bytes"]
    assert 4 * numbers < memory < 1.5 * 4 * numbers  # parameters, gradient, two of Adam, a batch
    assert "of memory to train" in call("check", "m.yaml")[1]


DAEMON = """
limits: {agent_memory_bytes: 2000000000}
agents:
  npc: {learner: none, model: {layers: [{dense: 128}]}}
"""


def test_check_estimates_the_agents_of_a_daemon(call):
    Path("d.yaml").write_text(DAEMON)
    code, out, _ = call("check", "d.yaml", "--json")
    agents = json.loads(out)["agents"]
    assert (code, list(agents)) == (0, ["agent", "agents.npc"])
    assert agents["agents.npc"]["parameters"] == 128 * 2 + 129
    assert agents["agents.npc"]["memory_bytes"] < agents["agent"]["memory_bytes"]
    assert "agents.npc: 385 parameters" in call("check", "d.yaml")[1]

    Path("d.yaml").write_text(DAEMON.replace("[{dense: 128}]", "[{dense: 32000}, {dense: 32000}]"))
    code, out, err = call("check", "d.yaml")
    assert (code, out, err.count("\n")) == (78, "", 1)
    assert err.startswith("agentd: d.yaml: agents.npc.model: ")
    assert "at most 2.0 GB (limits.agent_memory_bytes)" in err


BIG = "{dense: 4000000}, {dense: 4000000}"


def test_check_knows_a_preset(call):
    preset = "description: mine\nplay: {game: catch}\nagent: {model: {layers: [{dense: 64}]}}\n"
    Path("p.yaml").write_text(preset)
    code, out, _ = call("check", "p.yaml")
    assert (code, out.splitlines()[0]) == (0, "p.yaml is sound: a preset for catch")
    assert " agent: " in out
    assert " of memory (" in out
    agents = json.loads(call("check", "p.yaml", "--json")[1])["agents"]
    assert agents["agent"]["parameters"] > 64

    for wrong, place, told in (
        (preset.replace("agent:", "agnet:"), "p.yaml:3:1: agnet", "did you mean `agent`"),
        (preset.replace("game:", "gmae:"), "p.yaml:2:8: play.gmae", "game"),
        (preset.replace("dense: 64", "dense: 0"), "p.yaml:3:", "agent.model.layers"),
        (preset.replace("{dense: 64}", BIG), "p.yaml: agent.model", "at most"),
    ):
        Path("p.yaml").write_text(wrong)
        code, out, err = call("check", "p.yaml")
        assert (code, out, err.count("\n")) == (78, "", 1), err
        assert err.startswith(f"agentd: {place}"), err
        assert told in err


@pytest.fixture
def idx(tmp_path):
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 4, 3)).astype(np.uint8)
    write_idx(folder / "train-images-idx3-ubyte.gz", images)
    write_idx(folder / "train-labels-idx1-ubyte.gz", (np.arange(20) % 4).astype(np.uint8))
    return folder


def test_info_tells_what_is_there(call, idx):
    code, out, _ = call("data", "info", str(idx), "--json")

    record = json.loads(out)
    assert code == 0
    assert (record["rows"], record["input"]) == (20, "4 x 3")
    assert record["classes"] == {"0": 5, "1": 5, "2": 5, "3": 5}
    assert "20" in call("data", "info", str(idx))[1]


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz", "d.npz", "d.pb", "d.npy", "folder"])
def test_convert_keeps_every_number(call, idx, name):
    assert call("data", "convert", str(idx), name)[0] == 0
    before, after = load_data(idx), load_data(Path(name))

    np.testing.assert_array_equal(after.inputs.astype(np.float32), before.inputs.astype(np.float32))
    np.testing.assert_array_equal(after.targets, before.targets)
    assert call("data", "convert", str(idx), name)[0] == 2  # it exists
    assert not list(Path().glob(".new-*"))


def test_a_failed_conversion_leaves_nothing(call):
    Path("bad.csv").write_text("1,2,0\n1,x,0\n")
    Path("values.csv").write_text("1,2,0.5\n1,3,0.25\n")

    assert call("data", "convert", "bad.csv", "d.npz")[0] == 65
    assert call("data", "convert", "values.csv", "folder")[0] == 65  # no classes for IDX
    assert sorted(p.name for p in Path().iterdir()) == ["bad.csv", "values.csv"]


def test_verify_reads_all_and_compares_checksums(call, idx):
    image = idx / "train-images-idx3-ubyte.gz"
    unpacked = hashlib.sha256(gzip.decompress(image.read_bytes())).hexdigest()
    packed = hashlib.sha256((idx / "train-labels-idx1-ubyte.gz").read_bytes()).hexdigest()
    sums = f"{unpacked}  train-images-idx3-ubyte\n{packed}  train-labels-idx1-ubyte.gz\n"
    (idx / "SHA256SUMS").write_text(sums)

    code, out, _ = call("data", "verify", str(idx), "--classes", "4")
    assert code == 0
    assert "2 checksums agree" in out
    code, _, err = call("data", "verify", str(idx), "--classes", "3")
    assert (code, "row 4: label out of range" in err) == (65, True)
    (idx / "SHA256SUMS").write_text(sums.replace(packed[:4], "0000"))
    code, _, err = call("data", "verify", str(idx))
    assert (code, "another checksum" in err) == (65, True)


@pytest.mark.parametrize("name", sorted(RULES))
def test_new_writes_each_optimizers_own_rate_and_constants(call, name):
    out = call("new", "-y", "--optimizer", name)[1]
    written = load_spec(out).optimizer

    own = make_optimizer(OptimizerSpec(name=name), NumPyBackend(), 1)
    assert make_optimizer(written, NumPyBackend(), 1).lr == own.lr
    assert written == OptimizerSpec(name=name, **own_defaults(name))
    assert load_spec(call("new", "-y", "--optimizer", name, "--lr", "0.5")[1]).optimizer.lr == 0.5


def test_new_takes_an_activation_for_each_layer(call):
    out = call("new", "-y", "--hidden", "8,4", "--activation", "tanh,gelu")[1]

    assert [type(layer).__name__ for layer in load_spec(out).layers] == [
        "Dense",
        "Tanh",
        "Dense",
        "Gelu",
    ]
    assert call("new", "-y", "--hidden", "8,4,2", "--activation", "tanh,relu")[0] == 2


DAMAGED = ["train-images-idx3-ubyte.gz", "d.csv", "d.csv.gz", "d.npz", "d.npy", "d.pb"]


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_data_of_every_format_is_one_line_and_65(call, idx, name):
    if name in ("d.csv", "d.csv.gz", "d.npz", "d.npy", "d.pb"):
        assert call("data", "convert", str(idx), name)[0] == 0
        path = Path(name)
    else:
        path = idx / name
        image = gzip.decompress(path.read_bytes())
        sums = hashlib.sha256(image).hexdigest()
        (idx / "SHA256SUMS").write_text(f"{sums}  {name.removesuffix('.gz')}\n")
    whole = path.read_bytes()
    head = b"\xff\xfe" + whole if name == "d.csv" else whole[2:]
    for data in (b"", head, whole[:-2] + (b'"' if name == "d.csv" else b"")):
        path.write_bytes(data)
        code, out, err = call("data", "verify", str(idx if path.parent == idx else path))
        assert (code, out, err.count("\n")) == (65, "", 1), err
        assert str(path) in err or "SHA256SUMS" in err


def test_the_dialogue_asks_for_what_flags_leave_open(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentd", "new", "m.yaml"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen, asked = b"", []
    answers = [b"4", b"3", b"8,x", b"8,6", b"relo", b"tanh", b"identity", b"numbers", b"huber"]
    answers += [b"sgdd", b"adadelta", b"", b"-1", b"16", b"2", b"1", b""]
    with contextlib.suppress(OSError):  # Linux says EIO when the other side is gone
        for answer in answers:
            while not seen.rstrip().endswith(b":"):
                seen += os.read(ours, 4096)
            os.write(ours, answer + b"\n")
            asked.append(seen.decode())
            seen = b""
        while chunk := os.read(ours, 4096):
            seen += chunk
    os.close(ours)

    assert process.wait(30) == 0
    spec = load_spec(tmp_path / "m.yaml")
    assert (spec.input, spec.outputs, spec.batch, spec.epochs) == (4, 3, 16, 2)
    assert [type(layer).__name__ for layer in spec.layers] == ["Dense", "Tanh", "Dense", "Identity"]
    assert spec.loss is not None
    assert (spec.loss.name, spec.optimizer.name, spec.optimizer.lr) == ("huber", "adadelta", 1.0)
    assert spec.data.validation == 0.1
    errors = [text for text in asked if "Error: " in text]
    assert len(errors) == 5  # each bad answer at once, and asked for again
    assert "want whole numbers, as 300,150, got '8,x'" in errors[0]
