"""Configuration as layers: trees of plain values laid over each other, each value's origin kept.

A layer's tree holds dicts with string keys, lists and scalars, as YAML or msgpack gave them. In an
overlay a mapping merges key by key; anything else, lists included, replaces what was below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from agentd.engine.strictyaml import Mark

Path = tuple[str | int, ...]
Tree = dict[str, Any]

# Mappings that say one thing together: half of one and half of another would say nothing.
WHOLE = {"target", "model"}


class Origin(NamedTuple):
    """Where a value came from: ``name`` is a flag, a variable, a file or a preset."""

    source: Literal["default", "preset", "file", "environment", "flag", "request"]
    name: str = ""
    line: int | None = None
    column: int | None = None
    key: Mark | None = None  # where the key stands; line and column are the value's

    def __str__(self) -> str:
        place = f":{self.line}" if self.line is not None else ""
        return f"{self.source} {self.name}{place}" if self.name else self.source


DEFAULT = Origin("default")


@dataclass(frozen=True)
class ConfigLayer:
    """A tree and the origin of its values; a path without an origin has its parent's."""

    tree: Tree = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)

    def origin(self, path: Path) -> Origin:
        """The origin of the value at ``path``, or of the nearest value that contains it."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.origins:
                return self.origins[path[:depth]]
        return DEFAULT

    def covers(self, path: Path) -> bool:
        """Whether the value at ``path`` is in the tree, or in a list or scalar of it."""
        node: Any = self.tree
        for key in path:
            if not isinstance(node, dict):
                return True
            if key not in node:
                return False
            node = node[key]
        return True

    def at(self, *prefix: str) -> ConfigLayer:
        """This layer moved down: its values lie under ``prefix``."""
        tree: Tree = self.tree
        for key in reversed(prefix):
            tree = {key: tree}
        return ConfigLayer(tree, {prefix + path: origin for path, origin in self.origins.items()})

    def under(self, *prefix: str) -> ConfigLayer:
        """The part of this layer below ``prefix``; empty where there is no mapping."""
        tree: Any = self.tree
        for key in prefix:
            tree = tree.get(key) if isinstance(tree, dict) else None
        depth = len(prefix)
        origins = {
            p[depth:]: o for p, o in self.origins.items() if p[:depth] == prefix and p[depth:]
        }
        return ConfigLayer(dict(tree) if isinstance(tree, dict) else {}, origins)


def layer_from(tree: Mapping[str, Any], locate: Callable[[Path], Origin]) -> ConfigLayer:
    """A layer whose every mapping entry has the origin that ``locate`` gives for its path."""
    origins: dict[Path, Origin] = {}

    def walk(node: Mapping[str, Any], path: Path) -> None:
        for key, value in node.items():
            origins[(*path, key)] = locate((*path, key))
            if isinstance(value, dict):
                walk(value, (*path, key))

    walk(tree, ())
    return ConfigLayer(dict(tree), origins)


def layer_of_values(values: Mapping[str, Any], origin: Callable[[str], Origin]) -> ConfigLayer:
    """A layer from dotted keys: ``{"limits.window": 4}``; ``origin`` names each key's source."""
    layer = ConfigLayer()
    for dotted, value in values.items():
        path = tuple(dotted.split("."))
        one = ConfigLayer({path[-1]: value}, {(path[-1],): origin(dotted)}).at(*path[:-1])
        layer = overlay(layer, one)
    return layer


def overlay(below: ConfigLayer, above: ConfigLayer) -> ConfigLayer:
    """``above`` laid over ``below``: a new layer, neither changes."""
    tree, origins = dict(below.tree), dict(below.origins)

    def drop(path: Path) -> None:
        for known in [p for p in origins if p[: len(path)] == path]:
            del origins[known]

    def merge(into: Tree, node: Mapping[str, Any], path: Path) -> None:
        for key, value in node.items():
            here = (*path, key)
            old = into.get(key)
            if isinstance(old, dict) and isinstance(value, dict) and not _replaces(key, old, value):
                into[key] = dict(old)
                merge(into[key], value, here)
            else:
                drop(here)
                into[key] = value

    merge(tree, above.tree, ())
    origins.update(above.origins)
    return ConfigLayer(tree, origins)


def _replaces(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a mapping takes the other's place: another optimizer has other constants."""
    return key in WHOLE or (
        key == "optimizer" and new.get("name", old.get("name")) != old.get("name")
    )
