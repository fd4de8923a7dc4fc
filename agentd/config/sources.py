"""The layers that a person writes: the file, the environment, the flags."""

import difflib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from agentd.config.convert import config_error, is_text, keys_of, parse_layer, type_at
from agentd.config.layers import ConfigLayer, Origin, Path, layer_of_values, overlay
from agentd.config.records import ServerConfig
from agentd.engine import strictyaml
from agentd.errors import MissingInput

PREFIX = "AGENTD_"
# Variables that are read elsewhere and are no configuration of the server.
OTHER_VARIABLES = {"AGENTD_CASES", "AGENTD_DATA", "AGENTD_FAILPOINT", "AGENTD_TOKEN"}
# File names; in the configuration file they are relative to its folder, elsewhere to ours.
_FILE_KEYS = ("data_dir", "unix", "tokens", "tls.cert", "tls.key", "tls.client_ca")
FLAGS = {"host", "port", "http_port", "data_dir", "device"}


def file_layer(path: FilePath | str | None) -> ConfigLayer:
    """The configuration file as a layer. Raises MissingInput or ConfigError."""
    if path is None:
        return ConfigLayer()
    path = FilePath(path)
    try:
        layer = parse_layer(strictyaml.read_file(path), str(path), source="file")
    except FileNotFoundError:
        hint = "`agentd config init FILE` writes one"
        raise MissingInput(f"no configuration file {path}", hint=hint) from None
    for key in _FILE_KEYS:
        _anchor(layer.tree, key.split("."), path.parent)
    return layer


def environment_layer(environ: Mapping[str, str]) -> ConfigLayer:
    """AGENTD_* as a layer; a variable that stands for no key is refused with ConfigError."""
    known = {_variable(path): path for path in keys_of(ServerConfig)}
    layer = ConfigLayer()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES or not environ[name]:
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
    return layer


def flag_layer(values: Mapping[str, Any]) -> ConfigLayer:
    """The flags that were given, by dotted key, as a layer."""
    return layer_of_values(values, lambda key: Origin("flag", _flag(key)))


def read_setting(path: Path, text: str, origin: Origin) -> Any:
    """``text`` of a variable or of --set as the value of the key ``path``: YAML, or plain text."""
    if is_text(type_at(ServerConfig, path)):
        return None if text in ("null", "~") else text
    return strictyaml.parse(text, str(origin)).value


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).upper()


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-") if key in FLAGS else "--set"


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
