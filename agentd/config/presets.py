"""The bundled presets: YAML files beside the code, one agent and the game it is for in each."""

import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from agentd.config.convert import convert, parse_layer
from agentd.config.layers import ConfigLayer, overlay
from agentd.config.records import Preset
from agentd.config.sources import file_layer, flag_layer
from agentd.errors import MissingInput

FOLDER = "presets"
SUFFIX = ".yaml"


def preset_names() -> list[str]:
    """Names of the bundled presets, sorted."""
    folder = resources.files("agentd") / FOLDER
    return sorted(p.name.removesuffix(SUFFIX) for p in folder.iterdir() if p.name.endswith(SUFFIX))


def preset_layer(name: str) -> ConfigLayer:
    """The whole file of preset ``name`` as a layer. Raises MissingInput for an unknown name."""
    known = preset_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise MissingInput(f"no preset {name!r}", hint=hint)
    text = (resources.files("agentd") / FOLDER / (name + SUFFIX)).read_text(encoding="utf-8")
    layer = parse_layer(text, name, source="preset")
    layer.tree.setdefault("agent", {})["preset"] = name
    return layer


def load_preset(name: str, flags: Mapping[str, Any] | None = None) -> Preset:
    """The preset ``name`` with ``flags`` by dotted key laid over it, validated.

    Raises MissingInput or ConfigError.
    """
    return convert(overlay(preset_layer(name), flag_layer(flags or {})), Preset)


def load_preset_file(path: Path) -> Preset:
    """The preset in a file of one's own, validated. Raises MissingInput or ConfigError."""
    return convert(file_layer(path), Preset)
