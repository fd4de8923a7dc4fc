"""Options whose value may be left out. The parser has none, so it gets what was left out."""

import re
from collections.abc import Sequence

GODOT = "127.0.0.1:11008"
"""Where `serve --godot` listens: the plug-in dials that port of its own machine."""

_FORMS = {("serve", "--godot"): (re.compile(r"(\S*:)?\d+\Z"), GODOT)}
"""Command and option: what a value looks like, and which one stands for none."""


def fill(words: Sequence[str]) -> list[str]:
    """``words`` with the value behind each such option that has none."""
    out: list[str] = []
    for at, word in enumerate(words):
        form = _FORMS.get((words[0], word))
        if form is None or (at + 1 < len(words) and form[0].match(words[at + 1])):
            out.append(word)
        else:
            out += [word, form[1]]
    return out
