"""The table of commands as typer's own: a command's module loads when the command is called."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

from agentd.cli.menu import COMMANDS, GROUPS, help_text, members
from agentd.cli.screen.options import spread


class CommandGroup(TyperGroup):
    """A group of the table, named by its path; "" is agentd itself."""

    def __init__(self, path: str) -> None:
        names: dict[str, Any] = dict.fromkeys(name for name, _ in members(path))
        super().__init__(
            name=path.rpartition(" ")[2],
            commands=names,  # to suggest; ``get_command`` loads what they name
            help=GROUPS[path],
            no_args_is_help=True,
            rich_markup_mode=None,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self._path = path

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load the command of that name; None where there is none."""
        path = f"{self._path} {cmd_name}".strip()
        if path in GROUPS:
            return CommandGroup(path)
        return load(path) if path in COMMANDS else None

    def get_help(self, ctx: Any) -> str:
        """Return the help as the table tells it."""
        return help_text(self._path)


def load(path: str) -> Any:
    """Import a command's module and return its function as a typer command."""
    module, _, name = COMMANDS[path].place.partition(":")
    function = getattr(importlib.import_module(f"agentd.cli.{module}"), name)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(path.rpartition(" ")[2])(spread(function))
    return typer.main.get_command(alone)


app = CommandGroup("")
