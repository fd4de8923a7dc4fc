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
    bits = rng.integers(0, 2**32, 2_000, np.uint32)
    wide = np.concatenate([bits.view(np.float32), rng.normal(0, 1e-5, 500).astype(np.float32)])
    edges = np.array([65519.99, 65520, 2**-25, 3 * 2**-25, 2**-24, -0.0, np.nan, np.inf], "f4")
    halves = np.concatenate([wide, edges, rng.normal(0, 3, 500).astype(np.float32)])
    halves = halves[~(np.isnan(halves) & np.signbit(halves))]
    with np.errstate(over="ignore"):
        cases: dict[str, Any] = {"float16": (halves, halves.astype("<f2"))}
    cases["float32"] = (wide[np.isfinite(wide)], wide[np.isfinite(wide)])
    for dtype, low, high in (
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("int32", -(2**31), 2**31 - 1),
    ):
        values = np.array([low, 0, high], dtype)
        cases[dtype] = (values, values)
    found = []
    for dtype, (values, expected) in cases.items():
        kept = [None if np.isnan(value) else value.item() for value in values]
        kept = [1e39 * np.sign(x) if x in (np.inf, -np.inf) else x for x in kept]
        data = (
            np.where(np.isnan(expected), np.float16(np.nan), expected)
            if dtype == "float16"
            else expected
        )
        found.append({"dtype": dtype, "values": kept, "bytes": data.tobytes().hex()})
    return found


def test_every_example_of_the_document_is_spoken(node: Node) -> None:
    stdin = json.dumps({"examples": examples(), "numbers": numbers()})

    said = node("vectors.mjs", stdin=stdin)

    assert said["examples"] > 40
    assert said["spoken"] >= 18


def test_version_is_agentd_s(node: Node, client: Path) -> None:
    package = json.loads((client / "package.json").read_text())
    code = (client / "agentd.mjs").read_text()

    assert package["version"] == __version__
    assert f'export const VERSION = "{__version__}";' in code
