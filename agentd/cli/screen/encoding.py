"""Text for terminals and files whose encoding has few characters: nothing ever fails to be said."""

import codecs
from typing import Any, TextIO

REPLACING = "agentd.replacing"
_PLAIN = {
    "–": "-", "—": "-", "−": "-", "‑": "-", "…": "...", "±": "+-", "×": "x", "·": "-", "•": "*",
    "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~", "∞": "inf", "ε": "eps", "γ": "gamma",
    "λ": "lambda", "τ": "tau", "σ": "sigma", "µ": "u", "μ": "u", "²": "2", "½": "1/2", "°": " deg",
    "✓": "ok", "✗": "no", "“": '"', "”": '"', "‘": "'", "’": "'", "\N{NO-BREAK SPACE}": " ",
    "┤": "|", "│": "|", "└": "+", "╰": "+", "╭": "+", "╮": "+", "╯": "+", "─": "-", "━": "-",
    "╸": "-", "╺": "-",
}  # fmt: skip
_BLOCKS = "▁▂▃▄▅▆▇█"


def let_everything_be_written(stream: TextIO) -> None:
    """Have ``stream`` write what its encoding lacks as what comes nearest, or ``?``, in place."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        codecs.register_error(REPLACING, _replace)
        reconfigure(errors=REPLACING)


def has_every_character(stream: Any) -> bool:
    """Whether the encoding of ``stream`` is one of Unicode's."""
    return "utf" in (getattr(stream, "encoding", None) or "utf-8").lower()


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    if character in _BLOCKS:
        return "_.:-=+*#"[_BLOCKS.index(character)]
    if "\u2800" <= character <= "\u28ff":  # braille: the dots of a curve
        return " " if character == "\u2800" else "*"
    if "\u2500" <= character <= "\u257f":
        return _PLAIN.get(character, "+")
    return _PLAIN.get(character, "?")
