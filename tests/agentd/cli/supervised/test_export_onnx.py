"""``agentd export --to onnx`` as a user runs it."""

from pathlib import Path

import numpy as np
import pytest

from agentd.cli import main
from agentd.engine.network import Pass
from agentd.engine.numpy_backend import NumPyBackend
from agentd.runs import Run

onnx = pytest.importorskip("onnx")


def test_a_trained_run_becomes_an_onnx_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnx.reference import ReferenceEvaluator

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 2)).astype(np.float32) * 5 + 3
    rows = [f"{a:.4f},{b:.4f},{'no' if a > b else 'yes'}" for a, b in x]
    Path("train.csv").write_text("a,b,less\n" + "\n".join(rows) + "\n")
    Path("model.yaml").write_text(
        "layers: [{dense: 8}, relu]\nepochs: 2\ndata: {normalize: standard}\n"
    )
    assert main(["train", "model.yaml", "--train", "train.csv", "--out", "run", "-q"]) == 0
    assert main(["export", "run", "--to", "onnx", "-q"]) == 0

    model = onnx.load("run/weights.onnx")
    onnx.checker.check_model(model, full_check=True)
    (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    found = Run(Path("run")).load()
    scaled = np.empty_like(x)
    found.normalizer.apply(x, scaled)
    expected = Pass(found.network, NumPyBackend(), len(x)).forward(found.weights, scaled)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_another_form_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "run", "--to", "gguf"]) == 2
    assert "want one of safetensors, npz, pb, onnx, c, js, gdscript" in capsys.readouterr().err
