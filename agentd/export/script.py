"""A policy as one file of JavaScript or GDScript: a small interpreter, its program, its weights."""

import base64
import json
from importlib import resources
from typing import Any

from agentd import __version__
from agentd.export.feed import feed_lines
from agentd.export.graph import PolicyGraph
from agentd.export.program import Program, lower


def js_file(policy: PolicyGraph) -> bytes:
    """Return an ES module with a class ``Policy``."""
    return _filled(policy, "policy.mjs", "// ")


def gdscript_file(policy: PolicyGraph) -> bytes:
    """Return a script for Godot 3.2 and later and Godot 4."""
    return _filled(policy, "policy.gd", "# ")


def _filled(policy: PolicyGraph, template: str, comment: str) -> bytes:
    program = lower(policy)
    text = (resources.files("agentd.export") / "runtime" / template).read_text(encoding="utf-8")
    data = program.floats.astype("<f4").tobytes() + program.ints.tobytes()
    lines = [f"A policy by agentd {__version__}.", "", *feed_lines(policy), "", _licence(policy)]
    parts = {
        f"{comment}@HEAD@": "\n".join(f"{comment}{line}".rstrip() for line in lines),
        "@NAME@": policy.name,
        "@FACTS@": json.dumps(policy.facts, sort_keys=True),
        "@SHAPE@": json.dumps(_shape(policy, program)),
        "@PROGRAM@": "[\n" + ",\n".join(f"\t{json.dumps(i)}" for i in program.instructions) + "\n]",
        "@DATA@": base64.b64encode(data).decode(),
    }
    for mark, value in parts.items():
        text = text.replace(mark, value)
    return text.encode()


def _licence(policy: PolicyGraph) -> str:
    return str(policy.facts.get("licence", ""))


def _shape(policy: PolicyGraph, program: Program) -> dict[str, Any]:
    return {
        "tensors": [{"name": t.name, "at": t.at, "size": t.size} for t in policy.tensors],
        "row": policy.row,
        "stack": policy.stack,
        "last_actions": policy.last_actions,
        "branches": list(policy.branches),
        "places": policy.places,
        "outputs": policy.outputs,
        "numbers": [list(row) for row in policy.numbers],
        "floats": int(program.floats.size),
        "ints": int(program.ints.size),
        "small": program.small,
        "buffer": program.buffer,
        "aside": list(program.aside),
    }
