"""The dialogue of ``agentd new``: each answer is checked at once, a bad one is asked for again."""

import math
import sys
from collections.abc import Callable
from typing import Any

import typer

from agentd.engine.optim import RULES, own_defaults
from agentd.engine.optim.spec import EVIDENTIAL

LOSSES = {
    "classes": ("cross_entropy", *EVIDENTIAL),
    "numbers": ("squared_error", "huber", "binary_cross_entropy"),
}
"""The losses of each kind of output, the usual one first."""
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "softplus", "gelu", "identity")

Check = Callable[[str], Any]


def ask_for_model(given: dict[str, Any], *, silent: bool) -> dict[str, Any]:
    """Return the answers that a model file is made of, those that are ``given`` not asked for.

    Without a terminal, and with ``silent``, the defaults are taken.
    """
    asking = not silent and sys.stdin.isatty()
    answers: dict[str, Any] = {}

    def ask(key: str, question: str, default: Any, check: Check) -> Any:
        value = given.get(key)
        if value is None:
            value = _prompt(question, default, check) if asking else default
        answers[key] = value
        return value

    ask("input", "Numbers of one input, as 784 or 28x28x1 (empty: what the data has)", "", _sizes)
    ask("outputs", "Classes or outputs (empty: what the data has)", "", _optional(_count))
    hidden = ask("hidden", "Units of the hidden layers, as 300,150", "128,64", _units)
    answers["activation"] = given.get("activation") or [
        _prompt(f"Activation of layer {i} of {units} units", "relu", _one_of(ACTIVATIONS))
        for i, units in enumerate(str(hidden).split(",") if asking and hidden else (), 1)
    ]
    kind = "classes"
    if asking and given.get("loss") is None:
        kind = _prompt("Kind of outputs", "classes", _one_of(tuple(LOSSES)))
    ask("loss", "Loss", LOSSES[kind][0], _one_of(LOSSES[kind]))
    optimizer = ask("optimizer", "Optimizer", "adam", _one_of(tuple(RULES)))
    rate = own_defaults(optimizer)["lr"] if optimizer in RULES else 1e-3
    ask("lr", "Learning rate", rate, _number(0, math.inf))
    ask("batch", "Rows of a step", 32, _count)
    ask("epochs", "Epochs", 5, _count)
    ask("validation", "Share held out for validation", 0.1, _number(-1, 1))
    return answers


def _prompt(question: str, default: Any, check: Check) -> Any:
    """Ask until the answer is a good one; typer says what is wrong with a bad one."""
    choices = getattr(check, "choices", ())
    question += f" ({', '.join(choices)})" if len(choices) > 1 else ""
    return typer.prompt(question, default=default, err=True, value_proc=lambda v: check(str(v)))


def _one_of(choices: tuple[str, ...]) -> Check:
    def check(text: str) -> str:
        if text.strip() not in choices:
            raise typer.BadParameter(f"want one of {', '.join(choices)}, got {text!r}")
        return text.strip()

    check.choices = choices  # type: ignore[attr-defined]
    return check


def _optional(check: Check) -> Check:
    return lambda text: check(text) if text.strip() else ""


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"want a whole number from 1, got {text!r}")
    return int(text)


def _number(above: float, below: float) -> Check:
    def check(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not above < value < below or (above < 0 and value < 0):
            wish = "from 0 to less than 1" if below == 1 else "above 0"
            raise typer.BadParameter(f"want a number {wish}, got {text!r}")
        return value

    return check


def _units(text: str) -> str:
    if not all(part.strip().isdecimal() and int(part) > 0 for part in text.split(",") if text):
        raise typer.BadParameter(f"want whole numbers, as 300,150, got {text!r}")
    return text


def _sizes(text: str) -> str:
    parts = text.lower().replace(",", "x").split("x")
    if text.strip() and not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"want a number or sizes, as 28x28x1, got {text!r}")
    return text
