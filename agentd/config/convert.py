"""Between text, layers and records: strict YAML in, errors that name where a value came from."""

import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from agentd.config.layers import ConfigLayer, Origin, Path
from agentd.engine import strictyaml
from agentd.engine.network.spec import LAYERS, decode_hook
from agentd.engine.strictyaml import ConfigError, dotted

T = TypeVar("T")


def parse_layer(text: str | bytes, name: str, *, source: Literal["file", "preset"]) -> ConfigLayer:
    """Strictly read the YAML ``text`` of the file ``name`` as a layer. Raises ConfigError."""
    document = strictyaml.parse(text, name)
    tree = {} if document.value is None else document.value
    if not isinstance(tree, dict):
        got = strictyaml.describe(tree)
        raise document.error((), "wrong value", expected="a mapping", got=got)
    origins = {
        path: Origin(source, name, mark.line, mark.column, document.keys.get(path))
        for path, mark in document.marks.items()
        if path
    }
    return ConfigLayer(tree, origins)


def convert(layer: ConfigLayer, kind: type[T]) -> T:
    """``layer`` as a ``kind``. Raises ConfigError for the first value that does not fit."""
    return strictyaml.convert(_LayerDocument(layer, kind), kind, decode_hook)


def config_error(
    layer: ConfigLayer, path: Path, message: str, parts: Mapping[str, str], *, at_key: bool = False
) -> ConfigError:
    """A ConfigError about the value (or key) at ``path`` that names where it came from.

    ``parts`` may hold ``expected``, ``got`` and ``hint``.
    """
    origin = layer.origin(path)
    in_a_file = origin.source in ("file", "preset")
    at = origin.key if at_key and origin.key is not None else origin
    return ConfigError(
        message,
        file=origin.name if in_a_file else str(origin) if origin.name else "",
        line=at.line,
        column=at.column,
        key=dotted(path),
        **parts,
    )


def dump_yaml(record: msgspec.Struct) -> str:
    """``record`` as YAML that reads back as the same record."""
    return str(yaml.safe_dump(plain(record), sort_keys=False, allow_unicode=True, width=100))


def plain(record: Any, *, brief: bool = False) -> Any:
    """``record`` as dicts, lists and scalars; a layer of a model as its name or {name: options}.

    ``brief`` leaves out the options of layers that have their default.
    """
    return _plain(msgspec.to_builtins(record), brief)


def _plain(node: Any, brief: bool) -> Any:
    if isinstance(node, dict) and isinstance(node.get("type"), str):
        return _layer(node, brief)
    if isinstance(node, dict):
        return {key: _plain(value, brief) for key, value in node.items()}
    return [_plain(value, brief) for value in node] if isinstance(node, list | tuple) else node


def _layer(node: dict[str, Any], brief: bool) -> Any:
    name = node["type"]
    options = {key: _plain(value, brief) for key, value in node.items() if key != "type"}
    if not brief:
        return {name: options} if options else name
    kind: Any = LAYERS[name]
    fields = msgspec.structs.fields(kind)
    defaults = {each.encode_name: each.default for each in fields}
    options = {key: value for key, value in options.items() if value != defaults[key]}
    first = fields[0].encode_name if fields else ""
    if list(options) == [first] and not isinstance(options[first], dict | list):
        return {name: options[first]}
    return {name: options} if options else name


def type_at(kind: Any, path: Path) -> Any:
    """The type of the value at ``path`` below ``kind``; Any where that cannot be told."""
    for key in path:
        record = record_of(kind)
        if record is not None:
            known = {each.encode_name: each.type for each in msgspec.structs.fields(record)}
            kind = known.get(str(key), Any)
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return Any
    return kind


def keys_of(kind: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the record ``kind`` and of the records in it, mappings by name left out."""
    record = record_of(kind)
    for each in msgspec.structs.fields(record) if record else ():
        yield (*path, each.encode_name)
        yield from keys_of(each.type, (*path, each.encode_name))


def is_text(kind: Any) -> bool:
    """Whether ``kind`` is text, perhaps bounded, perhaps or null."""
    return kind is str or any(is_text(inner) for inner in _inside(kind))


def record_of(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct inside ``kind``, through Annotated and ``| None``."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    found = (record_of(inner) for inner in _inside(kind))
    return next((record for record in found if record is not None), None)


def _inside(kind: Any) -> tuple[Any, ...]:
    """What a union or an Annotated type holds."""
    if get_origin(kind) in (Union, types.UnionType):
        return get_args(kind)
    return get_args(kind)[:1] if hasattr(kind, "__metadata__") else ()


class _LayerDocument(strictyaml.Document):
    """A document that was put together from layers: its marks are their origins."""

    def __init__(self, layer: ConfigLayer, kind: Any) -> None:
        super().__init__(layer.tree, "")
        self._layer = layer
        self._kind = kind

    def error(self, path: Path, message: str, **parts: str) -> ConfigError:
        """As of Document; a pattern is told in the words of its type's description."""
        kind = type_at(self._kind, path)
        around = type_at(self._kind, path[:-1])
        named = get_args(around)[0] if path and get_origin(around) is dict else Any
        wrong_key = not _fits(path[-1], named) if path else False
        if wrong_key:  # in a mapping by name the name itself is at fault
            kind, parts = named, parts | {"got": repr(path[-1])}
        if wrong_key or "regex" in parts.get("expected", ""):
            parts["expected"] = _description(kind) or parts.get("expected", "")
        return config_error(self._layer, path, message, parts)

    def key_error(self, path: Path, message: str, **parts: str) -> ConfigError:
        return config_error(self._layer, path, message, parts, at_key=True)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _description(kind: Any) -> str | None:
    for mark in getattr(kind, "__metadata__", ()):
        if isinstance(mark, msgspec.Meta) and mark.description:
            return mark.description
    return next((text for text in map(_description, _inside(kind)) if text), None)
