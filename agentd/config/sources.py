"""The layers that a person writes: the file, the environment, the flags."""

import difflib
import logging
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from agentd.config.convert import config_error, is_text, keys_of, parse_layer, type_at
from agentd.config.layers import ConfigLayer, Origin, Path, layer_of_values, overlay
from agentd.config.records import ServerConfig
from agentd.engine import strictyaml
from agentd.errors import MissingInput

log = logging.getLogger("agentd.config")

PREFIX = "AGENTD_"
# Variables that are read elsewhere and are no configuration of the server.
OTHER_VARIABLES = {"AGENTD_CASES", "AGENTD_DATA", "AGENTD_FAILPOINT", "AGENTD_LOG_FORMAT"}
OTHER_VARIABLES |= {"AGENTD_TOKEN"}
# File names; in the configuration file they are relative to its folder, elsewhere to ours.
_FILE_KEYS = ("data_dir", "unix", "tokens", "tls.cert", "tls.key", "tls.client_ca")
# What kubelet sets in every container for a service, here for one that is named agentd or agentd-….
_SERVICE = re.compile(
    r"AGENTD(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)"
    r"|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$"
)
_LINK, _LINKED = re.compile(r"AGENTD(_[A-Z0-9_]+)?_PORT$"), re.compile(r"(tcp|udp|sctp)://")
FLAGS = {"host", "port", "http_port", "unix", "data_dir", "device", "godot.host", "godot.port"}


def file_layer(path: FilePath | str | None) -> ConfigLayer:
    """The configuration file as a layer. Raises MissingInput or ConfigError."""
    if path is None:
        return ConfigLayer()
    path = FilePath(path).expanduser()
    try:
        layer = parse_layer(strictyaml.read_file(path), str(path), source="file")
    except FileNotFoundError:
        hint = "`agentd config init FILE` writes one"
        raise MissingInput(f"no configuration file {path}", hint=hint) from None
    _name_files(layer.tree, path.parent)
    return layer


def environment_layer(environ: Mapping[str, str]) -> ConfigLayer:
    """AGENTD_* as a layer; a variable that stands for no key is refused with ConfigError.

    What Kubernetes sets for services whose names begin with ``agentd`` is passed over, with one
    warning.
    """
    known = {_variable(path): path for path in keys_of(ServerConfig)}
    layer = ConfigLayer()
    ours = [name for name in sorted(environ) if name.startswith(PREFIX) and environ[name]]
    links = [name for name in ours if _is_service_link(name, environ[name])]
    if links:
        log.warning("passed over, as Kubernetes sets them for a service: %s", ", ".join(links))
    for name in ours:
        if name in OTHER_VARIABLES or name in links:
            continue
        origin = Origin("environment", name)
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "`agentd config show` lists the keys"
            at = ConfigLayer({}, {(name,): origin})
            raise config_error(at, (name,), "no such variable", {"hint": hint})
        path = known[name]
        value = read_setting(path, environ[name], origin)
        layer = overlay(layer, ConfigLayer({path[-1]: value}, {path[-1:]: origin}).at(*path[:-1]))
    _name_files(layer.tree)
    return layer


def flag_layer(values: Mapping[str, Any]) -> ConfigLayer:
    """The flags that were given, by dotted key, as a layer."""
    layer = layer_of_values(values, lambda key: Origin("flag", _flag(key)))
    _name_files(layer.tree)
    return layer


def read_setting(path: Path, text: str, origin: Origin) -> Any:
    """``text`` of a variable or of --set as the value of the key ``path``: YAML, or plain text."""
    if is_text(type_at(ServerConfig, path)):
        return None if text in ("null", "~") else text
    return strictyaml.parse(text, str(origin)).value


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).upper()


def _flag(key: str) -> str:
    return "--" + key.split(".")[0].replace("_", "-") if key in FLAGS else "--set"


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes sets this variable for a service, as Docker did for links."""
    return bool(_SERVICE.match(name) or (_LINK.match(name) and _LINKED.match(value)))


def _name_files(tree: dict[str, Any], folder: FilePath | None = None) -> None:
    """Expand ``~`` in every file name of ``tree`` in place; relative ones start at ``folder``."""
    for key in _FILE_KEYS:
        _anchor(tree, key.split("."), folder or FilePath())


def _anchor(tree: dict[str, Any], keys: list[str], folder: FilePath) -> None:
    """Make the relative file name at ``keys`` relative to ``folder``, in place."""
    for key in keys[:-1]:
        inner = tree.get(key)
        if not isinstance(inner, dict):
            return
        tree = inner
    value = tree.get(keys[-1])
    if isinstance(value, str) and value:
        tree[keys[-1]] = str(folder / FilePath(value).expanduser())
