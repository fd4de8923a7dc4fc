"""Converting: from plain values to records, and from msgspec's complaints to places."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from types import UnionType
from typing import Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from agentd.engine.strictyaml.document import ConfigError, Document, Path, describe, suggest
from agentd.engine.strictyaml.files import read_file
from agentd.engine.strictyaml.reading import parse

T = TypeVar("T")


class Hook(Protocol):
    """How types that msgspec does not know are read from plain values."""

    def __call__(self, kind: type, value: Any, /) -> Any:
        """Return ``value`` as a ``kind``, or raise ValueError."""

    def parts(self, kind: type, value: Any) -> Iterable[tuple[str | int, Any, Any]]:
        """Return (key, part, type of the part) of a value, to find the part at fault."""


def load(source: str | FilePath, kind: type[T], dec_hook: Hook | None = None) -> T:
    """Read YAML as a ``kind``: a path is opened, a string is the text itself.

    Raises ConfigError for what the text says and OSError for what the file system says.
    """
    if isinstance(source, FilePath):
        return convert(parse(read_file(source), str(source)), kind, dec_hook)
    return convert(parse(source), kind, dec_hook)


def convert(document: Document | Any, kind: type[T], dec_hook: Hook | None = None) -> T:
    """Return the document's value as a ``kind``, or raise ConfigError naming the first fault."""
    if not isinstance(document, Document):
        document = Document(document, "")
    try:
        return msgspec.convert(document.value, kind, dec_hook=dec_hook)
    except msgspec.ValidationError as fault:
        path, owner = _locate(document.value, kind, dec_hook)
        text = _complaint(_at(document.value, path), owner, dec_hook) or str(fault)
        raise _explain(document, path, owner, text) from None


def _locate(value: Any, kind: Any, dec_hook: Hook | None) -> tuple[Path, Any]:
    """Return the path of the innermost part that does not convert, and the type it should have.

    msgspec writes ``[...]`` for a mapping's values, so the parts are tried one by one.
    """
    for arm in _arms(kind, value):
        for key, part, wanted in _parts(arm, value, dec_hook):
            try:
                msgspec.convert(part, wanted, dec_hook=dec_hook)
            except msgspec.ValidationError:
                path, owner = _locate(part, wanted, dec_hook)
                return (key, *path), owner
        return (), arm
    return (), kind


def _complaint(value: Any, kind: Any, dec_hook: Hook | None) -> str:
    """Return what msgspec says about this part alone, "" when nothing."""
    try:
        msgspec.convert(value, kind, dec_hook=dec_hook)
    except msgspec.ValidationError as fault:
        return str(fault)
    return ""


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _arms(kind: Any, value: Any) -> Iterator[Any]:
    """Yield the member of a union that the value seems to be meant as, or the type itself."""
    members = get_args(_bare(kind))
    if get_origin(_bare(kind)) not in (Union, UnionType):
        members = (kind,)
    elif not isinstance(value, dict | list):
        return
    for arm in members:
        plain = _bare(arm)
        record = isinstance(plain, type) and issubclass(plain, msgspec.Struct)
        origin = get_origin(plain) or plain
        mapping = isinstance(value, dict) and (record or origin is dict)
        if len(members) == 1 or mapping or (isinstance(value, list) and origin in (list, tuple)):
            yield arm


def _parts(kind: Any, value: Any, hook: Hook | None) -> Iterator[tuple[str | int, Any, Any]]:
    """Yield (key, part, type of the part) of what a record, mapping or list holds."""
    kind = _bare(kind)
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        names = zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True)
        known = {wire: hints[name] for wire, name in names}
        yield from ((key, value[key], known[key]) for key in value if key in known)
        return
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(value, dict) and origin is dict:
        for key, part in value.items():
            yield key, key, arguments[0]
            yield key, part, arguments[1]
    elif isinstance(value, list) and origin in (list, tuple) and arguments:
        open_ended = origin is list or arguments[-1] is Ellipsis
        kinds = [arguments[0]] * len(value) if open_ended else list(arguments)
        yield from ((i, part, k) for i, (part, k) in enumerate(zip(value, kinds, strict=False)))
    elif hook is not None and isinstance(kind, type):
        yield from hook.parts(kind, value)


def _bare(kind: Any) -> Any:
    while hasattr(kind, "__metadata__"):
        kind = kind.__origin__
    return kind


def _explain(document: Document, path: Path, kind: Any, text: str) -> ConfigError:
    """Return the ConfigError for msgspec's message about the part at ``path``."""
    kind = _bare(kind)
    message = re.sub(r" - at `(key in )?\$.*`$", "", text)
    value = _at(document.value, path)
    is_record = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    if is_record and isinstance(value, dict):
        names = kind.__struct_encode_fields__
        unknown = next((key for key in value if key not in names), None)
        if unknown is not None and "unknown field" in message:
            return document.unknown_key((*path, unknown), names)
        if missing := re.match(r"Object missing required field `(.+)`", message):
            return document.error(path, f"missing key `{missing[1]}`")
    if wrong := re.match(r"Expected `(.+?)`(?:, got `(.+)`| (.+))$", message):
        expected = _words(wrong[1]) + (f" {wrong[3]}" if wrong[3] else "")
        got = describe(value)
        return document.error(path, "wrong value", expected=expected, got=got)
    if re.match(r"Invalid enum value", message):
        choices = [str(choice) for choice in _choices(kind)]
        hint = suggest(value, choices)
        expected = f"one of {', '.join(choices)}"
        return document.error(
            path, "wrong value", expected=expected, got=describe(value), hint=hint
        )
    return document.error(path, message)


def _choices(kind: Any) -> tuple[Any, ...]:
    members = getattr(kind, "__members__", None)
    return tuple(member.value for member in members.values()) if members else get_args(kind)


def _words(name: str) -> str:
    table = {
        "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false",
        "object": "a mapping", "array": "a list", "null": "null",
    }  # fmt: skip
    return " or ".join(table.get(part.strip(), part.strip()) for part in name.split("|"))
