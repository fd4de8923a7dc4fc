"""``agentd train`` and ``agentd test``: a model file and data, to a run and its figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.cli.cluster.options import AverageEvery, Members, RayFlags
from agentd.cli.screen.keys import Keys
from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.png import want_matplotlib
from agentd.cli.screen.terminal import Terminal
from agentd.cli.supervised.data import column
from agentd.cli.supervised.doubt import draw_doubt, draw_doubt_png
from agentd.cli.supervised.live_view import FittingView
from agentd.cli.supervised.memory_view import read_budget
from agentd.engine.training import Rounds
from agentd.errors import UsageError
from agentd.runs.fit import FitOutcome, Watch, run_training
from agentd.runs.job import FitJob, Request
from agentd.runs.measure import measure
from agentd.runs.predict import predict
from agentd.store import write_file

Model = Annotated[
    Path | None, typer.Argument(help="Model file (YAML); not with --resume.", show_default=False)
]
FORMS = "A folder of IDX files, or .csv, .csv.gz, .npz, .npy, .pb."
Data = Annotated[
    Path | None,
    typer.Option(help=FORMS, show_default=False),
]
Device = Annotated[
    str, typer.Option(help="cpu, opencl or opencl:<i or name>; ! at its end: that or none.")
]
Threads = Annotated[int, typer.Option(min=1, help="BLAS threads; more helps wide layers.")]


def train(
    screen: JsonScreen,
    cluster: RayFlags,
    model: Model = None,
    train: Annotated[Path | None, typer.Option("--train", help="Data to learn from.")] = None,
    test: Annotated[Path | None, typer.Option("--test", help="Data to measure on.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows of a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="The optimizer's rate.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights and shuffling.")] = None,
    validation: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of the data held out.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps.")] = None,
    target_error: Annotated[
        float | None, typer.Option(help="End once the loss is at most this.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many epochs without a better one.")
    ] = None,
    snapshot: Annotated[
        int | None, typer.Option(min=1, help="Save every so many steps too.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="The label's column of a table: name, or position from 0."),
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of a CSV file.")] = None,
    memory_budget: Annotated[
        str | None, typer.Option(help="Share of the activations' memory: 1 all, 0 the least.")
    ] = None,
    optimizer: Annotated[
        Path | None, typer.Option(help="nevermind-neu's optim.cfg, beside its net.cfg.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Begin with these (.safetensors, .npz, .pb).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; runs/<model> without.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: Device = "cpu",
    threads: Annotated[
        int, typer.Option(min=0, help="BLAS threads; 0: as many as a short trial finds fastest.")
    ] = 1,
    members: Members = None,
    average_every: AverageEvery = None,
) -> None:
    """Train a network on data; Ctrl-C or `q` saves and ends, --resume goes on exactly there.

    With --ray, --members train on a cluster, each on batches of its own, and every so many steps
    all go on from the average of what they have become.
    """
    flags: dict[str, Any] = {
        "epochs": epochs,
        "batch": batch,
        "seed": seed,
        "optimizer.lr": lr,
        "data.validation": validation,
        "stop.max_steps": max_steps,
        "stop.target_loss": target_error,
        "stop.patience": patience,
        "save.every_steps": snapshot,
        "data.labels": None if label is None else list(map(column, label)),
        "data.delimiter": delimiter,
        "memory.budget": read_budget(memory_budget),
    }
    request = Request(
        model=model,
        train=train,
        test=test,
        flags={key: value for key, value in flags.items() if value is not None},
        optimizer=optimizer,
        weights=weights,
        out=out,
        resume=resume,
        device=device,
        choose_threads=threads == 0,
        members=cluster.members(members, average_every),
    )

    @contextmanager
    def watch(job: FitJob, metrics: Path) -> Iterator[FittingView]:
        for line in (job.describe(), *job.notes):
            screen.note(line)
        with Keys() as keys, FittingView(screen, job, metrics, keys) as view:
            yield view

    outcome = _run(screen, cluster, request, watch)
    screen.report(outcome.record(), outcome.text())


def _run(screen: Terminal, flags: RayFlags, request: Request, watch: Watch) -> FitOutcome:
    """Train here, or by members on a cluster."""
    if request.members is None:
        return run_training(request, watch)
    from agentd.cluster.averaging import RayCrew, average_rounds, plans_of

    members, every = request.members
    with flags.connect(screen, members) as cluster:

        def rounds_of(job: FitJob) -> Rounds:
            return average_rounds(RayCrew(cluster, plans_of(job, members)), every)

        return run_training(request, watch, rounds_of)


def measure_run(
    screen: JsonScreen,
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    data: Data = None,
    part: Annotated[str, typer.Option(help="train or test, where the data has both.")] = "test",
    best: Annotated[bool, typer.Option("--best", help="The best epoch, not the last.")] = False,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Print so many rows with what was told.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write every row's output to this CSV file.")
    ] = None,
    foreign: Annotated[
        Path | None, typer.Option(help="Rows unlike any it learned from: does novelty tell them?")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Draw what doubt is worth here.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Compute in whole numbers.")] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Rows for --int8 to take ranges from.", show_default=False)
    ] = None,
    threads: Threads = 1,
) -> None:
    """Measure a trained network: accuracy, confusion matrix, what doubt is worth, each output."""
    if part not in ("train", "test"):
        raise UsageError(f"--part {part}: want train or test")
    if calibration is not None and not int8:
        raise UsageError("--calibration: want --int8 with it")
    if png is not None:
        want_matplotlib()
    found = measure(
        run, data, part=part, best=best, foreign=foreign, int8=int8, calibration=calibration
    )
    if png is not None and found.doubt is None:
        hint = "train with a loss edl_*, calibrate the run, or add --foreign"
        raise UsageError(f"--png: {run} tells no doubt", hint=hint)
    if png is not None and found.doubt is not None:
        draw_doubt_png(found.doubt, png)
        screen.note(f"wrote {png}")
    if output is not None:
        found.write_outputs(output)
        screen.note(f"wrote {output}")
    text = [found.text(samples), *(draw_doubt(found.doubt) if found.doubt else [])]
    screen.report(found.record(samples), "\n".join(text))


def predict_rows(
    screen: JsonScreen,
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    data: Annotated[Path, typer.Option(help=FORMS + " Labels are not looked at.")],
    part: Annotated[str, typer.Option(help="train or test, where the data has both.")] = "test",
    best: Annotated[bool, typer.Option("--best", help="The best epoch, not the last.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write the answers to this CSV file; stdout without.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Answer rows without labels: a class and its probabilities, or numbers, for each."""
    if part not in ("train", "test"):
        raise UsageError(f"--part {part}: want train or test")
    found = predict(run, data, part=part, best=best)
    if output is not None:
        write_file(output, found.text().encode())
        screen.note(f"wrote {output}: {len(found.outputs):,} rows")
    if output is None or screen.json:
        screen.report(found.record(), found.text().rstrip("\n"))
