"""``agentd export`` and ``agentd import`` of agents, as a user runs them."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from agentd.assembly.network import network_for
from agentd.cli import main
from agentd.cli.weights.sources import find_agent
from agentd.config import AgentConfig
from agentd.config.convert import convert, parse_layer
from agentd.learner.begin import write_first_checkpoint
from agentd.protocol.schema import Schema
from agentd.server.agents.stored import StoredAgents

Call = Callable[..., tuple[int, Any, str]]
SCHEMA = Schema.from_wire(
    {"board": {"dtype": "uint8", "shape": [5, 4, 2]}}, {"kind": "multi_discrete", "n": [3, 2]}
)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, Any, str]:
        code = main([*words, *(["--json"] if "-q" not in words else [])])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out.startswith("{") else {}, said.err

    return run


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with the agents ``net`` (images, two branches) and ``cart`` (a vector)."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    vector = Schema.from_wire(
        {"obs": {"dtype": "float32", "shape": [4]}}, {"kind": "discrete", "n": 2}
    )
    add_agent(root, "net", "model: {layers: [{conv2d: 4}, relu, flatten], dueling: true}", SCHEMA)
    add_agent(root, "cart", "model: {layers: [{dense: 16}, relu, {dense: 8}, relu]}", vector)
    return root


def add_agent(root: Path, name: str, text: str, schema: Schema) -> None:
    config = convert(parse_layer(text, name, source="preset"), AgentConfig)
    stored = StoredAgents(root / "agents")
    stored.make_root()
    flat = network_for(config, schema).init(np.random.default_rng(5))
    write_first_checkpoint(stored.folder(name) / "checkpoints", config, schema, flat)
    stored.bind(name, schema)
    stored.write_config(name, config)


@pytest.mark.parametrize(
    ("form", "program"), [("onnx", ""), ("c", "gcc"), ("js", "node"), ("gdscript", "godot3-server")]
)
def test_an_agent_is_exported_and_checked(call: Call, data: Path, form: str, program: str) -> None:
    if program and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if form == "onnx":
        pytest.importorskip("onnx")
    given = ("--data-dir", str(data), "--to", form, "--check", "--states", "50")
    code, record, err = call("export", "net", *given)
    assert (code, err) == (0, "")
    check = record["check"]
    assert check["same"] + check["ties"] == check["states"] == 50
    assert check["worst"] < 1e-5
    assert record["weight_bytes"] == 4 * record["parameters"]
    assert record["bytes"] == Path(record["file"]).stat().st_size


@pytest.mark.parametrize("form", ["safetensors", "npz"])
def test_weights_go_out_by_name_with_metadata(call: Call, data: Path, form: str) -> None:
    where = ("--data-dir", str(data), "--to", form)
    assert call("export", "cart", *where)[0] == call("export", "cart", *where, "--int8")[0] == 0
    code, _, _ = call("export", "cart", *where, "--actions", "left,right", "--out", "whole")
    assert code == 0
    found = find_agent("cart", data)
    if form == "npz":
        arrays = dict(np.load("whole"))
        facts = json.loads(arrays.pop("metadata").tobytes())
        small = dict(np.load("cart.npz"))
    else:
        with safetensors.safe_open("whole", "np") as file:
            facts = json.loads(file.metadata()["agentd"])
        arrays = safetensors.numpy.load_file("whole")
        small = safetensors.numpy.load_file("cart.safetensors")
    assert {slot.name: slot.shape for slot in found.network.slots} == {
        name: values.shape for name, values in arrays.items()
    }
    assert facts["action_names"] == ["left", "right"]
    assert facts["observation"]["obs"]["shape"] == [4]
    again = small["0.dense.w"] * small["0.dense.w.scale"]
    assert small["0.dense.w"].dtype == np.int8
    np.testing.assert_allclose(again, arrays["0.dense.w"], atol=0.005)


def test_sb3_weights_come_in_act_alike_and_go_back(call: Call, data: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sizes = (4, 12, 6, 3)
    state = {}
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        for net in ("q_net.q_net", "q_net_target.q_net"):
            state[f"{net}.{2 * i}.weight"] = rng.normal(size=(n_out, n_in)).astype(np.float32)
            state[f"{net}.{2 * i}.bias"] = rng.normal(size=n_out).astype(np.float32)
    np.savez("sb3.npz", **state)
    where = ("--data-dir", str(data))
    code, record, err = call("import", "sb3.npz", "--agent", "dqn", "--activation", "tanh", *where)
    assert (code, record["hidden"], err) == (0, [12, 6], "")

    x = rng.normal(size=(1000, 4)).astype(np.float32)
    y = x
    for i in range(3):
        y = y @ state[f"q_net.q_net.{2 * i}.weight"].T + state[f"q_net.q_net.{2 * i}.bias"]
        y = np.tanh(y) if i < 2 else y
    from agentd.engine.network import Pass
    from agentd.engine.numpy_backend import NumPyBackend

    found = find_agent("dqn", data)
    q = Pass(found.network, NumPyBackend(), 1000).forward(found.flat, x)
    np.testing.assert_allclose(q, y, atol=1e-5)
    assert (np.asarray(q).argmax(1) == y.argmax(1)).all()

    assert call("export", "dqn", *where, "--to", "npz", "--for", "sb3", "--out", "back.npz")[0] == 0
    back = np.load("back.npz")
    for name, values in state.items():
        source = name.replace("q_net_target", "q_net")  # what is imported is the online network
        np.testing.assert_array_equal(back[name], state[source], err_msg=str(values.shape))
    code, _, err = call("import", "sb3.npz", "--agent", "dqn", *where)
    assert code == 2
    assert "holds an agent 'dqn' already" in err


def test_a_dqn_of_sb3_comes_in_acts_alike_and_goes_back(call: Call, data: Path) -> None:
    """By Stable-Baselines3 itself, as docs/WEIGHTS.md says."""
    sb3 = pytest.importorskip("stable_baselines3")
    import torch

    model = sb3.DQN("MlpPolicy", "CartPole-v1", learning_starts=50, device="cpu", seed=1)
    model.learn(400)
    np.savez("dqn.npz", **{k: v.numpy() for k, v in model.policy.state_dict().items()})
    where = ("--data-dir", str(data))
    assert call("import", "dqn.npz", "--agent", "dqn", "--activation", "relu", *where)[0] == 0

    from agentd.engine.network import Pass
    from agentd.engine.numpy_backend import NumPyBackend

    found, x = find_agent("dqn", data), np.random.default_rng(2).normal(size=(1000, 4))
    q = Pass(found.network, NumPyBackend(), 1000).forward(found.flat, x.astype(np.float32))
    with torch.no_grad():
        theirs = model.q_net(torch.as_tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(q, theirs, atol=1e-5)
    chosen, _ = model.predict(x.astype(np.float32), deterministic=True)
    assert (np.asarray(q).argmax(1) == chosen).all()

    back = ("--to", "safetensors", "--for", "sb3", "--out", "back.safetensors")
    assert call("export", "dqn", *where, *back)[0] == 0
    arrays = safetensors.numpy.load_file("back.safetensors")
    model.policy.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"q_net.features_extractor.cnn.0.weight": (8, 3, 3, 3)}, "only MlpPolicy"),
        ({"q_net.q_net.2.weight": (3, 9)}, "takes 9 inputs, the layer before gives 5"),
        ({"q_net.q_net.0.bias": (4,)}, "q_net.q_net.0.bias: want (5,) of floats"),
        ({"head": (2,)}, "alone, got head"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    call: Call, data: Path, change: dict[str, tuple[int, ...]], said: str
) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "q_net.q_net.0.weight": (5, 4),
        "q_net.q_net.0.bias": (5,),
        "q_net.q_net.2.weight": (3, 5),
        "q_net.q_net.2.bias": (3,),
    }
    arrays = {name: np.zeros(shape, np.float32) for name, shape in (shapes | change).items()}
    np.savez("bad.npz", **arrays)  # type: ignore[arg-type]
    code, _, err = call("import", "bad.npz", "--agent", "bad", "--data-dir", str(data))
    assert code == 2
    assert said in err
    assert not (data / "agents" / "bad").exists()


def test_pickles_are_never_read(call: Call, data: Path) -> None:
    Path("model.zip").write_bytes(b"PK")
    code, _, err = call("import", "model.zip", "--agent", "x", "--data-dir", str(data))
    assert code == 2
    assert "zip and pt files hold pickles" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nobody"], 66, "no agent 'nobody'"),
        (["cart@000009-000000000000"], 66, "no checkpoint '000009-000000000000'"),
        (["cart", "--to", "c", "--for", "unity"], 2, "want --to onnx with it"),
        (["cart", "--to", "onnx", "--for", "unity", "--int8"], 2, "--for unity holds float32"),
        (["net", "--to", "npz", "--for", "sb3"], 2, "got convolution"),
        (["cart", "--to", "pb"], 2, "--to pb is for runs"),
        (["cart", "--actions", "one"], 2, "want 2 names, got 1"),
        (["cart", "--check"], 2, "--check: want --to onnx, c, js or gdscript"),
    ],
)
def test_what_cannot_be_exported_is_named(
    call: Call, data: Path, words: list[str], code: int, said: str
) -> None:
    found, _, err = call("export", *words, "--data-dir", str(data))
    assert found == code
    assert said in err


def test_a_supervised_run_becomes_c_and_javascript(call: Call, data: Path) -> None:
    rows = [f"{a},{b},{'no' if a > b else 'yes'}" for a in range(8) for b in range(8)]
    Path("train.csv").write_text("a,b,less\n" + "\n".join(rows) + "\n")
    Path("model.yaml").write_text("layers: [{dense: 8}, relu]\nepochs: 2\n")
    assert main(["train", "model.yaml", "--train", "train.csv", "--out", "run", "-q"]) == 0
    for form, program in (("c", "gcc"), ("js", "node")):
        assert call("export", "run", "--to", form)[0] == 0
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    text = '#include <stdio.h>\n#include "run/weights.h"\nint main(void) { static run_policy p; '
    text += "float x[2] = {1, 5}; run_reset(&p); run_values(&p, x); "
    text += 'printf("%.6f %.6f", p.y[0], p.y[1]); return 0; }\n'
    Path("main.c").write_text(text)
    subprocess.run(["gcc", "main.c", "-o", "main", "-lm"], check=True)
    c = subprocess.run(["./main"], capture_output=True, text=True, check=True).stdout.split()
    script = 'import { Policy } from "./run/weights.mjs"; const p = new Policy(); '
    script += "console.log(p.act([1, 5]), ...p.values);"
    Path("main.mjs").write_text(script)
    js = subprocess.run(["node", "main.mjs"], capture_output=True, text=True, check=True).stdout
    best, *values = map(float, js.split())
    np.testing.assert_allclose(values, [float(v) for v in c], atol=1e-5)
    assert best == int(np.argmax(values))
