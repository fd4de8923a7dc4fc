"""``agentd new`` and ``agentd check``: a model file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.assembly.budget import in_bytes, training_bytes
from agentd.cli.daemon.budget import check_daemon, check_preset, is_daemon_file, is_preset_file
from agentd.cli.screen.options import JsonScreen, Screen
from agentd.cli.screen.png import want_matplotlib
from agentd.cli.supervised.dialogue import LOSSES, ask_for_model
from agentd.cli.supervised.memory_view import MemoryView, read_budget
from agentd.engine.optim import RULES, own_defaults
from agentd.engine.strictyaml import ConfigError
from agentd.engine.training import TrainSpec, convert_spec, load_spec, make_network
from agentd.engine.training.nevermind import read_model_file
from agentd.errors import UsageError
from agentd.store import write_file

SHAPES = "name `input` and `outputs`"
TEMPLATE = """\
# A model for `agentd train`. Only `layers` is needed; the rest shows the defaults.
{input}{outputs}layers:
{layers}
loss: {loss}
optimizer: {optimizer}
batch: {batch}
epochs: {epochs}
seed: 0
data:
  normalize: auto    # auto divides bytes by 255; none, range, standard
  validation: {validation:g}    # share of the training rows held out
"""


def new(
    screen: Screen,
    out: Annotated[Path | None, typer.Argument(help="Where to write; stdout without.")] = None,
    inputs: Annotated[
        str | None, typer.Option("--input", help="Size of one input: 784, or 28x28x1.")
    ] = None,
    outputs: Annotated[int | None, typer.Option(min=1, help="Classes, or numbers.")] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Units of the hidden layers: 300,150,64.")
    ] = None,
    activation: Annotated[str | None, typer.Option(help="Behind them: one, or tanh,relu.")] = None,
    loss: Annotated[str | None, typer.Option(help=", ".join(sum(LOSSES.values(), ())))] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, sgd, rmsprop, ...")] = None,
    lr: Annotated[float | None, typer.Option(help="The optimizer's rate.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Rows of a step.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    validation: Annotated[float | None, typer.Option(min=0, max=0.99, help="Share.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a model file, from flags or by asking for what they leave open."""
    if out is not None and out.exists() and not force:
        raise UsageError(f"{out} exists", hint="choose another name or add --force")
    given = {
        "input": inputs,
        "outputs": outputs,
        "hidden": hidden,
        "activation": activation,
        "loss": loss,
        "optimizer": optimizer,
        "lr": lr,
        "batch": batch,
        "epochs": epochs,
        "validation": validation,
    }
    answers = ask_for_model(given, silent=yes)
    text = render_model(answers)
    _check_text(text)
    if out is None:
        screen.say(text.rstrip("\n"))
        return
    write_file(out, text.encode())
    screen.note(f"wrote {out}; train it with: agentd train {out} --train DATA")


def check(
    screen: JsonScreen,
    file: Annotated[Path, typer.Argument(help="A model, net.cfg, a daemon's file, or a preset.")],
    optimizer: Annotated[Path | None, typer.Option(help="nevermind-neu's optim.cfg.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Tell what each layer keeps for so many rows.")
    ] = None,
    memory_budget: Annotated[
        str | None, typer.Option(help="With --batch: which layers would be computed twice.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="With --batch: draw peak against budget into this file.")
    ] = None,
) -> None:
    """Check a model file, a daemon's configuration or a preset: keys, values, shapes, memory."""
    budget = read_budget(memory_budget)
    if batch is None and (budget is not None or png is not None):
        raise UsageError("--memory-budget and --png tell of a batch", hint="add --batch ROWS")
    if png is not None:
        want_matplotlib()
    document = read_model_file(file, optimizer)
    if is_preset_file(document.value):
        check_preset(screen, file)
        return
    if is_daemon_file(document.value):
        check_daemon(screen, file)
        return
    for line in document.notes:
        screen.note(line)
    record, lines = check_model(file, convert_spec(document), batch, budget, png)
    screen.report(record, "\n".join(lines))


def check_model(
    file: Path, spec: TrainSpec, batch: int | None, budget: float | None, png: Path | None
) -> tuple[dict[str, Any], list[str]]:
    """What ``check`` tells of a sound model file, as a record and for a person."""
    record: dict[str, Any] = {"file": str(file), "layers": len(spec.layers)}
    lines = [f"{file} is sound: {len(spec.layers)} layers"]
    if spec.input is None or spec.declared_outputs is None:
        if batch is not None:
            raise UsageError(f"--batch {batch}: {file} leaves its shapes to the data", hint=SHAPES)
        return record, [*lines, f"shapes follow from the data: {SHAPES} to check them too"]
    shape = (spec.input,) if isinstance(spec.input, int) else spec.input
    network = make_network(spec, shape, spec.declared_outputs)
    record |= {"parameters": network.n_trainable, "input": list(shape)}
    memory = training_bytes(network, spec.batch, spec.optimizer)
    record |= {"outputs": spec.declared_outputs, "memory_bytes": memory}
    for slot in network.slots:
        lines.append(f"  {slot.name:<16} {' x '.join(map(str, slot.shape))}")
    lines.append(f"{network.n_trainable:,} parameters")
    lines.append(f"about {in_bytes(memory)} of memory to train, beside the data")
    if batch is not None:
        found = MemoryView(network, batch, spec.memory, budget)
        record["memory"] = found.record()
        lines += ["", *found.lines()]
        if png is not None:
            found.draw_png(png)
    return record, lines


def render_model(answers: dict[str, Any]) -> str:
    """The text of a model file from the dialogue's answers."""
    units = [part.strip() for part in str(answers["hidden"]).split(",") if part.strip()]
    if not all(part.isdecimal() for part in units):
        raise UsageError(f"--hidden {answers['hidden']}: want whole numbers, as in 300,150,64")
    names = _activations(answers["activation"], len(units))
    pairs = zip(units, names, strict=True)
    layers = "\n".join(f"  - dense: {part}\n  - {name}" for part, name in pairs)
    sizes = str(answers["input"]).lower().replace(",", "x").split("x")
    if sizes != [""] and not all(size.strip().isdecimal() for size in sizes):
        raise UsageError(f"--input {answers['input']}: want a number, or sizes as in 28x28x1")
    shape = ", ".join(size.strip() for size in sizes)
    if len(sizes) > 1:
        layers, shape = f"  - flatten\n{layers}", f"[{shape}]"
    return TEMPLATE.format(
        input=f"input: {shape}\n" if shape else "",
        outputs=f"outputs: {answers['outputs']}\n" if answers["outputs"] else "",
        layers=layers or "  []",
        loss=answers["loss"],
        optimizer=_optimizer(str(answers["optimizer"]), _number("lr", answers["lr"])),
        **{key: _number(key, answers[key]) for key in ("batch", "epochs", "validation")},
    )


def _activations(said: str | list[str], layers: int) -> list[str]:
    """The activation behind each hidden layer; one that was said alone is that of all."""
    names = [part.strip() for part in said.split(",")] if isinstance(said, str) else said
    names = names or ["relu"]
    if len(names) not in (1, layers):
        raise UsageError(f"--activation {said}: want 1 or {layers}, got {len(names)}")
    return names * layers if len(names) == 1 else names


def _optimizer(name: str, lr: float) -> str:
    """The optimizer with its rate and its own constants, in YAML."""
    found = own_defaults(name) if name in RULES else {}  # type: ignore[arg-type]
    values = ", ".join(f"{key}: {value:g}" for key, value in (found | {"lr": lr}).items())
    return f"{{name: {name}, {values}}}"


def _number(key: str, value: Any) -> Any:
    try:
        return float(value) if key in ("lr", "validation") else int(value)
    except (TypeError, ValueError):
        raise UsageError(f"--{key} {value}: want a number") from None


def _check_text(text: str) -> None:
    """Refuse answers that make no sound model file."""
    try:
        load_spec(text)
    except ConfigError as fault:
        expected = f": expected {fault.expected}" if fault.expected else ""
        got = f", got {fault.got}" if fault.got else ""
        raise UsageError(f"{fault.key}: {fault.message}{expected}{got}") from None
