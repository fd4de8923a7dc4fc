"""Small rings, and rows for them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentd.memory.layout import RingLayout
from agentd.memory.replay_ring import ReplayRing


@pytest.fixture
def small_ring(tmp_path: Path) -> Any:
    """Open the same small ring again and again: 4 bytes a row, 3 actions."""
    path = tmp_path / "replay" / "rows.ring"

    def open_it(capacity: int = 16, slack: int = 16, **more: Any) -> ReplayRing:
        return ReplayRing.open(path, RingLayout(4, 3, 1, "s"), capacity, slack=slack, **more)

    return SimpleNamespace(path=path, open=open_it)
