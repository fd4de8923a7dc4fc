"""The document, the data of AGENTD_DATA, and small builders that the protocol's tests share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentd.protocol import messages as m

ROOT = Path(__file__).resolve().parents[3]
# Read while collecting: the tests themselves run without the caller's AGENTD_ variables.
DATA = Path(os.environ.get("AGENTD_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def document() -> str:
    """The text of PROTOCOL.md."""
    return (ROOT / "agentd" / "PROTOCOL.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of msgpack corpora; skips, saying why, where it is absent."""
    folder = DATA / "corpora" / "msgpack"
    if not folder.is_dir():
        pytest.skip(f"no msgpack corpora at {folder}; set AGENTD_DATA")
    return folder


@pytest.fixture
def hello() -> Callable[..., m.Hello]:
    """Builds a valid hello; keywords replace its fields."""

    def build(**changes: Any) -> m.Hello:
        fields: dict[str, Any] = {
            "protocol": (1, 1),
            "client": "test",
            "role": "train",
            "run": bytes(16),
            "agent": "catch",
            "observation": {"x": {"dtype": "float32", "shape": [2]}},
            "action": {"kind": "discrete", "n": 3},
            "streams": 2,
        }
        return m.Hello(**(fields | changes))

    return build


@pytest.fixture
def welcome() -> Callable[..., m.Welcome]:
    """Builds a valid welcome; keywords replace its fields."""

    def build(**changes: Any) -> m.Welcome:
        fields: dict[str, Any] = {
            "protocol": 1,
            "session": bytes(range(16)),
            "agent": "catch",
            "version": 0,
            "max_frame": 1 << 20,
            "max_rows": 64,
            "window": 4,
            "heartbeat_s": 15.0,
            "resumed": False,
            "last_seq": 0,
        }
        return m.Welcome(**(fields | changes))

    return build


@pytest.fixture
def step() -> Callable[..., m.Step]:
    """Builds a step of two rows for the schema of ``hello``; keywords replace its fields."""

    def build(**changes: Any) -> m.Step:
        fields: dict[str, Any] = {
            "seq": 1,
            "stream": b"\0\0\0\0\1\0\0\0",
            "kind": b"\0\0",
            "reward": bytes(8),
            "obs": {"x": bytes(16)},
        }
        return m.Step(**(fields | changes))

    return build
