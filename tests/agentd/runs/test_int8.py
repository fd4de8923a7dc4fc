"""A run's network in whole numbers: nearly the figures of float32, on any rows; bad ones named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentd.cli import main
from agentd.cli.weights.sources import run_policy
from agentd.export.onnxfile import onnx_file
from agentd.export.run import onnx_session
from agentd.runs import Run
from agentd.runs.int8 import calibration_rows, int8_trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, and beside it data.csv: which of two numbers is the larger one."""
    folder = tmp_path_factory.mktemp("int8")
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'yes' if a < b else 'no'}" for a, b in rng.random((400, 2))]
    (folder / "data.csv").write_text("a,b,less\n" + "\n".join(rows) + "\n")
    model = "layers: [{dense: 24}, relu, {dense: 24}, relu]\nepochs: 10\noptimizer: {lr: 0.01}\n"
    (folder / "model.yaml").write_text(model)
    given = [str(folder / "model.yaml"), "--train", str(folder / "data.csv")]
    assert main(["train", *given, "--out", str(folder / "run"), "-q"]) == 0
    return folder / "run"


def measured(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    given = [str(run), "--data", str(run.parent / "data.csv"), "--json", *more]
    assert main(["test", *given]) == 0
    return json.loads(capsys.readouterr().out)


def test_int8_is_measured_beside_float32(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = measured(run, capsys)
    assert "int8" not in plain
    own = measured(run, capsys, "--int8")
    other = measured(run, capsys, "--int8", "--calibration", str(run.parent / "data.csv"))
    for found, inputs in ((own, "each row its own range"), (other, "calibrated")):
        assert found["int8"]["float32_accuracy"] == plain["accuracy"] > 0.9
        assert abs(found["accuracy"] - plain["accuracy"]) <= 0.01
        assert found["loss"] != plain["loss"]
        assert (found["int8"]["inputs"], found["int8"]["fitted_rows"]) == (inputs, 400)
        assert 2 < found["int8"]["float32_weight_bytes"] / found["int8"]["weight_bytes"] < 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--int8", "--calibration", "empty.csv"], 65, "no rows: expected at least one"),
        (["--calibration", "empty.csv"], 2, "--calibration: want --int8 with it"),
        (["--int8", "--calibration", "nowhere.csv"], 66, "nowhere.csv"),
    ],
)
def test_bad_calibration_is_named(
    run: Path,
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.parent)
    Path("empty.csv").write_text("")
    assert main(["test", str(run), "--data", "data.csv", *words]) == code
    assert said in capsys.readouterr().err


def test_onnx_has_the_same_whole_numbers(run: Path) -> None:
    pytest.importorskip("onnxruntime")
    snapshot, source = Run.open(run).load(), run.parent / "data.csv"
    rows = calibration_rows(snapshot, source)
    assert rows is not None
    trainer, _ = int8_trainer(snapshot, source)
    policy = run_policy(run, snapshot).rounded(rows, ranges=True).policy
    (y,) = onnx_session(onnx_file(policy))(["y"], {"x": rows})
    wanted = trainer.predict(rows)
    assert (np.abs(y - wanted).max(axis=1) < 1e-4).mean() > 0.9  # others round the other way
    assert np.abs(y - wanted).max() < 0.05 * np.abs(wanted).max()
