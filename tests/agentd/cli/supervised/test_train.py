"""``train``, ``test`` and ``export`` as a user runs them, kills and bad input included."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agentd.engine.data.idx import write_idx
from agentd.runs import Run, read_metrics

from ...event_files import read_events

MODEL = "layers: [{dense: 8}, relu]\noptimizer: {lr: 1e-2}\nbatch: 16\nepochs: 3\n"
MODEL += "save: {min_seconds: 0}\n"
MNIST = Path(os.environ.get("AGENTD_DATA", Path(__file__).parents[5] / "shared" / "data")) / "mnist"


def write_csv(path: Path, rows: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    x = rng.standard_normal((rows, 2)) + np.array([[0, 3], [3, -2], [-3, -2]])[y]
    lines = [f"{a:.4f},{b:.4f},{'rgb'[c]}" for (a, b), c in zip(x, y, strict=True)]
    path.write_text("x,y,colour\n" + "\n".join(lines) + "\n")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.yaml").write_text(MODEL)
    write_csv(tmp_path / "train.csv", 300)
    write_csv(tmp_path / "test.csv", 100, seed=1)
    return tmp_path


def test_train_makes_a_run_and_reports_it(place, call):
    code, out, err = call(
        *("train", "model.yaml", "--train", "train.csv", "--test", "test.csv"),
        *("--validation", "0.2", "--json"),
    )

    record = json.loads(out.splitlines()[-1])
    assert code == 0
    assert record["test_accuracy"] > 0.9
    assert record["test_loss"] < 0.5
    assert len(record["epoch_seconds"]) == record["epochs"] == 3
    assert record["parameters"] == 2 * 8 + 8 + 8 * 3 + 3
    assert "epoch=3/3" in err
    run = Path(record["run"])
    assert run == Path("runs/model")
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    events = dict(read_events(next(run.glob("events.out.tfevents.*"))))
    assert events[lines[-1]["steps"]]["loss/validation"] == pytest.approx(
        lines[-1]["validation_loss"], rel=1e-6
    )
    assert Run.open(run).load(best=True).scalars["epoch"] in (1, 2, 3)


def test_test_gives_figures_matrix_and_samples(place, call):
    call("train", "model.yaml", "--train", "train.csv", "--out", "run", "-q")

    code, out, _ = call("test", "run", "--data", "test.csv", "--json", "--samples", "2")
    record = json.loads(out)
    assert code == 0
    assert record["classes"] == ["b", "g", "r"]
    assert np.sum(record["confusion"]) == record["rows"] == 100
    assert np.trace(record["confusion"]) / 100 == record["accuracy"] > 0.9
    assert len(record["samples"]) == 2
    assert sum(record["samples"][0]["output"]) == pytest.approx(1, abs=1e-4)

    code, out, _ = call(
        "test", "run", "--data", "test.csv", "--output", "out.csv", "--samples", "3"
    )
    assert "recall" in out
    lines = (place / "out.csv").read_text().splitlines()
    assert lines[0] == "row,expected,told,b,g,r"
    assert len(lines) == 101


def test_what_was_understood_is_told_in_one_line(place, call):
    code, _, err = call("train", "model.yaml", "--train", "train.csv", "--validation", "0.2")

    assert code == 0
    assert err.splitlines()[0] == (
        "train.csv: 240 rows and 60 held out; inputs x, y, label colour, delimiter ',', a header; "
        "3 classes (b, g, r); device cpu"
    )


@pytest.mark.parametrize("label", ["colour", "0"])
def test_a_label_first_is_named_and_others_are_read_alike(place, call, label):
    """The run keeps what --label and --delimiter said; other files are read by the names."""
    rows = [line.split(",") for line in (place / "train.csv").read_text().splitlines()]
    (place / "first.csv").write_text("\n".join(f"{c}|{x}|{y}" for x, y, c in rows))
    (place / "other.csv").write_text("\n".join(f"{y}|{c}|{x}" for x, y, c in rows))
    (place / "bare.csv").write_text("\n".join(f"{c}|{x}|{y}" for x, y, c in rows[1:]))
    flags = ("--label", label, "--delimiter", "|", "--out", "run")
    assert call("train", "model.yaml", "--train", "first.csv", *flags)[0] == 0

    names = ("first", "other", "bare")
    found = [call("test", "run", "--data", f"{name}.csv", "--json") for name in names]

    accuracy = [json.loads(out)["accuracy"] for _, out, _ in found]
    assert accuracy[0] == accuracy[1] == accuracy[2] > 0.9
    code, _, err = call("train", "--resume", "--out", "run", "--label", "x")
    assert (code, "--label cannot change in a resumed run" in err) == (2, True)


def test_rows_without_labels_are_answered(place, call):
    call("train", "model.yaml", "--train", "train.csv", "--out", "run", "-q")
    test = [line.split(",") for line in (place / "test.csv").read_text().splitlines()]
    (place / "new.csv").write_text("\n".join(f"{y};{x}" for x, y, _ in test))

    code, out, _ = call("predict", "run", "--data", "new.csv", "--json")
    record = json.loads(out)
    assert (code, record["rows"], record["classes"]) == (0, 100, ["b", "g", "r"])
    told = [each["class"] for each in record["predictions"]]
    assert np.mean([a == b[2] for a, b in zip(told, test[1:], strict=True)]) > 0.9
    assert sum(record["predictions"][0]["output"]) == pytest.approx(1, abs=1e-5)
    code, out, _ = call("predict", "run", "--data", "test.csv")  # its labels are not looked at
    lines = out.splitlines()
    assert (code, lines[0], len(lines)) == (0, "row,class,b,g,r", 101)
    assert [line.split(",")[1] for line in lines[1:]] == told
    code, out, _ = call("predict", "run", "--data", "new.csv", "--output", "out.csv")
    assert (code, out) == (0, "")
    assert (place / "out.csv").read_text().splitlines() == lines
    (place / "wide.csv").write_text("1,2,3,4\n")
    code, _, err = call("predict", "run", "--data", "wide.csv")
    assert (code, "another number of columns: expected 3, got 4" in err) == (65, True)


def test_numbers_are_predicted_under_their_names(place, call):
    (place / "line.csv").write_text("a,b,sum\n" + "".join(f"{i},1,{i + 1.5}\n" for i in range(9)))
    (place / "line.yaml").write_text("layers: []\nloss: squared_error\nepochs: 2\n")
    assert call("train", "line.yaml", "--train", "line.csv", "--out", "run", "-q")[0] == 0

    assert call("predict", "run", "--data", "line.csv")[1].startswith("row,sum\n1,")


def test_numbers_are_learned_and_measured(place, call):
    (place / "xor.csv").write_text("a,b,out\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n")
    (place / "xor.yaml").write_text(
        "layers: [{dense: 8}, tanh, {dense: 1}, sigmoid]\nhead: none\nloss: squared_error\n"
        "optimizer: {lr: 0.05}\nbatch: 4\nepochs: 500\nstop: {target_loss: 0.001}\n"
    )
    code, out, _ = call("train", "xor.yaml", "--train", "xor.csv", "--json")
    assert code == 0
    assert json.loads(out)["stopped"].startswith("the loss reached 0.000")
    assert len(list((place / "runs/xor/checkpoints").iterdir())) <= 3

    code, out, _ = call("test", "runs/xor", "--data", "xor.csv", "--json", "--samples", "4")
    record = json.loads(out)
    assert (code, record["rmse"] < 0.1, "accuracy" in record) == (0, True, False)
    assert [round(each["output"][0]) for each in record["samples"]] == [0, 1, 1, 0]
    code, out, _ = call("test", "runs/xor", "--data", "xor.csv", "--output", "out.csv", "--best")
    assert code == 0
    assert (place / "out.csv").read_text().startswith("row,expected_y0,y0\n1,0.0,")


def test_resume_equals_never_stopped(place, call):
    call("train", "model.yaml", "--train", "train.csv", "--out", "whole", "--epochs", "4", "-q")
    call("train", "model.yaml", "--train", "train.csv", "--out", "cut", "--max-steps", "30", "-q")
    code, _, err = call("train", "--out", "cut", "--resume", "--epochs", "4", "--max-steps", "9999")

    assert code == 0, err
    whole, cut = Run(place / "whole").load(), Run(place / "cut").load()
    assert (whole.weights == cut.weights).all()
    curves = [
        [(r["steps"], r["train_loss"]) for r in read_metrics(place / run / "metrics.jsonl")]
        for run in ("whole", "cut")
    ]
    assert curves[0] == curves[1]


def test_folders_of_idx_files_bring_their_own_test_part(place, call):
    rng = np.random.default_rng(0)
    for folder, part, n in (("both", "train", 60), ("both", "t10k", 20), ("other", "train", 30)):
        (place / folder).mkdir(exist_ok=True)
        labels = rng.integers(0, 2, n).astype(np.uint8)
        images = (rng.integers(0, 100, (n, 3, 3)) + 150 * labels[:, None, None]).astype(np.uint8)
        write_idx(place / folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(place / folder / f"{part}-labels-idx1-ubyte", labels)

    flags = ("--train", "both", "--out", "run", "--epochs", "40", "--json")
    code, out, _ = call("train", "model.yaml", *flags)
    assert (code, json.loads(out)["test_accuracy"] > 0.9) == (0, True)
    assert json.loads(call("test", "run", "--json")[1])["rows"] == 20  # its own test data
    assert json.loads(call("test", "run", "--data", "other", "--json")[1])["rows"] == 30
    assert (
        json.loads(call("test", "run", "--data", "both", "--part", "train", "--json")[1])["rows"]
        == 60
    )


def test_resume_refuses_what_would_not_be_the_same_run(place, call):
    call("train", "model.yaml", "--train", "train.csv", "--out", "run", "-q")

    assert call("train", "--out", "run", "--resume", "--batch", "8")[0] == 2
    code, _, err = call("train", "--out", "run", "--resume", "--train", "test.csv")
    assert (code, "is not the data of run: rows 300, now 100" in err) == (2, True)
    assert call("train", "model.yaml", "--train", "train.csv", "--out", "run")[0] == 2
    assert call("train", "--out", "nowhere", "--resume")[0] == 66


@pytest.mark.parametrize("form", ["safetensors", "npz", "pb"])
def test_weights_go_out_and_in(place, call, form):
    call("train", "model.yaml", "--train", "train.csv", "--out", "run", "-q")
    assert call("export", "run", "--to", form)[0] == 0

    begin = ("--weights", f"run/weights.{form}", "--max-steps", "1", "--lr", "1e-9")
    assert call("train", "model.yaml", "--train", "train.csv", "--out", "again", *begin)[0] == 0

    np.testing.assert_allclose(
        Run(place / "again").load().weights, Run(place / "run").load().weights, atol=1e-6
    )


def test_nevermind_files_train(place, call):
    (place / "net.cfg").write_text(
        "ls:\n- {name: InputLayer, params: {size: {Int: 2}}}\n"
        "- {name: FcLayer, params: {size: {Int: 8}, activation: {String: tanh}}}\n"
        "- {name: SoftmaxLossLayer, params: {size: {Int: 3}}}\n"
        "mdl_type: mdl_sequential_cpu\nbatch_size: 8\n"
    )
    (place / "optim.cfg").write_text("type: {String: adam}\nlearning_rate: {Float: 0.01}\n")

    assert call("data", "convert", "train.csv", "train.pb")[0] == 0
    code, out, _ = call(
        *("train", "net.cfg", "--optimizer", "optim.cfg", "--train", "train.pb", "--json")
    )

    assert code == 0
    assert json.loads(out)["train_accuracy"] > 0.9


BAD = [
    ("1,2,r\n1,r\n", 65, "bad.csv, row 2: too few columns: expected 3 columns, got 2"),
    ("1,2,r\n1,x,r\n", 65, "bad.csv, row 2, column 2: no number: expected a number, got 'x'"),
    ("1,2,r\n1,nan,r\n", 65, "bad.csv, row 2, column 2: not a finite float32"),
    ("1,2,0\n1,2,7\n", 65, "bad.csv, row 2, column 3: label out of range"),
    ("a,b,y\n", 65, "bad.csv: no rows"),
    ("", 65, "bad.csv: no rows"),
    ("1,2,r\n2,3,r\n", 65, "bad.csv: one class only: expected at least 2, got r"),
    ("1,2,3,0\n1,2,3,1\n", 65, "inputs of another size than the model's: expected 2, got 3"),
]


@pytest.mark.parametrize(("text", "code", "message"), BAD, ids=range(len(BAD)))
def test_bad_data_is_one_line_and_nothing_is_written(place, call, text, code, message):
    (place / "bad.csv").write_text(text)
    (place / "m.yaml").write_text("input: 2\noutputs: 3\n" + MODEL)
    before = sorted(place.rglob("*"))

    found, out, err = call("train", "m.yaml", "--train", "bad.csv")

    assert found == code
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers: [{dense: 8}, relux]", "m.yaml:1:22: layers[1]: no such layer `relux`"),
        ("layers: []\nbatch: 1\nbatch: 2", "m.yaml:3:1: duplicate key `batch`"),
        ("layers: [{dense: 2}]", "train.csv: targets of another size than the model's outputs"),
        ("layers: [{reshape: [3, 3]}]", "m.yaml:1:9: layers: 0.reshape: cannot read"),
        ("layers: []\nloss: {name: cross_entropy, class_weights: [1, 2]}", "m.yaml:2:7: loss: "),
    ],
)
def test_a_bad_model_is_one_line_and_nothing_is_written(place, call, text, message):
    (place / "m.yaml").write_text(text)
    before = sorted(place.rglob("*"))

    code, _, err = call("train", "m.yaml", "--train", "train.csv")

    assert code in (65, 78)
    assert message in err
    assert err.count("\n") == 1
    assert sorted(place.rglob("*")) == before


def test_missing_arguments_and_files(place, call):
    assert call("train", "model.yaml")[0] == 2
    assert call("train", "none.yaml", "--train", "train.csv")[0] == 66
    assert call("train", "model.yaml", "--train", "none.csv")[0] == 66
    assert call("train", "model.yaml", "--train", "train.csv", "--lr", "-1")[0] == 2
    assert call("test", "nowhere")[0] == 66


def test_divergence_exits_70_and_keeps_the_last_good_state(place, call):
    (place / "bad.csv").write_text("".join(f"{i}e30,{i}e30\n" for i in range(1, 90)))
    (place / "m.yaml").write_text("layers: []\nloss: squared_error\nbatch: 2\n")

    code, _, err = call("train", "m.yaml", "--train", "bad.csv", "--out", "run")

    assert code == 70
    assert "not finite" in err
    assert err.splitlines()[-1].startswith("agentd: ")


# -- whole processes ---------------------------------------------------------------------------


def start(place: Path, *arguments: str, **options) -> subprocess.Popen:
    environ = os.environ | options.pop("environ", {})
    return subprocess.Popen(
        [sys.executable, "-m", "agentd", "train", *arguments], cwd=place, env=environ, **options
    )


def await_file(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


LONG = ("model.yaml", "--train", "train.csv", "--out", "run", "--epochs", "1000000")


def test_ctrl_c_saves_and_ends_well(place):
    process = start(place, *LONG, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await_file(place / "run" / "metrics.jsonl")

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    record = json.loads(out)
    assert process.returncode == 0
    assert record["stopped"].startswith("by Ctrl-C")
    assert Run(place / "run").load().scalars["steps"] == record["steps"]


def test_q_in_the_live_view_saves_and_ends_well(place):
    ours, theirs = pty.openpty()
    process = start(place, *LONG, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"train loss" not in seen and len(seen) < 1 << 20:
        seen += os.read(ours, 4096)
    os.write(ours, b"q")
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # Linux says EIO when the other side is gone
        pass
    os.close(ours)

    assert process.wait(30) == 0
    assert b"by `q`" in seen
    assert Run(place / "run").load().scalars["steps"] > 0


POINTS = ["checkpoint.wrote.weights.safetensors:3", "checkpoint.synced:3", "checkpoint.renamed:3"]


@pytest.mark.parametrize("point", [*POINTS, "checkpoint.pruning:1"])
def test_a_kill_while_saving_leaves_the_last_good_state(place, call, point):
    flags = ("model.yaml", "--train", "train.csv", "--out", "run", "--epochs", "6", "-q")
    process = start(place, *flags, environ={"AGENTD_FAILPOINT": point})
    assert process.wait(60) == -signal.SIGKILL

    found = Run.open(place / "run").load()
    assert np.isfinite(found.weights).all()
    code, _, err = call("train", "--out", "run", "--resume")
    assert code == 0, err
    call("train", "model.yaml", "--train", "train.csv", "--out", "whole", "--epochs", "6", "-q")

    assert (Run(place / "run").load().weights == Run(place / "whole").load().weights).all()
    assert [line["epoch"] for line in read_metrics(place / "run" / "metrics.jsonl")] == [
        *range(1, 7)
    ]
    files = (place / "run").glob("events.out.tfevents.*")
    steps = sorted(step for file in files for step, _ in read_events(file))
    assert steps == [19 * epoch for epoch in range(1, 7)]  # none twice
    assert not list((place / "run" / "checkpoints").glob(".new-*"))


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST in {MNIST}: set AGENTD_DATA")
def test_mnist_reaches_95_percent_in_one_epoch(place, call):
    layers = "[{dense: 300}, relu, {dense: 150}, relu, {dense: 64}, relu]"
    (place / "mnist.yaml").write_text(f"layers: {layers}\n")

    code, out, _ = call(*("train", "mnist.yaml", "--train", str(MNIST), "--epochs", "1", "--json"))

    record = json.loads(out)
    assert code == 0
    assert record["parameters"] == 290_964
    assert record["test_accuracy"] > 0.945
