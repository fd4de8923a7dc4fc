"""A document: plain values with the place of each, and the error that names such a place."""

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]


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
    """Plain values and where each of them was written.

    notes: what a translation took for granted, a line each, for a person.
    """

    value: Any
    file: str
    marks: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

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

    def unknown_key(self, path: Path, known: Collection[str]) -> ConfigError:
        """Return a ConfigError for a key that is none of ``known``, with the nearest as a hint."""
        expected, hint = f"one of {', '.join(known)}", suggest(path[-1], known)
        return self.key_error(path, "no such key", expected=expected, hint=hint)

    def _error(self, mark: Mark, path: Path, message: str, parts: dict[str, str]) -> ConfigError:
        return ConfigError(
            message, file=self.file, line=mark.line, column=mark.column, key=dotted(path), **parts
        )


_ELSEWHERE = {
    "batch_size": ("batch",),
    "buffer_size": ("capacity",),
    "discount": ("gamma",),
    "filters": ("channels",),
    "hidden_size": ("units",),
    "kernel_size": ("kernel",),
    "learning_rate": ("lr",),
    "learning_starts": ("learn_start",),
    "linear": ("dense",),
    "out_channels": ("channels",),
    "out_features": ("units",),
    "pool_size": ("kernel",),
    "size": ("kernel", "capacity"),
    "strides": ("stride",),
    "target_update_interval": ("every",),
    "train_freq": ("train_every",),
}
"""Names in PyTorch, Keras and Stable-Baselines3, each with our names for the same."""


def dotted(path: Path) -> str:
    """Return a path as people write it: ``layers[0].units``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def suggest(word: object, known: Collection[str]) -> str:
    """Return a hint at the word of ``known`` that ``word`` stands for, "" where there is none.

    It is the one of the same meaning, if other libraries say ``word`` for it, or the nearest.
    """
    same = [ours for ours in _ELSEWHERE.get(str(word), ()) if ours in known]
    near = same or get_close_matches(str(word), known, 1)
    return f"did you mean `{near[0]}`?" if near else ""


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
