"""Reading: from text to plain values, event by event, without recursion."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from agentd.engine.strictyaml.document import ConfigError, Document, Mark, Path

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


def parse(text: str | bytes, file: str = "<text>") -> Document:
    """Return the one document of ``text``. Raises ConfigError with line and column."""
    if len(text) > MAX_BYTES:
        raise ConfigError(
            f"{len(text)} characters, more than {MAX_BYTES}", file=file, line=1, column=1
        )
    if isinstance(text, bytes):
        text = _decode(text, file)
    return _Builder(file).build(_events(text, file))


def _decode(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        column = fault.start - raw.rfind(b"\n", 0, fault.start)
        raise ConfigError("not UTF-8", file=file, line=line, column=column) from None


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
