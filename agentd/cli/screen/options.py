"""What commands share: a terminal that follows -v, -q and --json, and records of options."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import typer

from agentd.cli.screen.terminal import Terminal
from agentd.cli.screen.threads import bound_blas
from agentd.errors import UsageError

_JSON = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
_VERBOSE = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Say more; errors with a traceback.")
]
_QUIET = Annotated[bool, typer.Option("-q", "--quiet", help="Say only results and errors.")]
_SHARED = {
    name: Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    for name, default, kind in (
        ("as_json", False, _JSON),
        ("verbose", 0, _VERBOSE),
        ("quiet", False, _QUIET),
    )
}


class SharedOption(NamedTuple):
    """Which shared options a command has, and whether facts are logged, as daemons do."""

    options: tuple[str, ...] = ("verbose", "quiet")
    logs: bool = False


Screen = Annotated[Terminal, SharedOption()]
JsonScreen = Annotated[Terminal, SharedOption(tuple(_SHARED))]
LogScreen = Annotated[Terminal, SharedOption(logs=True)]
Level = Annotated[
    float | None,
    typer.Option(min=0, max=100, help="How strong it plays: 0 to 100.", show_default="100"),
]


def _taken(name: str, value: Any) -> Any:
    """What a command is called with for an option's value; a number that is none is refused.

    A path is without ``~``, which a shell leaves in ``--option=~/name``.
    """
    if isinstance(value, list):
        return [_taken(name, each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        raise UsageError(f"--{name.replace('_', '-')} {value}: want a finite number")
    return value.expanduser() if isinstance(value, Path) else value


def spread(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command as typer calls it: with a context, and a parameter an option.

    The first parameter of ``function`` is its terminal, whose options come last. A dataclass among
    the others stands for the options that are its fields. BLAS computes with one thread here, or
    with as many as a command's option ``threads`` says: no command has to think of it.
    """
    screen, *own = inspect.signature(function, eval_str=True).parameters.values()
    shared: SharedOption = screen.annotation.__metadata__[0]
    records: dict[str, Any] = {
        each.name: each.annotation for each in own if is_dataclass(each.annotation)
    }

    def call(context: typer.Context, **values: Any) -> None:
        terminal = context.obj if isinstance(context.obj, Terminal) else Terminal()
        said = {name: values.pop(name) for name in shared.options}
        terminal.configure(**said, logs=shared.logs)
        values = {name: _taken(name, value) for name, value in values.items()}
        bound_blas(values.get("threads", 1))
        for name, record in records.items():
            values[name] = record(**{each.name: values.pop(each.name) for each in fields(record)})
        function(terminal, **values)

    parameters = [Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for each in own:
        record = records.get(each.name)
        several = inspect.signature(record, eval_str=True).parameters if record else {"": each}
        parameters += [one.replace(kind=Parameter.KEYWORD_ONLY) for one in several.values()]
    parameters += [_SHARED[name] for name in shared.options]
    call.__doc__ = function.__doc__
    cast("Any", call).__signature__ = inspect.Signature(parameters)
    return call
