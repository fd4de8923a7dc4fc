"""Flags about a Gymnasium environment."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agentd.engine import strictyaml
from agentd.errors import UsageError

EnvArg = Annotated[
    list[str] | None,
    typer.Option(
        "--env-arg",
        metavar="NAME=VALUE",
        help="An argument of the Gymnasium environment, e.g. is_slippery=false.",
    ),
]
MaxEpisodeSteps = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Cut the environment's episodes off there.",
        show_default="its own limit",
    ),
]


def read_arguments(given: Sequence[str]) -> dict[str, Any]:
    """The values of --env-arg by name, read as YAML. Raises UsageError and ConfigError."""
    arguments: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env-arg {text}: want NAME=VALUE, as in is_slippery=false")
        if name in arguments:
            raise UsageError(f"--env-arg {name}: given twice")
        arguments[name] = strictyaml.parse(value, f"--env-arg {name}").value
    return arguments
