"""What can be configured, for people and for editors: a commented file and a JSON Schema."""

import inspect
import json
import re
import types
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from agentd.config.convert import plain, record_of
from agentd.config.presets import load_preset
from agentd.config.records import ServerConfig
from agentd.engine.layers import LayerSpec
from agentd.engine.network.spec import LAYERS

_COMMENT = re.compile(r"^    (\w+): .*  # (.+)$")

HEAD = """\
# agentd configuration. Every key may be left out; these are the values without it.
# A flag of the command line comes before a variable AGENTD_<KEY> (with __ for each step down,
# AGENTD_LIMITS__WINDOW), and that before this file. `agentd config show FILE` tells who won.
"""


def render_template(preset: str | None = None) -> str:
    """Every key of the configuration as YAML with its default and its meaning.

    With ``preset`` the agent says only that it starts from it. Raises MissingInput for an unknown
    preset.
    """
    lines = list(_entries(ServerConfig, plain(ServerConfig(), brief=True), 0))
    text = HEAD + "\n".join(lines) + "\n"
    if preset is None:
        return text
    play = load_preset(preset)
    start = next(at for at, line in enumerate(lines) if line.startswith("agent:"))
    end = next(at for at, line in enumerate(lines) if line.startswith("agents:"))
    own = [f"agent:  # {play.description}", f"  preset: {preset}"]
    return HEAD + "\n".join(lines[:start] + own + lines[end:]) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the configuration file."""

    def layer_schema(kind: type) -> dict[str, Any]:
        if kind is LayerSpec:
            return {"description": "a layer: its name, or {name: options}", "anyOf": _layer_forms()}
        raise TypeError(f"no template for {kind}")

    schema, parts = msgspec.json.schema_components([ServerConfig], schema_hook=layer_schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema[0],
        "$defs": dict(parts),
    }


def _layer_forms() -> list[dict[str, Any]]:
    named = {"type": "object", "minProperties": 1, "maxProperties": 1}
    options: dict[str, Any] = dict.fromkeys(sorted(LAYERS), True)
    return [
        {"enum": sorted(LAYERS)},
        {**named, "properties": options, "additionalProperties": False},
    ]


def _entries(kind: Any, tree: dict[str, Any], depth: int) -> Iterator[str]:
    """Lines of YAML for the record ``kind`` whose plain values are ``tree``."""
    pad = "  " * depth
    comments = comments_of(kind)
    for field in msgspec.structs.fields(kind):
        key = field.encode_name
        value = tree[key]
        listed = [comments[key]] if key in comments else []
        listed += [f"one of {', '.join(choices)}"] if (choices := words_of(field.type)) else []
        note = f"  # {'; '.join(listed)}" if listed else ""
        inner = record_of(field.type)
        if inner is not None and isinstance(value, dict):
            note = note or f"  # {_first_line(inner)}"
            yield f"{pad}{key}:{note}"
            yield from _entries(inner, value, depth + 1)
        else:
            yield f"{pad}{key}: {_flow(value)}{note}"


def words_of(kind: Any) -> tuple[str, ...]:
    """The words that a value of type ``kind`` may be, where it is one of a few; else none."""
    if get_origin(kind) is Literal:
        return tuple(word for word in get_args(kind) if isinstance(word, str))
    inside = get_args(kind)[:1] if hasattr(kind, "__metadata__") else get_args(kind)
    if get_origin(kind) not in (Union, types.UnionType) and not hasattr(kind, "__metadata__"):
        return ()
    return tuple(word for each in inside for word in words_of(each))


@cache
def comments_of(kind: type) -> dict[str, str]:
    """The comment behind each field of the record ``kind``, from its source."""
    found = map(_COMMENT.match, inspect.getsource(kind).splitlines())
    return {match[1]: match[2] for match in found if match}


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0].rstrip(".")


def _flow(value: Any) -> str:
    """``value`` as YAML on one line: JSON is, but for what reads nicer bare."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]*", value):
        return value if value not in ("null", "true", "false") else json.dumps(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
