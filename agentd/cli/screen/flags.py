"""Flags of a command as values of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentd.config.layers import Origin
from agentd.config.sources import read_setting
from agentd.errors import UsageError


def collect_flags(
    given: Mapping[str, Any],
    *,
    device: str | None = None,
    no_http: bool = False,
    settings: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The flags that were given, by dotted key. Raises UsageError for a --set without a value."""
    flags = {key: str(v) if isinstance(v, Path) else v for key, v in given.items() if v is not None}
    if device is not None:
        flags["device"] = device
    if no_http:
        flags["http_port"] = None
    for setting in settings or ():
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: want KEY=VALUE, as in --set limits.window=16")
        flags[key] = read_setting(tuple(key.split(".")), text, Origin("flag", "--set"))
    return flags
