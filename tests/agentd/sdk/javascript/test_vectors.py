"""What the JavaScript client writes and reads is PROTOCOL.md's, byte for byte."""

import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

from agentd import __version__

Node = Callable[..., Any]
EXAMPLE = re.compile(r"```hex (client|server) ([a-z-]+)\n([0-9a-f\n]*?)```")


def typed(value: Any) -> Any:
    """A msgpack value in JSON that keeps floats and bins apart."""
    if isinstance(value, float):
        return {"float": value}
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else value


def examples() -> list[dict[str, Any]]:
    """Every example of the document, without the length before its body."""
    document = (files("agentd") / "PROTOCOL.md").read_text(encoding="utf-8")
    found = []
    for who, name, text in EXAMPLE.findall(document):
        body = bytes.fromhex(text.replace("\n", ""))[4:]
        fields = typed(msgpack.unpackb(body))
        found.append({"who": who, "name": name, "fields": fields, "body": body.hex()})
    return found


def numbers() -> list[dict[str, Any]]:
    """Numbers of every dtype, halves at all their edges, and the bytes that NumPy has for them."""
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 2**32, 2_000, np.uint32).view(np.float32)
    wide = wide[np.isfinite(wide)]
    small = rng.normal(0, 1e-5, 500).astype(np.float32)
    edges = np.array([65519.99, 65520, 2**-25, 3 * 2**-25, 2**-24, -0.0], np.float32)
    halves = np.concatenate([wide, small, edges, rng.normal(0, 3, 500).astype(np.float32)])
    with np.errstate(over="ignore"):
        cases = [("float16", halves, halves.astype("<f2")), ("float32", wide, wide)]
    for dtype in ("uint8", "int8", "int32"):
        limits = np.iinfo(dtype)
        values = np.array([limits.min, 0, limits.max], dtype)
        cases.append((dtype, values, values))
    return [
        {"dtype": dtype, "values": values.tolist(), "bytes": expected.tobytes().hex()}
        for dtype, values, expected in cases
    ]


def test_every_example_of_the_document_is_spoken(node: Node) -> None:
    stdin = json.dumps({"examples": examples(), "numbers": numbers()})

    said = node("vectors.mjs", stdin=stdin)

    assert said["examples"] > 40
    assert said["spoken"] >= 22


def test_version_is_agentd_s(node: Node, client: Path) -> None:
    package = json.loads((client / "package.json").read_text())
    code = (client / "agentd.mjs").read_text()

    assert package["version"] == __version__
    assert f'export const VERSION = "{__version__}";' in code
