"""Novelty and calibration from the command line: train, test, calibrate, predict, refusals."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from agentd.cli import main

MODEL = "layers: [{dense: 16}, relu]\nloss: {name: %s}\noptimizer: {lr: 1e-2}\nbatch: 16\n"
MODEL += "epochs: 6\ndata: {validation: 0.4}\n"


def write_csv(path, rows, seed=0, classes="rgb"):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(classes), rows)
    x = 1.6 * rng.standard_normal((rows, 2)) + np.array([[0, 3], [3, -2], [-3, -2], [9, 9]])[y]
    lines = [f"{a:.4f},{b:.4f},{classes[c]}" for (a, b), c in zip(x, y, strict=True)]
    path.write_text("x,y,colour\n" + "\n".join(lines) + "\n")


def run(capsys, *arguments):
    capsys.readouterr()
    code = main(list(arguments))
    told = capsys.readouterr()
    return int(code), told.out, told.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data, and one trained run for each of two losses."""
    place = tmp_path_factory.mktemp("doubt")
    write_csv(place / "train.csv", 400)
    write_csv(place / "test.csv", 600, seed=1)
    (place / "foreign.csv").write_text("x,y\n" + "40,40\n-40,40\n0.2,-0.4\n" * 20)
    for name in ("edl_digamma", "softmax_cross_entropy"):
        (place / "model.yaml").write_text(MODEL % name)
        data = ("--train", str(place / "train.csv"), "--out", str(place / name))
        assert main(["train", str(place / "model.yaml"), *data, "-q"]) == 0
    return place


@pytest.fixture
def place(trained, tmp_path, monkeypatch):
    """A copy of that folder, to work in."""
    shutil.copytree(trained, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def test_an_evidential_run_tells_its_novelty(place, capsys):
    test = ("test", "edl_digamma", "--data", "test.csv", "--foreign", "foreign.csv")
    code, out, err = run(capsys, *test, "--json", "--samples", "1")
    found = json.loads(out)
    assert code == 0, err
    assert found["accuracy"] > 0.85
    assert found["auroc_wrong"] > 0.6
    assert 0 < found["auroc_foreign"] < 1
    assert found["novelty_wrong"] > found["novelty_right"]
    assert found["kept"][0] == [1.0, found["accuracy"]]
    assert found["kept"][-1][1] > found["accuracy"]
    assert 0 < found["samples"][0]["novelty"] <= 1
    assert "temperature" not in found

    code, out, _ = run(capsys, *test, "--samples", "1", "--output", "rows.csv")
    assert "novelty ranks wrong above right: AUROC" in out
    assert "% of rows kept, least novelty" in out
    assert (place / "rows.csv").read_text().startswith("row,expected,told,b,g,r,novelty\n")


def test_a_softmax_run_tells_doubt_only_when_asked(place, capsys):
    test = ("test", "softmax_cross_entropy", "--data", "test.csv")

    plain = json.loads(run(capsys, *test, "--json")[1])
    asked = json.loads(run(capsys, *test, "--foreign", "foreign.csv", "--json")[1])
    header = run(capsys, "predict", "softmax_cross_entropy", "--data", "test.csv")[1]

    assert "ece" not in plain
    assert {"ece", "auroc_wrong", "doubt_right", "auroc_foreign"} <= asked.keys()
    assert not any(key.startswith("novelty") for key in asked)
    assert header.startswith("row,class,b,g,r\n")


@pytest.mark.parametrize("name", ["edl_digamma", "softmax_cross_entropy"])
def test_a_calibration_is_saved_with_the_model(place, capsys, name):
    before = json.loads(run(capsys, "test", name, "--data", "test.csv", "--json")[1])
    code, out, err = run(capsys, "calibrate", name, "--coverage", "0.8", "--json")
    found = json.loads(out)
    assert code == 0, err
    assert found["rows"] == 160  # those that the run held out
    assert found["ece_after"] < found["ece"] + 0.02

    tested = json.loads(run(capsys, "test", name, "--data", "test.csv", "--json")[1])
    assert tested["checkpoint"] == found["checkpoint"] != before["checkpoint"]
    assert tested["loss"] == before["loss"]
    assert tested["temperature"] == found["temperature"]
    assert abs(tested["coverage_found"] - 0.8) < 0.08
    told = list(csv.DictReader(io.StringIO(run(capsys, "predict", name, "--data", "test.csv")[1])))
    held = [len(row["set"].split("|")) if row["set"] else 0 for row in told]
    assert np.mean(held) == pytest.approx(tested["classes_in_set"])
    assert ("novelty" in told[0]) is name.startswith("edl")

    answers = json.loads(run(capsys, "predict", name, "--data", "test.csv", "--json")[1])
    assert answers["predictions"][0]["set"] == [c for c in told[0]["set"].split("|") if c]
    out = run(capsys, "calibrate", name, "--data", "test.csv", "--coverage", "0.5")[1]
    assert "600 rows of test.csv" in out


def test_training_on_drops_the_calibration(place, capsys):
    assert run(capsys, "calibrate", "edl_digamma", "-q")[0] == 0

    assert run(capsys, "train", "--resume", "--out", "edl_digamma", "--epochs", "7", "-q")[0] == 0

    found = json.loads(run(capsys, "test", "edl_digamma", "--data", "test.csv", "--json")[1])
    assert "temperature" not in found


def test_the_picture_is_written(place, capsys):
    pytest.importorskip("matplotlib")

    code, _, err = run(
        capsys,
        *("test", "edl_digamma", "--data", "test.csv", "--foreign", "foreign.csv"),
        *("--png", "doubt.png"),
    )

    assert code == 0, err
    assert (place / "doubt.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = run(
        capsys, "test", "softmax_cross_entropy", "--data", "test.csv", "--png", "a.png"
    )
    assert code == 2
    assert "--png: softmax_cross_entropy tells no doubt" in err


def test_bad_input_is_named_in_one_line(place, capsys):
    write_csv(place / "four.csv", 50, classes="rgbk")
    write_csv(place / "one.csv", 50, classes="r")
    write_csv(place / "few.csv", 5)
    (place / "empty.csv").write_text("x,y,colour\n")
    (place / "nothing.csv").write_text("")
    (place / "wide.yaml").write_text("layers: [{dense: 2}]\nloss: edl_log\noutputs: 2\n")
    (place / "huge.yaml").write_text("layers: []\nloss: {name: huber, kl_weight: 2}\n")
    calibrate = ("calibrate", "edl_digamma", "--data")
    for arguments, code, words in (
        ((*calibrate, "four.csv"), 65, ("four.csv", "column `colour`", "'k'")),
        ((*calibrate, "one.csv"), 65, ("one.csv: one class only: expected at least 2, got r",)),
        ((*calibrate, "few.csv"), 65, ("few.csv", "coverage 0.9: expected at least 9", "got 5")),
        ((*calibrate, "empty.csv"), 65, ("empty.csv", "no rows")),
        ((*calibrate, "nothing.csv"), 65, ("nothing.csv",)),
        ((*calibrate, "test.csv", "--coverage", "1.5"), 65, ("coverage", "got 1.5")),
        ((*calibrate, "test.csv", "--coverage", "0"), 65, ("coverage", "got 0")),
        ((*calibrate, "none.csv"), 66, ("none.csv",)),
        (("train", "wide.yaml", "--train", "train.csv"), 65, ("train.csv", "expected")),
        (("train", "huge.yaml", "--train", "train.csv"), 78, ("huge.yaml", "huber has no")),
        (("train", "wide.yaml", "--train", "one.csv"), 65, ("one class only",)),
    ):
        got, _, err = run(capsys, *arguments)
        assert got == code, (arguments, err)
        assert err.count("\n") == 1, err
        for word in words:
            assert word in err, err


def test_new_writes_an_evidential_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    code, _, err = run(capsys, "new", "model.yaml", "--loss", "edl_squared", "-y")

    assert code == 0, err
    assert "loss: edl_squared\n" in (tmp_path / "model.yaml").read_text()
