"""YAML without surprises: what is written is what is meant, and every fault has line and column.

A subset of YAML 1.2, read from the parser's events with a stack of our own. ``1e-3`` is a number,
only ``true`` and ``false`` are booleans, there are no sexagesimal numbers and no dates. Duplicate
keys, tags, aliases, several documents, deep nesting and huge texts are refused. ``convert`` then
checks types through msgspec and names file, line, key, what was expected and what came.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path as FilePath
from types import UnionType
from typing import Any, Protocol, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

T = TypeVar("T")
Path: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_DIGITS = 40

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_CONSTANTS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class Hook(Protocol):
    """How types that msgspec does not know are read from plain values."""

    def __call__(self, kind: type, value: Any, /) -> Any:
        """Return ``value`` as a ``kind``, or raise ValueError."""
        ...

    def parts(self, kind: type, value: Any) -> Iterable[tuple[str | int, Any, Any]]:
        """Return (key, part, type of the part) of a value, to find the part at fault."""
        ...


class ConfigError(ValueError):
    """Raised when a configuration says something wrong: one line, and where to mend it.

    Lines and columns count from 1. ``key`` is the dotted path; ``expected``, ``got`` and ``hint``
    are for people.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        line: int | None = None,
        column: int | None = None,
        key: str = "",
        expected: str = "",
        got: str = "",
        hint: str = "",
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.key = key
        self.expected = expected
        self.got = got
        self.hint = hint
        place = ":".join(str(part) for part in (file, line, column) if part not in ("", None))
        what = f"{key}: {message}" if key else message
        wish = f": expected {expected}" if expected else ""
        came = f", got {got}" if got else ""
        tail = f"; {hint}" if hint else ""
        super().__init__((f"{place}: " if place else "") + what + wish + came + tail)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a node or key stands; both count from 1."""

    line: int
    column: int


@dataclass
class Document:
    """Plain values and where each of them was written."""

    value: Any
    file: str
    marks: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)

    def mark(self, path: Path) -> Mark:
        """Return the place of the value at ``path``, or of the nearest that contains it."""
        for depth in range(len(path), -1, -1):
            if path[:depth] in self.marks:
                return self.marks[path[:depth]]
        return Mark(1, 1)

    def error(self, path: Path, message: str, **parts: str) -> ConfigError:
        """Return a ConfigError for the value at ``path``."""
        return self._error(self.mark(path), path, message, parts)

    def key_error(self, path: Path, message: str, **parts: str) -> ConfigError:
        """Return a ConfigError for the key that ends ``path``, not for its value."""
        return self._error(self.keys.get(path, self.mark(path)), path, message, parts)

    def _error(self, mark: Mark, path: Path, message: str, parts: dict[str, str]) -> ConfigError:
        return ConfigError(
            message, file=self.file, line=mark.line, column=mark.column, key=dotted(path), **parts
        )


def parse(text: str | bytes, file: str = "<text>") -> Document:
    """Return the one document of ``text``. Raises ConfigError with line and column."""
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"{len(text)} characters, more than {MAX_BYTES}", file=file, line=1, column=1
        )
    if isinstance(text, bytes):
        text = _decode(text, file)
    return _Builder(file).build(_events(text, file))


def load(source: str | FilePath, kind: type[T], dec_hook: Hook | None = None) -> T:
    """Read YAML as a ``kind``: a path is opened, a string is the text itself.

    Raises ConfigError for what the text says and OSError for what the file system says.
    """
    if isinstance(source, FilePath):
        return convert(parse(source.read_bytes(), str(source)), kind, dec_hook)
    return convert(parse(source), kind, dec_hook)


def convert(document: Document | Any, kind: type[T], dec_hook: Hook | None = None) -> T:
    """Return the document's value as a ``kind``, or raise ConfigError naming the first fault."""
    if not isinstance(document, Document):
        document = Document(document, "")
    try:
        return msgspec.convert(document.value, kind, dec_hook=dec_hook)
    except msgspec.ValidationError as fault:
        path, owner = _locate(document.value, kind, dec_hook)
        raise _explain(document, path, owner, str(fault)) from None


def dotted(path: Path) -> str:
    """Return a path as people write it: ``layers[0].units``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _decode(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        column = fault.start - raw.rfind(b"\n", 0, fault.start)
        raise ConfigError("not UTF-8", file=file, line=line, column=column) from None


# Reading ------------------------------------------------------------------------------------


def _events(text: str, file: str) -> Iterator[yaml.Event]:
    """Yield the parser's events; its faults become ConfigErrors."""
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = " ".join(str(p) for p in (fault.context, fault.problem) if p)
        raise ConfigError(f"not YAML: {message}", file=file, line=line, column=column) from None
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        line, column = before.count("\n") + 1, fault.position - before.rfind("\n")
        raise ConfigError(
            f"not YAML: {fault.reason}", file=file, line=line, column=column
        ) from None
    except (ValueError, IndexError, OverflowError, AttributeError, TypeError, KeyError) as fault:
        # PyYAML's scanner trips over a few malformed escapes and directives of its own accord.
        raise ConfigError(f"not YAML: {fault}", file=file, line=1, column=1) from None


class _Builder:
    """Builds plain values from events without recursion."""

    def __init__(self, file: str) -> None:
        self._document = Document(None, file)
        self._stack: list[tuple[Any, Path, list[str]]] = []  # container, its path, pending key
        self._done = False

    def build(self, events: Iterator[yaml.Event]) -> Document:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and self._done:
                raise self._fault(event, "more than one document")
            if isinstance(event, yaml.AliasEvent):
                raise self._fault(event, "aliases are refused: write the value out")
            if isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._stack.pop()
        return self._document

    def _node(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._fault(event, "anchors are refused: write the value out where it is used")
        tag = event.tag
        if tag is not None and not (tag == "!" and isinstance(event, yaml.ScalarEvent)):
            raise self._fault(event, f"tags are refused: `{tag}`")
        if self._stack and isinstance(self._stack[-1][0], dict) and not self._stack[-1][2]:
            self._key(event)
            return
        if isinstance(event, yaml.ScalarEvent):
            self._place(self._scalar(event), event)
            return
        if len(self._stack) >= MAX_DEPTH:
            raise self._fault(event, f"nested deeper than {MAX_DEPTH}")
        container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._place(container, event)
        self._stack.append((container, path, []))

    def _key(self, event: Any) -> None:
        container, path, pending = self._stack[-1]
        if not isinstance(event, yaml.ScalarEvent):
            raise self._fault(event, "a key must be a word, not a list or mapping")
        if event.value in container:
            first = self._document.keys[(*path, event.value)].line
            raise self._fault(event, f"duplicate key `{event.value}`, first on line {first}")
        if event.value == "<<":
            raise self._fault(event, "merge keys are refused: write the values out")
        pending.append(event.value)
        self._document.keys[(*path, event.value)] = _mark(event)

    def _place(self, value: Any, event: Any) -> Path:
        """Put a value where it belongs; return its path."""
        if not self._stack:
            self._document.value = value
            self._document.marks.setdefault((), _mark(event))
            self._done = True
            return ()
        container, path, pending = self._stack[-1]
        if isinstance(container, dict):
            here = (*path, pending.pop())
            container[here[-1]] = value
        else:
            here = (*path, len(container))
            container.append(value)
        self._document.marks[here] = _mark(event)
        return here

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if event.style is not None or event.tag == "!":
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.match(text) or _FLOAT.match(text):
            if len(text) > MAX_DIGITS:
                raise self._fault(event, f"a number of more than {MAX_DIGITS} characters")
            if _INT.match(text):
                return int(text)
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise self._fault(event, "number out of range", "a finite number", text)
            return number
        if _NOT_FINITE.match(text):
            raise self._fault(event, "not finite", "a finite number", text)
        return text

    def _fault(self, event: Any, message: str, expected: str = "", got: str = "") -> ConfigError:
        mark = _mark(event)
        return ConfigError(
            message,
            file=self._document.file,
            line=mark.line,
            column=mark.column,
            expected=expected,
            got=got,
        )


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


# Explaining ---------------------------------------------------------------------------------


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


def _arms(kind: Any, value: Any) -> Iterator[Any]:
    """Yield the member of a union that the value seems to be meant as, or the type itself."""
    kind = _bare(kind)
    if get_origin(kind) not in (Union, UnionType):
        yield kind
        return
    for arm in map(_bare, get_args(kind)):
        record = isinstance(arm, type) and issubclass(arm, msgspec.Struct)
        origin = get_origin(arm) or arm
        if (isinstance(value, dict) and (record or origin is dict)) or (
            isinstance(value, list) and origin in (list, tuple)
        ):
            yield arm


def _parts(kind: Any, value: Any, hook: Hook | None) -> Iterator[tuple[str | int, Any, Any]]:
    """Yield (key, part, type of the part) of what a record, mapping or list holds."""
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
    message = re.sub(r" - at `(key in )?\$.*`$", "", text)
    value = document.value
    for part in path:
        value = value[part]
    is_record = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    if is_record and isinstance(value, dict):
        names = kind.__struct_encode_fields__
        unknown = next((key for key in value if key not in names), None)
        if unknown is not None and "unknown field" in message:
            near = get_close_matches(str(unknown), names, 1)
            hint = f"did you mean `{near[0]}`?" if near else ""
            expected = f"one of {', '.join(names)}"
            return document.key_error((*path, unknown), "no such key", expected=expected, hint=hint)
        if missing := re.match(r"Object missing required field `(.+)`", message):
            return document.error(path, f"missing key `{missing[1]}`")
    if wrong := re.match(r"Expected `(.+?)`(?:, got `(.+)`| (.+))$", message):
        expected = _words(wrong[1]) + (f" {wrong[3]}" if wrong[3] else "")
        got = describe(value)
        return document.error(path, "wrong value", expected=expected, got=got)
    if re.match(r"Invalid enum value", message):
        choices = [str(choice) for choice in _choices(kind)]
        near = get_close_matches(str(value), choices, 1)
        hint = f"did you mean `{near[0]}`?" if near else ""
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


def describe(value: Any) -> str:
    """Return a value as an error message shows it, short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
