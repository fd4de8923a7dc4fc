"""A memory budget as a user says it: on the command line, in YAML; told by ``check``."""

import json
from pathlib import Path

import numpy as np
import pytest

from agentd.engine.layers.recording import Layout
from agentd.runs import Run

MODEL = """
input: 20
outputs: 3
layers: [{dense: 64}, relu, {dense: 48}, batch_norm, tanh, dropout, {dense: 32}, relu]
batch: 16
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, 20))
    rows = np.c_[x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)]
    np.savetxt("train.csv", rows, delimiter=",", fmt="%.5f")
    Path("m.yaml").write_text(MODEL)


def test_training_within_a_budget_gives_the_same_weights(call):
    train = ("train", "m.yaml", "--train", "train.csv", "-q")
    assert call(*train, "--epochs", "2", "--out", "whole")[0] == 0
    budget = ("--memory-budget", "0.0")
    assert call(*train, "--epochs", "1", "--out", "tight", *budget)[0] == 0
    assert Run(Path("tight")).load().spec.memory.budget == 0
    resumed = call("train", "--resume", "--out", "tight", "--epochs", "2", "--memory-budget", "0.3")
    assert resumed[0] == 0

    weights = [Run(Path(name)).load().weights for name in ("whole", "tight")]
    np.testing.assert_array_equal(*weights)


def test_check_tells_what_each_layer_keeps(call):
    code, out, _ = call("check", "m.yaml", "--batch", "64", "--memory-budget", "0", "--json")

    assert code == 0
    memory = json.loads(out)["memory"]
    assert memory["layers"][0]["names"] == ["0.dense", "1.relu"]
    assert memory["layers"][0]["saved_bytes"] == 64 * 64 * 4
    assert any(layer["recomputed"] for layer in memory["layers"])
    peaks = [point["peak_bytes"] for point in memory["curve"]]
    assert peaks == sorted(peaks)
    assert peaks[0] < 0.6 * peaks[-1]
    out = call("check", "m.yaml", "--batch", "64")[1]
    assert "peak in MB against the memory budget" in out
    assert "┤" in out


def test_check_draws_the_curve(call):
    pytest.importorskip("matplotlib")
    assert call("check", "m.yaml", "--batch", "64", "--png", "curve.png")[0] == 0
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("budget", ["-1", "nan", "1.5", "half"])
def test_a_budget_that_is_none_is_refused(call, budget):
    for command in (("train", "m.yaml", "--train", "train.csv"), ("check", "m.yaml")):
        code, _, err = call(*command, "--memory-budget", budget)
        assert (code, err.count("\n")) == (78, 1)
        assert err.startswith("agentd: --memory-budget: wrong value: expected a number from 0 to 1")


@pytest.mark.parametrize(
    ("memory", "told"),
    [
        ("{budget: -1}", "memory.budget: wrong value: expected a number >= 0.0, got -1"),
        ("{budget: .nan}", "not finite"),
        ("{policy: {9.dense: must_save}}", "memory.policy.9.dense: no such layer"),
        ("{policy: {dense: keep}}", "memory.policy"),
        ("{policy: {0.dense: must_save, 1.relu: must_recompute}}", "0.dense and 1.relu are"),
    ],
)
def test_what_cannot_be_followed_is_refused(call, memory, told):
    Path("m.yaml").write_text(f"{MODEL}memory: {memory}\n")
    code, _, err = call("train", "m.yaml", "--train", "train.csv")
    assert (code, err.count("\n")) == (78, 1)
    assert told in err


def test_a_layer_that_cannot_be_replayed_is_named(call, monkeypatch):
    mark = Layout.statistic
    monkeypatch.setattr(Layout, "statistic", lambda at, *given, replayed: mark(at, *given))
    for command in (
        ("train", "m.yaml", "--train", "train.csv"),
        ("check", "m.yaml", "--batch", "8"),
    ):
        code, _, err = call(*command, "--memory-budget", "0.5")
        assert (code, err.count("\n")) == (78, 1)
        assert "3.batch_norm: cannot be replayed" in err


def test_check_needs_shapes_for_a_batch(call):
    Path("m.yaml").write_text("layers: [{dense: 64}]\n")
    for flags in (("--batch", "64"), ("--memory-budget", "0.5")):
        code, _, err = call("check", "m.yaml", *flags)
        assert (code, err.count("\n")) == (2, 1)


def test_threads_chosen_by_a_trial_are_kept_with_the_run(call):
    train = ("train", "--out", "run", "--threads", "0")
    code, _, err = call(*train, "m.yaml", "--train", "train.csv", "--epochs", "1")
    assert code == 0
    threads = Run(Path("run")).load().facts["threads"]
    assert f"{threads} BLAS threads, by a short trial" in err
    assert call(*train, "--resume", "--epochs", "2", "-q")[0] == 0
    assert Run(Path("run")).load().facts["threads"] == threads
