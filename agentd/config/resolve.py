"""The server's configuration from flags, environment, file, presets and defaults, in that order.

An agent's values come from ``agent`` of the file over its preset; a named agent's from
``agents.<name>`` over ``agent``, or over a preset of its own.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import msgspec

from agentd.config.convert import config_error, convert, plain
from agentd.config.layers import DEFAULT, ConfigLayer, Origin, Path, layer_from, overlay
from agentd.config.presets import preset_layer
from agentd.config.records import AgentConfig, ServerConfig
from agentd.config.sources import environment_layer, file_layer, flag_layer
from agentd.engine.strictyaml import dotted
from agentd.errors import MissingInput


@dataclass(frozen=True)
class Resolved:
    """A configuration and where each of its values came from."""

    config: ServerConfig
    layer: ConfigLayer

    def values(self) -> Iterator[tuple[str, Any, Origin]]:
        """(dotted key, plain value, origin) of every leaf, in the order of the records."""
        yield from _leaves(plain(self.config, brief=True), (), self.layer)


def resolve(
    path: FilePath | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Read, lay over each other and check all layers.

    ``overrides`` are the flags that were given, by dotted key: ``{"limits.window": 16}``. Only
    AGENTD_* of ``environ`` is read, with ``__`` for the dot: ``AGENTD_LIMITS__WINDOW=16``.

    Raises ConfigError for a value that does not fit, MissingInput for a file or preset that is
    not there.
    """
    environ = environ or {}
    layer = overlay(file_layer(path), environment_layer(environ))
    layer = _expand_agents(overlay(layer, flag_layer(overrides or {})))
    config = convert(layer, ServerConfig)
    data_dir = config.data_dir or str(default_data_dir(environ))
    config = msgspec.structs.replace(
        config,
        autocreate=_autocreate(config),
        data_dir=data_dir,
        tokens=config.tokens or _own_tokens(FilePath(data_dir)),
    )
    _check_exposure(config, layer)
    _check_godot(config, layer)
    return Resolved(config, layer)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def default_data_dir(environ: Mapping[str, str]) -> FilePath:
    """``$XDG_DATA_HOME/agentd``, or what the XDG base directory specification says without it."""
    home = environ.get("XDG_DATA_HOME")
    return FilePath(home or "~/.local/share").expanduser() / "agentd"


def agent_config_from_wire(
    values: Mapping[str, Any], base: AgentConfig | None = None
) -> AgentConfig:
    """The configuration of a ``create`` operation: ``values`` over their preset, or over ``base``.

    Raises ConfigError whose ``key`` is the path of the value that does not fit.
    """
    request = layer_from(values, lambda path: Origin("request"))
    if "preset" not in values and base is not None:
        below = ConfigLayer(plain(base))
    else:
        below = _preset_agent(request)
    return convert(overlay(below, request), AgentConfig)


def _expand_agents(layer: ConfigLayer) -> ConfigLayer:
    """Put the presets below ``agent`` and, with ``agent``, below each of ``agents``."""
    agent = overlay(_preset_agent(layer.under("agent"), "agent"), layer.under("agent"))
    layer = overlay(layer, agent.at("agent")) if agent.tree else layer
    named = layer.tree.get("agents")
    for name, values in named.items() if isinstance(named, dict) else ():
        if isinstance(values, dict):
            own = layer.under("agents", name)
            below = _preset_agent(own, "agents", name) if "preset" in own.tree else agent
            layer = overlay(layer, overlay(below, own).at("agents", name))
    return layer


def _preset_agent(agent: ConfigLayer, *prefix: str) -> ConfigLayer:
    """The agent of the preset that ``agent``, found at ``prefix``, names; empty without one."""
    name = agent.tree.get("preset")
    if not isinstance(name, str):
        return ConfigLayer()  # none, or what conversion will refuse
    try:
        return preset_layer(name).under("agent")
    except MissingInput as error:
        path = (*prefix, "preset")
        parts = {"hint": error.hint or ""}
        raise config_error(agent.at(*prefix), path, error.message, parts) from None


def _autocreate(config: ServerConfig) -> bool:
    return is_loopback(config.host) if config.autocreate is None else config.autocreate


def _own_tokens(data_dir: FilePath) -> str | None:
    """The token file that lies in the data directory, if one does."""
    path = data_dir / "token"
    return str(path) if path.is_file() else None


def _check_exposure(config: ServerConfig, layer: ConfigLayer) -> None:
    """Refuse to be reachable from outside without tokens or client certificates (R12)."""
    if _is_guarded(config) or is_loopback(config.host):
        return
    raise config_error(
        layer,
        ("host",),
        f"{config.host} is open to other machines and no token is asked for",
        {"hint": "set `tokens: FILE` with a line `admin <secret>`, or listen on 127.0.0.1"},
    )


def _is_guarded(config: ServerConfig) -> bool:
    """Whether games must show a token or a certificate."""
    mutual = config.tls is not None and config.tls.client_ca is not None
    return config.tokens is not None or mutual


def _check_godot(config: ServerConfig, layer: ConfigLayer) -> None:
    """Refuse games that know no tokens where those are asked for, unless that is wanted."""
    godot = config.godot
    if godot is None or godot.open or (not _is_guarded(config) and is_loopback(godot.host)):
        return
    why = "others must show one" if is_loopback(godot.host) else "it is open to other machines"
    raise config_error(
        layer,
        ("godot", "host"),
        f"games of Godot RL Agents have no token or certificate, and {why}",
        {"hint": "`godot: {open: true}` lets everyone in who can reach that port"},
    )


def _leaves(tree: Any, path: Path, layer: ConfigLayer) -> Iterator[tuple[str, Any, Origin]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, (*path, key), layer)
    else:
        yield dotted(path), tree, layer.origin(path) if layer.covers(path) else DEFAULT
