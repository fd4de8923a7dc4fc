#!/usr/bin/env python3
"""What doubt is worth on MNIST: evidential losses beside softmax, temperature, conformal sets.

    python scripts/bench_doubt.py --mnist FOLDER [--losses edl_log,…] [--seeds 0,1,2]
                                  [--evidence exp|softplus|relu] [--json]

A run trains the small convolutional net on 55,000 digits, finds a temperature and a set's threshold
on the 5,000 that are left, and measures on the 10,000 test digits: accuracy, calibration error,
coverage, and how well doubt (novelty, or 1 less the highest probability for softmax) ranks wrong
answers above right ones, and foreign rows above digits: the test digits with black and white
exchanged, and letters of 20 fonts (matplotlib's). The net brings every image to mean 0 and variance
1 first: else one with far more white in it makes larger numbers in every layer, and more evidence.
That, and the losses' constants, were chosen by the 5,000 digits and ten other letters.

Every finished run is added to ``--results`` at once: the same command again goes on where an
interrupted one stopped. One process, one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.data import Dataset, find_normalizer, load_data, split
from agentd.engine.doubt import (
    accuracy_kept,
    answer,
    auroc,
    calibration_error,
    find_temperature,
    prediction_sets,
    set_threshold,
    soften,
)
from agentd.engine.optim.spec import LossSpec, OptimizerSpec, ScheduleSpec
from agentd.engine.training import Trainer, load_spec, make_network
from agentd.store import write_file

RESULTS = Path(__file__).parent / "results" / "doubt.json"
NET = """
layers:
  - flatten
  - layer_norm
  - reshape: [28, 28, 1]
  - conv2d: {channels: 16, kernel: 5, stride: 3, padding: 1}
  - relu
  - conv2d: {channels: 32, kernel: 3, stride: 2}
  - relu
  - flatten
  - dense: 128
  - layer_norm
  - relu
"""
LOSSES = ("softmax_cross_entropy", "edl_log", "edl_digamma", "edl_squared")
BATCH, EPOCHS, RATE = 64, 6, 3e-3
KL_EPOCHS = 3  # the divergence's weight is whole for the second half
HELD_OUT, COVERAGE = 1 / 12, 0.9
ECE, SIDES = ("ece", "ece_after"), ("right", "wrong", "inverted", "letters")
SHARES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8)

Run = dict[str, Any]


def letters() -> NDArray[np.uint8]:
    """Return the letters A to J of matplotlib's fonts as MNIST would have them, (N, 784).

    As notMNIST, they are of the digits' form and size: 20 pixels high or wide, centred by mass.
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmr10", "cmb10", "cmss10", "cmtt10")
    fonts = [path for path in sorted(folder.glob("*.ttf")) if path.stem.startswith(names)]
    paths = [path for path in fonts if "Display" not in path.stem]  # those have no letters
    found = []
    for path in paths:
        for letter in "ABCDEFGHIJ":
            for angle in (-15, -8, 0, 8, 15):
                font = FT2Font(str(path))
                font.set_size(20, 72)
                font.set_text(letter, angle)
                font.draw_glyphs_to_bitmap()
                font.set_size(20 * 20 / max(np.asarray(font.get_image()).shape), 72)
                font.set_text(letter, angle)
                font.draw_glyphs_to_bitmap()
                found.append(_centred(np.asarray(font.get_image())))
    return np.stack(found)


def _centred(glyph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a glyph on 28 x 28 pixels, its centre of mass in the middle, as one row."""
    total, at = max(1.0, float(glyph.sum(dtype=float))), []
    for axis, size in enumerate(glyph.shape):
        middle = float(glyph.sum(1 - axis, dtype=float) @ np.arange(size)) / total
        at.append(int(np.clip(round(13.5 - middle), 0, 28 - size)))
    image = np.zeros((28, 28), np.uint8)
    image[at[0] : at[0] + glyph.shape[0], at[1] : at[1] + glyph.shape[1]] = glyph
    return image.reshape(-1)


def train(loss: LossSpec, seed: int, data: Dataset) -> tuple[Trainer, Dataset]:
    """Return the trainer after its last epoch, and the rows that it was not shown."""
    learned, held = split(data, HELD_OUT, seed)
    assert held is not None
    steps = EPOCHS * -(-len(learned) // BATCH)
    schedule = ScheduleSpec(name="cosine", steps=steps, final=0.01)
    trainer = Trainer(
        make_network(load_spec(NET), (28, 28, 1), 10),
        loss=loss,
        optimizer=OptimizerSpec(name="adam", lr=RATE, schedule=schedule),
        batch=BATCH,
        seed=seed,
        normalizer=find_normalizer(data, "auto"),
    )
    trainer.fit(learned, epochs=EPOCHS)
    return trainer, held


def measure(loss: LossSpec, trainer: Trainer, held: Dataset, test: Dataset) -> Run:
    """Return the figures of a trained network on ``test``."""
    apart, apart_labels = held.rows()
    rows = (apart, test.inputs, 255 - test.inputs, letters())
    left, told, inverted, lettered = (answer(loss, trainer.predict(inputs)) for inputs in rows)
    assert left is not None
    assert told is not None
    assert inverted is not None
    assert lettered is not None
    labels, right = test.labels(), told.classes == test.labels()
    temperature = find_temperature(left.logits, apart_labels)
    softened = soften(told.logits, temperature)
    threshold = set_threshold(left.log_p, apart_labels, COVERAGE)
    sets = prediction_sets(told.log_p, threshold)
    return {
        "accuracy": float(right.mean()),
        "ece": calibration_error(told.log_p, labels),
        "temperature": temperature,
        "ece_after": calibration_error(softened, labels),
        "coverage": float(sets[np.arange(len(sets)), labels].mean()),
        "classes_in_set": float(sets.sum(1).mean()),
        "auroc_wrong": auroc(told.doubt[right], told.doubt[~right]),
        "auroc_inverted": auroc(told.doubt, inverted.doubt),
        "auroc_letters": auroc(told.doubt, lettered.doubt),
        "doubt_right": float(told.doubt[right].mean()),
        "doubt_wrong": float(told.doubt[~right].mean()),
        "doubt_inverted": float(inverted.doubt.mean()),
        "doubt_letters": float(lettered.doubt.mean()),
        "kept": accuracy_kept(right, told.doubt, SHARES),
    }


def table(runs: list[Run]) -> str:
    """Return the means over seeds, one line a loss, as a Markdown table."""
    lines = [
        "| loss | accuracy | ECE, with temperature | sets for 90 % hold | AUROC: wrong, inverted, "
        "letters | doubt: right, wrong, inverted, letters | accuracy without 2 %, 10 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for loss in LOSSES:
        own = sorted((run for run in runs if run["loss"] == loss), key=lambda run: run["seed"])
        if not own:
            continue
        mean = {key: fmean(run[key] for run in own) for key in own[0] if key.startswith(("a", "d"))}
        cells = [
            *(", ".join(f"{100 * run['accuracy']:.2f}" for run in own), "%"),
            *(", ".join(f"{100 * fmean(run[key] for run in own):.2f}" for key in ECE), "%"),
            *(", ".join(f"{100 * run['coverage']:.1f}" for run in own), "%"),
            ", ".join(f"{mean[f'auroc_{side}']:.3f}" for side in SIDES[1:]),
            ", ".join(f"{mean[f'doubt_{side}']:.3f}" for side in SIDES),
        ]
        at = [SHARES.index(share) for share in (0.98, 0.9)]
        cells.append(", ".join(f"{100 * fmean(run['kept'][i] for run in own):.2f}" for i in at))
        text = " | ".join(cells).replace(" | % |", " % |")
        lines.append(f"| `{loss}` | {text} % |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder of MNIST's IDX files")
    parser.add_argument("--losses", default=",".join(LOSSES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--evidence", default="exp", choices=("exp", "softplus", "relu"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    options = load_spec(NET).reading()[0]
    data, test = (load_data(chosen.mnist, part, options) for part in ("train", "test"))
    runs = json.loads(chosen.results.read_text())["runs"] if chosen.results.exists() else []
    for seed in map(int, chosen.seeds.split(",")):
        for name in chosen.losses.split(","):
            if any(run["loss"] == name and run["seed"] == seed for run in runs):
                continue
            evidential = {"kl_epochs": KL_EPOCHS, "evidence": chosen.evidence}
            options = evidential if name.startswith("edl") else {}
            loss, began = LossSpec(name=name, **options), time.perf_counter()
            trainer, held = train(loss, seed, data)
            run = {"loss": name, "seed": seed, "epochs": EPOCHS, "batch": BATCH, **options}
            run |= measure(loss, trainer, held, test)
            runs.append(run | {"seconds": round(time.perf_counter() - began, 1)})
            text = json.dumps({"runs": runs}, indent=1) + "\n"
            chosen.results.parent.mkdir(exist_ok=True)
            write_file(chosen.results, text.encode())
            print(json.dumps(runs[-1]), flush=True)
    print(json.dumps({"runs": runs}) if chosen.json else table(runs))


if __name__ == "__main__":
    main()
