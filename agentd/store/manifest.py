"""A checkpoint's manifest: canonical JSON that vouches for itself and for every file beside it.

The text of a manifest is a function of its content, so any flipped bit shows: either the text is
no longer canonical, or its checksum differs.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FORMAT = 1
_CHECKSUM = "checksum"


class Damaged(Exception):
    """Something about a checkpoint is not as it was written; the text says what."""


def file_entry(data: bytes) -> dict[str, Any]:
    """Return what a manifest says about a file."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def encode(facts: Mapping[str, Any]) -> bytes:
    """Return the manifest of ``facts``. Raises ValueError on numbers that JSON does not have."""
    digest = hashlib.sha256(_text(facts)).hexdigest()
    return _text({**facts, _CHECKSUM: digest})


def decode(data: bytes) -> dict[str, Any]:
    """Return the facts of a manifest. Raises Damaged."""
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):
        raise Damaged("manifest.json is no JSON") from None
    if not isinstance(facts, dict) or _CHECKSUM not in facts:
        raise Damaged("manifest.json is no manifest")
    if _text(facts) != data:
        raise Damaged("manifest.json is not as it was written")
    checksum = facts.pop(_CHECKSUM)
    if hashlib.sha256(_text(facts)).hexdigest() != checksum:
        raise Damaged("manifest.json has another checksum")
    if facts.get("format") != FORMAT:
        raise Damaged(f"want format {FORMAT}, got {facts.get('format')!r}")
    return facts


def _text(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
