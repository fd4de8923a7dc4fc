"""Flags of the commands that read a configuration, as values of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agentd.config.layers import Origin
from agentd.config.sources import read_setting
from agentd.errors import UsageError

DataDir = Annotated[
    Path | None, typer.Option(help="Where agents are kept.", show_default="$XDG_DATA_HOME/agentd")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, opencl or opencl:<i or name>; without any OpenCL the CPU, or with ! an error. "
        "cpu-int8 for agents that only play.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ServerFlags:
    """Where the configuration of a daemon is, and the values that the command line lays over it."""

    config: Annotated[
        Path | None, typer.Argument(help="Configuration file (YAML).", show_default=False)
    ] = None
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = (
        None
    )
    port: Annotated[
        int | None, typer.Option(help="Port for games; 0 picks a free one.", show_default=False)
    ] = None
    http_port: Annotated[
        int | None,
        typer.Option(help="Port for health and metrics; 0 picks a free one.", show_default=False),
    ] = None
    unix: Annotated[
        Path | None, typer.Option(help="Also listen on this unix socket.", show_default=False)
    ] = None
    no_http: Annotated[bool, typer.Option("--no-http", help="No health and metrics port.")] = False
    data_dir: DataDir = None
    device: Device = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other value, e.g. limits.window=16."),
    ] = None

    def values(self, **others: Any) -> dict[str, Any]:
        """The values that were given, and of ``others``, by dotted key. Raises UsageError."""
        names = ("host", "port", "http_port", "unix", "data_dir", "device")
        given = {name: getattr(self, name) for name in names} | others
        flags = {k: str(v) if isinstance(v, Path) else v for k, v in given.items() if v is not None}
        if self.no_http:
            flags["http_port"] = None
        return flags | read_settings(self.settings or ())


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """The values of --set by dotted key. Raises UsageError for one without a value."""
    flags = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: want KEY=VALUE, as in --set limits.window=16")
        flags[key] = read_setting(tuple(key.split(".")), text, Origin("flag", "--set"))
    return flags
